//! Events of one turn for a session whose outbox is full. The shard's cursor sends the entries later; of each watched
//! user the newest state is sent; typing notices and messages that are not stored are dropped.
//!
//! Invariant: the memory is bounded by the events of one input and one state for each watched user.

use crate::model::{Event, PresenceState, Reply, Seq};

#[derive(Debug, Default)]
pub(in crate::server) struct Withheld {
    /// The first entry that was left out, and what the session was answered since that it sent itself.
    entries: Option<(Seq, Vec<Seq>)>,
    presence: Vec<PresenceState>,
}

impl Withheld {
    /// Whether the shard is to hear of it: it is the first entry that is left out.
    pub fn leave_out(&mut self, event: &Event) -> bool {
        match event {
            Event::Entry(entry) if self.entries.is_none() => {
                self.entries = Some((entry.seq, Vec::new()));
                return true;
            }
            Event::Presence(state) => {
                self.forget(std::slice::from_ref(state));
                self.presence.push(state.clone());
            }
            Event::Entry(_) | Event::Transient(..) | Event::Typing(_) => {}
        }
        false
    }

    /// The session is answered: what it sent itself it need not be told, and states that it is told are the newest.
    pub fn answered(&mut self, reply: &Reply) {
        match reply {
            Reply::Sent { seq, .. } => {
                if let Some((_, own)) = &mut self.entries {
                    own.push(*seq);
                }
            }
            Reply::Presence(states) => self.forget(states),
            _ => {}
        }
    }

    fn forget(&mut self, states: &[PresenceState]) {
        self.presence.retain(|known| states.iter().all(|state| state.user != known.user));
    }

    /// The first entry that was left out, and what of those behind it the session sent itself.
    pub fn take_entries(&mut self) -> Option<(Seq, Vec<Seq>)> {
        self.entries.take()
    }

    pub fn take_presence(&mut self) -> Vec<PresenceState> {
        std::mem::take(&mut self.presence)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_none() && self.presence.is_empty()
    }
}
