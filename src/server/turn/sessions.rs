//! Sessions as an operator sees them: what the turn knows of them, and those that a drain asks to go.

use crate::log::Storage;
use crate::model::{Closing, Millis, Moment, SessionId, SessionState, Steady, UserId};
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
    pub opened: Option<Steady>,
}

impl EndedLink<'_> {
    /// How long its session was open by `now`, whatever was done to the wall clock meanwhile.
    pub fn lasted_ms(&self, now: Moment) -> Option<u64> {
        self.opened.map(|opened| now.steady.since(opened))
    }
}

impl<S: Storage> Turn<S> {
    /// The user of a link that has authenticated.
    pub(in crate::server) fn user(&self, key: LinkKey) -> Option<&UserId> {
        self.links[key].connection.user()
    }

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
            opened: link.opened.map(|opened| opened.steady),
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
            session.since = link.opened.map_or(Millis(0), |opened| opened.wall);
            session.queued_bytes = link.queued_bytes() as u64;
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::MemoryStorage;
    use crate::model::{Limits, Policies, ShardId};
    use crate::server::turn::Common;
    use crate::shard::{Placement, Shard, ShardSettings, Upkeep, Windows};
    use crate::wire::{Context, HandshakePolicy, ServerKey, token};

    const SECRET: &[u8] = b"a secret of some thirty-two bytes";

    fn turn(now: Moment) -> Turn<MemoryStorage> {
        let (me, placement, limits) = (ShardId(0), Placement::new(1), Limits::default());
        let (policies, windows, upkeep) = (Policies::default(), Windows::default(), Upkeep::default());
        let settings = ShardSettings { me, placement, limits, policies, windows, upkeep, seed: 1, fingerprint_seed: 2 };
        let none: [&[u8]; 0] = [];
        let (shard, _) = Shard::open(settings, MemoryStorage::new(1 << 20, 8), &none, now).expect("an empty log");
        let (handshake, server_key) = (HandshakePolicy::default(), ServerKey::of([7; 32]));
        let context = Context { limits, handshake, server_version: "test", server_key, node_id: 1, inbox_epoch: 1 };
        let keyring = token::Verifier::hs256(SECRET, 5_000).into();
        let mut turn =
            Turn::new(shard, Common { me, placement, context: context.into(), keyring }, || *b"sixteen letters.");
        turn.start(now);
        turn
    }

    /// A session of the JSON-RPC protocol.
    fn log_in(turn: &mut Turn<MemoryStorage>, now: Moment) -> LinkKey {
        let key = turn.accept(now);
        let upgrade = "GET /rpc HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        turn.received(now, key, &mut upgrade.as_bytes().to_vec());
        let alice = UserId::new("alice").expect("well formed");
        let token = token::mint(SECRET, &alice, now.wall, now.wall.plus(3_600_000));
        let login = format!(r#"{{"method":"connect","params":{{"uid":"alice","token":"{token}"}},"id":"1"}}"#);
        let [.., high, low] = login.len().to_be_bytes();
        let mut frame = [&[0x81, 0x80 | 126, high, low, 0, 0, 0, 0], login.as_bytes()].concat();
        turn.received(now, key, &mut frame);
        assert!(turn.is_authenticated(key));
        key
    }

    #[test]
    fn how_long_a_session_was_open_is_told_by_elapsed_time_whatever_the_wall_clock_shows() {
        let begun = Moment::told(Millis(1_700_000_000_000));
        for wall in [begun.wall.plus(90_000), Millis(begun.wall.0 - 3_600_000)] {
            let mut turn = turn(begun);
            let (key, stranger) = (log_in(&mut turn, begun), turn.accept(begun));
            let now = Moment { wall, steady: begun.steady.plus(5_000) };
            for gone in [key, stranger] {
                turn.hung_up(now, gone);
            }
            assert_eq!(turn.ended(key).and_then(|ended| ended.lasted_ms(now)), Some(5_000));
            assert_eq!(turn.ended(stranger).and_then(|ended| ended.lasted_ms(now)), None, "it had no session");
        }
    }
}
