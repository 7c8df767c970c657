//! Who is here as the log says: whoever was here when a process ended without saying so, a start takes to have been here
//! until the newest time that the log tells.
//!
//! Invariants: what the log says of a user's presence follows from records alone; a user who comes and goes in quick
//! succession costs no record each time; while anybody is here, the log tells the time.

use super::inbox::Place;
use super::open::SEEN_PAUSE_MS;
use super::{Shard, State};
use crate::log::{Record, Storage};
use crate::model::{Millis, Moment};
use std::collections::BTreeSet;

/// While somebody is here, the log tells the time so often: so much too early is what it says after a crash.
const CLOCK_PAUSE_MS: u64 = 30_000;

/// Of those who are back, a tick looks at so many.
const RETURNED_A_TICK_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Here {
    users: BTreeSet<Place>,
    /// The newest time that the log tells of those who are here.
    clock: Millis,
    /// They have sessions again, maybe, and the log does not say so yet.
    returned: BTreeSet<Place>,
}

impl Here {
    pub fn contains(&self, user: Place) -> bool {
        self.users.contains(&user)
    }

    /// The log says that the user has a session from `since` on.
    pub fn come(&mut self, user: Place, since: Millis) {
        self.users.insert(user);
        self.clock = since;
    }

    /// The log says when the user was here last; it is not here any more.
    pub fn go(&mut self, user: Place, last_seen: Millis) {
        if last_seen > Millis(0) && self.users.remove(&user) {
            self.clock = last_seen;
        }
    }

    /// The log tells the time.
    pub fn tell(&mut self, time: Millis) {
        self.clock = time;
    }

    /// When the user was here last, by what the log has said so far; `None` unless it is here.
    pub fn last_seen(&self, user: Place) -> Option<Millis> {
        self.contains(user).then_some(self.clock)
    }

    /// A checkpoint says that the user was here.
    pub fn restore(&mut self, user: Place) {
        self.users.insert(user);
    }
}

impl State {
    /// The process that wrote the log so far has ended, and with it every session.
    pub(super) fn end_presence(&mut self) {
        for user in std::mem::take(&mut self.here.users) {
            self.inboxes.see(user, self.here.clock);
        }
    }
}

impl<S: Storage> Shard<S> {
    /// The user has a session.
    pub(super) fn note_arrival(&mut self, now: Moment, user: Place) {
        if self.state.here.contains(user) {
            return;
        }
        let last_seen = self.state.inboxes.last_seen(user);
        // Who was here just now is not said to be here again at once, but at a tick after that.
        if last_seen > Millis(0) && now.wall.0.abs_diff(last_seen.0) < SEEN_PAUSE_MS {
            self.state.here.returned.insert(user);
            return;
        }
        let record = Record::Online { user: self.state.inboxes.user_at(user).clone(), since: now.wall };
        if self.journal.has_room(record.encoded_bytes()) {
            self.journal.append_lazily(&record);
            self.state.inboxes.see(user, Millis(0));
            self.state.here.come(user, now.wall);
        } else {
            self.state.here.returned.insert(user);
        }
    }

    /// What the log is to say of those who are here, so that a crash does not make them seem to have left long ago.
    pub(super) fn note_presence(&mut self, now: Moment) {
        for _user in 0..RETURNED_A_TICK_MAX.min(self.state.here.returned.len()) {
            let Some(user) = self.state.here.returned.pop_first() else { break };
            if self.state.inboxes.is_online(user) {
                self.note_arrival(now, user);
            }
        }
        if self.state.here.users.is_empty() || now.wall.0.abs_diff(self.state.here.clock.0) < CLOCK_PAUSE_MS {
            return;
        }
        let record = Record::Clock { time: now.wall };
        if self.journal.has_room(record.encoded_bytes()) {
            self.journal.append_lazily(&record);
            self.state.here.tell(now.wall);
        }
    }
}

#[cfg(test)]
#[path = "here_tests.rs"]
mod tests;
