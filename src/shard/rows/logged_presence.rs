//! Who is here as the log says: whoever was here when a process ended without saying so, a start takes to have been here
//! until the newest time that the log tells.
//!
//! Invariant: who is here, and until when, follows from records alone.

use super::index::UserIndex;
use crate::model::Millis;
use std::collections::BTreeSet;

/// A tick looks at so many of those whose coming, and as many whose going, the log does not know.
const UNLOGGED_A_TICK_MAX: usize = 256;

#[derive(Debug, Default)]
pub(in crate::shard) struct LoggedPresence {
    users: BTreeSet<UserIndex>,
    /// The newest time that the log tells of those who are here.
    clock: Millis,
    /// They have sessions, and the log does not say so yet.
    pub arrived: Unlogged,
    /// Their last sessions ended later than the log says.
    pub departed: Unlogged,
}

impl LoggedPresence {
    /// Those who were here, whom the log does not call gone, and until when it tells of them. Nobody is here any more.
    pub fn end(&mut self) -> (BTreeSet<UserIndex>, Millis) {
        (std::mem::take(&mut self.users), self.clock)
    }

    pub fn contains(&self, user: UserIndex) -> bool {
        self.users.contains(&user)
    }

    /// The log says that the user has a session from `since` on.
    pub fn come(&mut self, user: UserIndex, since: Millis) {
        self.users.insert(user);
        self.clock = since;
    }

    /// The log says when the user was here last; it is not here any more.
    pub fn go(&mut self, user: UserIndex, last_seen: Millis) {
        if last_seen > Millis(0) && self.users.remove(&user) {
            self.clock = last_seen;
        }
    }

    /// The log tells the time.
    pub fn tell(&mut self, time: Millis) {
        self.clock = time;
    }

    /// When the user was here last, by what the log has said so far; `None` unless it is here.
    pub fn last_seen(&self, user: UserIndex) -> Option<Millis> {
        self.contains(user).then_some(self.clock)
    }

    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The newest time that the log tells of those who are here.
    pub fn time(&self) -> Millis {
        self.clock
    }

    /// A checkpoint says that the user was here.
    pub fn restore(&mut self, user: UserIndex) {
        self.users.insert(user);
    }
}

/// Users whom ticks look at in turn: one who is put back at once keeps nobody from being looked at.
#[derive(Debug, Default)]
pub(in crate::shard) struct Unlogged {
    users: BTreeSet<UserIndex>,
    looked_at: UserIndex,
}

impl Unlogged {
    /// How many a tick looks at.
    pub fn due(&self) -> usize {
        self.users.len().min(UNLOGGED_A_TICK_MAX)
    }

    pub fn insert(&mut self, user: UserIndex) {
        self.users.insert(user);
    }

    pub fn next(&mut self) -> Option<UserIndex> {
        let behind = (std::ops::Bound::Excluded(self.looked_at), std::ops::Bound::Unbounded);
        let user = *self.users.range(behind).next().or_else(|| self.users.first())?;
        self.users.remove(&user);
        self.looked_at = user;
        Some(user)
    }
}
