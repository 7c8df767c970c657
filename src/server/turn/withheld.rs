//! Events of one turn for a session whose outbox is full. The shard's cursor sends the entries later; of each watched
//! user's states only the newest is sent later; typing notices and messages that are not stored are dropped.
//!
//! Invariant: the memory is bounded by the events of one input and one state for each watched user.

use crate::model::{Event, PresenceState, Reply, Seq};

#[derive(Debug, Default)]
pub(in crate::server) struct Withheld {
    /// The first entry that was withheld, and the seqs after it that the session learned from replies to its own sends.
    entries: Option<(Seq, Vec<Seq>)>,
    presence: Vec<PresenceState>,
}

impl Withheld {
    /// Withholds an event. Returns whether the shard must be told: true for the first withheld entry.
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

    /// Notes a reply to the session: it need not be sent entries that it sent itself, and presence states in the reply
    /// are newer than withheld ones.
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

    /// The first entry that was withheld, and the seqs after it that the session sent itself.
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
