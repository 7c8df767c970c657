//! Sessions as an operator sees them: what the turn knows of them, and those that a drain asks to go.

use crate::log::Storage;
use crate::model::{Closing, Moment, SessionState};
use crate::server::turn::Turn;
use crate::wire::Encoding;

impl<S: Storage> Turn<S> {
    /// Closes up to `count` connections with `Stopping`: those that wait for no reply. The others go with the stop.
    pub(in crate::server) fn ask_to_go(&mut self, now: Moment, count: usize) {
        let quiet = self.links.iter().filter(|(_, link)| !link.is_ended() && link.connection.promised_bytes() == 0);
        let keys: Vec<_> = quiet.map(|(key, _)| key).take(count).collect();
        keys.into_iter().for_each(|key| self.close(now, key, Closing::Stopping));
        self.settle(now);
    }

    /// Adds protocol, time and queue to what the shard knows; sessions that have ended meanwhile are left out.
    pub(in crate::server) fn complete_sessions(&self, sessions: &mut Vec<SessionState>) {
        sessions.retain_mut(|session| {
            let Some(key) = self.open_link(session.id) else { return false };
            let link = &self.links[key];
            session.protocol = link.connection.encoding().map_or("", Encoding::name);
            session.since = link.opened;
            session.queued_bytes = link.queued_bytes() as u64;
            true
        });
    }
}
