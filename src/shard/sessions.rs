//! Who is online here: every session of this shard's users, and what each has been pushed and not acknowledged.
//!
//! Invariants: a user has a row while it has a session, and at most `sessions_per_user_max` of them; a session that
//! is not yet welcomed is pushed nothing, since its welcome's `max_seq` covers what it would miss.

use crate::model::{Ack, DeviceKey, MessageId, Seq, SessionId, UserId};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Pushes a session may leave unacknowledged before the oldest are forgotten. Only acknowledging by message needs them;
/// the delivered position then stays below what was forgotten.
const UNACKNOWLEDGED_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Session {
    pub user: UserId,
    pub device: DeviceKey,
    /// Its welcome has left.
    pub welcomed: bool,
    /// Ascending.
    unacknowledged: VecDeque<(MessageId, Seq)>,
    newest_pushed: Seq,
    /// The first of the forgotten pushes.
    forgotten: Option<Seq>,
}

pub(super) struct Sessions {
    sessions: HashMap<SessionId, Session, FixedState>,
    /// Each user's sessions, oldest first.
    present: HashMap<UserId, SmallVec<[SessionId; 2]>, FixedState>,
}

impl Session {
    /// A message is on its way to this session.
    pub fn pushed(&mut self, message: MessageId, seq: Seq) {
        if self.unacknowledged.len() == UNACKNOWLEDGED_MAX {
            let oldest = self.unacknowledged.pop_front().map(|(_, seq)| seq);
            self.forgotten = self.forgotten.or(oldest);
        }
        self.unacknowledged.push_back((message, seq));
        self.newest_pushed = seq;
    }

    /// The delivered position that an acknowledgement proves: everything at and below it has reached the device.
    /// `newest` is the inbox's newest seq. `None` for what was never pushed.
    pub fn acknowledge(&mut self, ack: Ack, newest: Seq) -> Option<Seq> {
        match ack {
            Ack::Through(seq) if seq > newest => None,
            Ack::Through(seq) => {
                self.unacknowledged.retain(|(_, pushed)| *pushed > seq);
                self.forgotten = self.forgotten.filter(|forgotten| *forgotten > seq);
                Some(seq)
            }
            Ack::Message(id) => {
                let at = self.unacknowledged.iter().position(|(message, _)| *message == id)?;
                self.unacknowledged.remove(at);
                let first_open = self.forgotten.or(self.unacknowledged.front().map(|(_, seq)| *seq));
                Some(first_open.map_or(self.newest_pushed, |open| Seq(open.0 - 1)))
            }
        }
    }
}

impl Sessions {
    pub fn new(seed: u64) -> Self {
        Self {
            sessions: HashMap::with_hasher(FixedState::with_seed(seed)),
            present: HashMap::with_hasher(FixedState::with_seed(seed)),
        }
    }

    /// Adds a session; returns the one that had to make room for it.
    pub fn open(&mut self, id: SessionId, user: UserId, device: DeviceKey, per_user_max: usize) -> Option<SessionId> {
        let present = self.present.entry(user.clone()).or_default();
        let is_crowded = present.len() >= per_user_max.max(1);
        let oldest = is_crowded.then(|| present.remove(0));
        present.push(id);
        if let Some(oldest) = oldest {
            self.sessions.remove(&oldest);
        }
        let session = Session {
            user,
            device,
            welcomed: false,
            unacknowledged: VecDeque::new(),
            newest_pushed: Seq(0),
            forgotten: None,
        };
        let replaced = self.sessions.insert(id, session);
        assert!(replaced.is_none(), "a session id is used once");
        oldest
    }

    /// Whose it was, if it was open.
    pub fn close(&mut self, id: SessionId) -> Option<UserId> {
        let session = self.sessions.remove(&id)?;
        let present = self.present.get_mut(&session.user).expect("a user with a session is present");
        present.retain(|other| *other != id);
        if present.is_empty() {
            self.present.remove(&session.user);
        }
        Some(session.user)
    }

    pub fn find(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub fn find_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    /// All sessions of a user, oldest first.
    pub fn of(&self, user: &UserId) -> &[SessionId] {
        self.present.get(user).map_or(&[], |present| present)
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserId {
        UserId::new("alice").expect("well formed")
    }

    fn device() -> DeviceKey {
        DeviceKey { flag: 0, id: "web".into() }
    }

    #[test]
    fn the_oldest_session_makes_room_for_one_too_many() {
        let mut sessions = Sessions::new(1);
        assert_eq!(sessions.open(SessionId(1), user(), device(), 2), None);
        assert_eq!(sessions.open(SessionId(2), user(), device(), 2), None);
        assert_eq!(sessions.open(SessionId(3), user(), device(), 2), Some(SessionId(1)));
        assert_eq!(sessions.of(&user()), [SessionId(2), SessionId(3)]);
        sessions.close(SessionId(1));
        sessions.close(SessionId(2));
        sessions.close(SessionId(3));
        assert_eq!((sessions.len(), sessions.present.len()), (0, 0), "nobody is remembered");
    }

    #[test]
    fn a_position_never_passes_a_message_that_is_not_acknowledged() {
        let mut sessions = Sessions::new(1);
        sessions.open(SessionId(1), user(), device(), 2);
        let session = sessions.find_mut(SessionId(1)).expect("open");
        for seq in 5..=8 {
            session.pushed(MessageId(100 + seq), Seq(seq));
        }
        assert_eq!(session.acknowledge(Ack::Message(MessageId(106)), Seq(8)), Some(Seq(4)));
        assert_eq!(session.acknowledge(Ack::Message(MessageId(105)), Seq(8)), Some(Seq(6)));
        assert_eq!(session.acknowledge(Ack::Message(MessageId(105)), Seq(8)), None, "acknowledged already");
        assert_eq!(session.acknowledge(Ack::Through(Seq(9)), Seq(8)), None, "never pushed");
        assert_eq!(session.acknowledge(Ack::Through(Seq(8)), Seq(8)), Some(Seq(8)));
    }

    #[test]
    fn a_position_stays_below_a_push_that_was_forgotten() {
        let mut sessions = Sessions::new(1);
        sessions.open(SessionId(1), user(), device(), 2);
        let session = sessions.find_mut(SessionId(1)).expect("open");
        let pushes = UNACKNOWLEDGED_MAX as u64 + 3;
        (1..=pushes).for_each(|seq| session.pushed(MessageId(seq), Seq(seq)));
        assert_eq!(session.acknowledge(Ack::Message(MessageId(pushes)), Seq(pushes)), Some(Seq(0)));
        assert_eq!(session.acknowledge(Ack::Through(Seq(2)), Seq(pushes)), Some(Seq(2)));
    }
}
