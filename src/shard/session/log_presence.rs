//! The log is told who is here, so that a crash does not make anybody seem to have left long ago.
//!
//! Invariants: a user who comes and goes in quick succession costs no record each time; while anybody is here, the log
//! tells the time; what the log had no room for, it is told at a later tick.

use crate::log::{Record, Storage};
use crate::model::{Millis, Moment};
use crate::shard::Shard;
use crate::shard::rows::index::UserIndex;

/// A user's last session is logged once in so long.
const SEEN_PAUSE_MS: u64 = 10_000;

/// While somebody is here, the log tells the time so often: so much too early is what it says after a crash.
const CLOCK_PAUSE_MS: u64 = 30_000;

impl<S: Storage> Shard<S> {
    /// The user has a session.
    pub(in crate::shard) fn note_arrival(&mut self, now: Moment, user: UserIndex) {
        if self.state.tables.presence.contains(user) {
            return;
        }
        let last_seen = self.state.tables.inboxes.last_seen(user);
        let was_just_here = last_seen > Millis(0) && now.wall.0.abs_diff(last_seen.0) < SEEN_PAUSE_MS;
        let record = Record::Online { user: self.state.tables.inboxes.user_at(user).clone(), since: now.wall };
        // Who was here just now is not said to be here again at once, but at a tick after that.
        if was_just_here || !self.log.journal.has_room(record.encoded_bytes()) {
            return self.state.tables.presence.arrived.insert(user);
        }
        self.log.journal.append_lazily(&record);
        self.state.tables.inboxes.see(user, Millis(0));
        self.state.tables.presence.come(user, now.wall);
    }

    /// The user was here at `last_seen`, and is no more. Lazily, and of one who is not here by the log at most one record in
    /// so long: what a crash loses costs no more than a time that is too early.
    pub(in crate::shard) fn note_departure(&mut self, user: UserIndex, last_seen: Millis) {
        let (is_here, before) = (self.state.tables.presence.contains(user), self.state.tables.inboxes.last_seen(user));
        if !is_here && before >= last_seen {
            return;
        }
        self.state.tables.inboxes.see(user, last_seen);
        if is_here || before.0 / SEEN_PAUSE_MS != last_seen.0 / SEEN_PAUSE_MS {
            self.log_departure(user);
        }
    }

    fn log_departure(&mut self, user: UserIndex) {
        let last_seen = self.state.tables.inboxes.last_seen(user);
        let record = Record::Seen { user: self.state.tables.inboxes.user_at(user).clone(), last_seen };
        if self.log.journal.has_room(record.encoded_bytes()) {
            self.log.journal.append_lazily(&record);
            self.state.tables.presence.go(user, last_seen);
        } else {
            self.state.tables.presence.departed.insert(user);
        }
    }

    /// What the log is to say of those who are here, so that a crash does not make them seem to have left long ago.
    pub(in crate::shard) fn note_presence(&mut self, now: Moment) {
        for _user in 0..self.state.tables.presence.arrived.due() {
            let Some(user) = self.state.tables.presence.arrived.next() else { break };
            if self.state.tables.inboxes.is_online(user) {
                self.note_arrival(now, user);
            }
        }
        for _user in 0..self.state.tables.presence.departed.due() {
            let Some(user) = self.state.tables.presence.departed.next() else { break };
            match (self.state.tables.inboxes.is_online(user), self.state.tables.presence.contains(user)) {
                // It will depart once more.
                (true, true) => {}
                (true, false) => self.state.tables.presence.departed.insert(user),
                (false, _) => self.log_departure(user),
            }
        }
        if self.state.tables.presence.is_empty()
            || now.wall.0.abs_diff(self.state.tables.presence.time().0) < CLOCK_PAUSE_MS
        {
            return;
        }
        let record = Record::Clock { time: now.wall, jumped_ms: 0 };
        if self.log.journal.has_room(record.encoded_bytes()) {
            self.log.journal.append_lazily(&record);
            self.state.tables.presence.tell(now.wall);
        }
    }
}

#[cfg(test)]
#[path = "log_presence_tests.rs"]
mod tests;
