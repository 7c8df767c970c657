//! What the turn knows of sessions that an operator asks for.

use crate::log::Storage;
use crate::model::SessionState;
use crate::server::turn::Turn;
use crate::wire::Encoding;

impl<S: Storage> Turn<S> {
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
