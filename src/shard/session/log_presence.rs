//! Logs which users have sessions, so that after a crash their last-seen times are not too early.
//!
//! Invariants: a user who connects and disconnects in quick succession does not cost a record each time; while any user
//! has a session, the time is logged regularly; a record for which the log has no room is appended at a later tick.

use crate::log::{Record, Storage};
use crate::model::{Millis, Moment};
use crate::shard::Shard;
use crate::shard::rows::index::UserIndex;

/// The least time between two records of the end of a user's last session.
const SEEN_PAUSE_MS: u64 = 10_000;

/// The interval at which the time is logged while any user has a session. After a crash a last-seen time is at most
/// this much too early.
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
        // A user who had a session a moment ago is not logged again at once, but at a later tick.
        if was_just_here || !self.log.journal.has_room(record.encoded_bytes()) {
            return self.state.tables.presence.arrived.insert(user);
        }
        self.log.journal.append_lazily(&record);
        self.state.tables.inboxes.see(user, Millis(0));
        self.state.tables.presence.come(user, now.wall);
    }

    /// The user's last session ended at `last_seen`. This is logged lazily, and for a user who has no session by the
    /// log at most once per `SEEN_PAUSE_MS`: if a crash loses it, the last-seen time is only too early.
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

    /// Logs the arrivals and departures that are not logged yet, and the time if it is due.
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
                // The user has a session again, whose end will be logged.
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
