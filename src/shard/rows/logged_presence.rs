//! The users who have sessions according to the log. If a process ended without logging the end of a session, the next
//! start assumes that it lasted until the newest logged time.
//!
//! Invariant: these users and that time follow from records alone.

use super::index::UserIndex;
use crate::model::Millis;
use std::collections::BTreeSet;

/// The most users whose arrival is logged in one tick, and the most whose departure is.
const UNLOGGED_A_TICK_MAX: usize = 256;

#[derive(Debug, Default)]
pub(in crate::shard) struct LoggedPresence {
    users: BTreeSet<UserIndex>,
    /// The newest logged time at which these users had sessions.
    clock: Millis,
    /// Users with sessions that are not logged yet.
    pub arrived: Unlogged,
    /// Users whose last session ended later than the log says.
    pub departed: Unlogged,
}

impl LoggedPresence {
    /// Removes all users; returns them, and the newest time at which they had sessions.
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

    /// The log says when the user was last seen: the user has no session any more.
    pub fn go(&mut self, user: UserIndex, last_seen: Millis) {
        if last_seen > Millis(0) && self.users.remove(&user) {
            self.clock = last_seen;
        }
    }

    /// The log contains this time.
    pub fn tell(&mut self, time: Millis) {
        self.clock = time;
    }

    /// The user's last-seen time by the log so far; `None` if the user has no session.
    pub fn last_seen(&self, user: UserIndex) -> Option<Millis> {
        self.contains(user).then_some(self.clock)
    }

    /// Neither the log nor a tick to come says that the user was here.
    pub fn forget(&mut self, user: UserIndex) {
        self.users.remove(&user);
        self.arrived.users.remove(&user);
        self.departed.users.remove(&user);
    }

    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The newest logged time at which these users had sessions.
    pub fn time(&self) -> Millis {
        self.clock
    }

    /// The user had a session at a checkpoint.
    pub fn restore(&mut self, user: UserIndex) {
        self.users.insert(user);
    }
}

/// Users whom ticks process in turn. The order is cyclic, so a user who is inserted again at once does not delay
/// others.
#[derive(Debug, Default)]
pub(in crate::shard) struct Unlogged {
    users: BTreeSet<UserIndex>,
    looked_at: UserIndex,
}

impl Unlogged {
    /// The number of users that one tick processes.
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
