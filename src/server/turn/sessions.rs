//! Sessions as an operator sees them: what the turn knows of them, and those that a drain asks to go.

use crate::log::Storage;
use crate::model::{Closing, Millis, Moment, SessionId, SessionState, UserId};
use crate::server::turn::link::LinkKey;
use crate::server::turn::{Traffic, Turn};
use crate::wire::Encoding;

/// A connection that has ended, as the log tells of it.
pub(in crate::server) struct EndedLink<'a> {
    pub session: SessionId,
    pub closing: Closing,
    /// `None`: it had not authenticated.
    pub user: Option<&'a UserId>,
    pub protocol: &'static str,
    /// When its session was opened, if one was.
    pub opened: Option<Millis>,
}

impl<S: Storage> Turn<S> {
    /// The counters of connections.
    pub fn traffic(&self) -> Traffic {
        let mut traffic = self.traffic;
        traffic.refused.add(self.decoding.refusals());
        traffic.received = self.decoding.received();
        traffic
    }

    /// What is known of a link that has ended.
    pub(in crate::server) fn ended(&self, key: LinkKey) -> Option<EndedLink<'_>> {
        let link = &self.links[key];
        Some(EndedLink {
            session: link.session,
            closing: link.connection.closing()?,
            user: link.connection.user(),
            protocol: link.connection.user().and(link.connection.encoding()).map_or("", Encoding::name),
            opened: Some(link.opened).filter(|opened| *opened != Millis(0)),
        })
    }

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
