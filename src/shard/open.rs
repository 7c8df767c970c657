//! A session opens, and ends. What the log tells a shard about itself is in `take`, what checkpoints say in `checkpoint`.

use super::pending::Owed;
use super::{Effect, Shard};
use crate::log::Storage;
use crate::model::{Closing, DeviceKey, Millis, Position, Reply, RequestTag, SessionId, UserId};

impl<S: Storage> Shard<S> {
    /// PROTOCOL 2.2, 4. The welcome carries the newest seq, and waits until that is durable.
    pub(super) fn open_session(
        &mut self,
        now: Millis,
        session: SessionId,
        tag: RequestTag,
        user: UserId,
        device: DeviceKey,
        effects: &mut Vec<Effect>,
    ) {
        let tail = self.state.inboxes.tail(&user);
        let sessions_max = self.settings.limits.sessions_per_user_max;
        let place = self.state.inboxes.find_or_add(&user);
        self.state.inboxes.arrive(place);
        if let Some(oldest) = self.state.sessions.open(session, user, device, sessions_max) {
            self.state.inboxes.depart(place);
            effects.push(Effect::Close { session: oldest, closing: Closing::Replaced });
        }
        self.tell_when_acknowledged(now, tail.last, session, tag, Reply::Welcome { max_seq: tail.seq }, effects);
    }

    /// The edge has taken the session's fresh token. The answer is the welcome's: the newest seq, once that is durable.
    pub(super) fn reauthenticated(
        &mut self,
        now: Millis,
        session: SessionId,
        tag: RequestTag,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let tail = self.state.inboxes.tail(&row.user);
        self.tell_when_acknowledged(
            now,
            tail.last,
            session,
            tag,
            Reply::Reauthenticated { max_seq: tail.seq },
            effects,
        );
    }

    pub(super) fn close_session(&mut self, session: SessionId) {
        if let Some(user) = self.state.sessions.close(session) {
            let place = self.state.inboxes.find_or_add(&user);
            self.state.inboxes.depart(place);
        }
        self.state.relay.forget_stalled(session);
    }

    /// A reply that shows what the record at `depends_on` brought about: said at once when that is acknowledged.
    pub(super) fn tell_when_acknowledged(
        &mut self,
        now: Millis,
        depends_on: Position,
        session: SessionId,
        tag: RequestTag,
        reply: Reply,
        effects: &mut Vec<Effect>,
    ) {
        let owed = Owed::Reply { session, tag, reply };
        if depends_on < self.acknowledged {
            self.let_out(now, owed, effects);
        } else {
            self.pending.owe(self.newest_record, owed);
        }
    }
}
