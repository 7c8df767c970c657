//! Accepts connections: up to the shard's bound, and per address up to a bound of unauthenticated ones.
//!
//! A connection without room is refused: 503 before the upgrade, close code 1013 after it.

use crate::model::{Moment, Steady};
use crate::server::base::descriptors::{Descriptor, Exhausted, SocketBound};
use crate::server::peer::client::PeerAddress;
use crate::server::reactor::event_loop::Reactor;
use crate::server::ring::Next;
use crate::server::state::accepting::Accepting;
use crate::server::state::counters::ConnectionRefusal;
use crate::server::state::listener::peer_of;
use crate::server::state::socket::{PeerIdentity, Socket, SocketPhase};
use crate::server::tls::record_layer::RecordLayer;
use crate::server::turn::LinkKey;
use rustix::net::{SendFlags, Shutdown};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The time for which accepting pauses when descriptors have run out, in milliseconds.
const BACK_OFF_MS: u64 = 100;
/// The most refused connections that may take time to read the answer. Beyond it the oldest is closed at once.
const LINGERING_MAX: usize = 1_024;

impl Reactor {
    /// Opens the listening socket once all shards are ready, and keeps an accept armed on it.
    pub(in crate::server) fn drive_listener(&mut self, now: Moment) {
        let Some(listener) = self.accepting.listener.as_mut() else { return };
        if !self.accepting.is_open {
            if !self.shared.are_all_ready() {
                return;
            }
            self.accepting.is_open = true;
            let result = listener.listen();
            if let Some(opened) = self.accepting.opened.take() {
                opened(result);
            }
        }
        if self.stopping.is_some() || self.draining.is_some() || self.accepting.is_armed {
            return;
        }
        if self.accepting.again_at.is_some_and(|at| now.steady < at) {
            return;
        }
        self.accepting.again_at = None;
        self.accepting.is_armed = true;
        self.ring.accept(listener.socket());
    }

    pub(in crate::server) fn accepted(&mut self, now: Moment, result: io::Result<OwnedFd>, next: Next) {
        if next == Next::Ended {
            self.accepting.is_armed = false;
        }
        match result {
            Ok(descriptor) => self.welcome(now, descriptor),
            Err(error) if is_exhaustion(&error) => self.back_off(now),
            // The client has closed the connection already, or the accept was cancelled.
            Err(_) => {}
        }
        if (self.stopping.is_some() || self.draining.is_some()) && !self.accepting.is_armed {
            self.accepting.listener = None;
        }
    }

    fn welcome(&mut self, now: Moment, descriptor: OwnedFd) {
        if self.stopping.is_some() {
            return;
        }
        let Ok(peer) = peer_of(&descriptor) else { return };
        let mut descriptor = match self.accepting.descriptors.count(descriptor) {
            Ok(descriptor) => descriptor,
            Err(Exhausted { bound, socket }) => {
                let reason = match bound {
                    SocketBound::Files => ConnectionRefusal::FilesExhausted,
                    SocketBound::Connections => ConnectionRefusal::ServerFull,
                };
                return self.turn_away_at_once(now, &socket, reason);
            }
        };
        if self.outboxes_held.is_exceeded() {
            return self.turn_away_at_once(now, &descriptor, ConnectionRefusal::MemoryShort);
        }
        if self.accepting.pace.as_mut().is_some_and(|pace| !pace.admit(now.steady)) {
            return self.turn_away_at_once(now, &descriptor, ConnectionRefusal::TooFast);
        }
        if self.is_full() {
            if self.accepting.tls.is_some() {
                // An answer would cost a handshake: the socket closes without one.
                return self.complain(now.steady, ConnectionRefusal::ShardFull);
            }
            let key = self.turn.turn_away(now);
            self.sockets.insert(key, descriptor, PeerIdentity::Stranger(None));
            self.complain(now.steady, ConnectionRefusal::ShardFull);
            return self.touch(key);
        }
        let origin = self.turn.counts_at_once(peer.ip()).then(|| PeerAddress::from(peer.ip()));
        if let Some(origin) = origin
            && let Err(reason) = claim(&mut self.accepting, now, origin, &mut descriptor)
        {
            return self.turn_away_at_once(now, &descriptor, reason);
        }
        let Some(key) = self.enter(now) else { return };
        self.turn.note_peer(key, peer.into());
        self.sockets.insert(key, descriptor, PeerIdentity::Stranger(None));
        self.touch(key);
        if let Some(origin) = origin {
            self.enter_half_open(now, key, origin);
        } else if self.turn.owes_header(key) {
            self.enter_unannounced(now, key, peer.ip().into());
        }
    }

    /// Counts a connection that proxies have announced, once its client's address is known. To be called after whatever
    /// may tell the address.
    pub(in crate::server) fn note_client(&mut self, now: Moment, key: LinkKey) {
        if !self.turn.owes_header(key) {
            self.leave_unannounced(key);
        }
        let Some(origin) = self.turn.counted_address(key).map(PeerAddress::from) else { return };
        let Some(socket) = self.sockets.of(key) else { return };
        if socket.standing != PeerIdentity::Stranger(None) {
            return;
        }
        let claimed = claim(&mut self.accepting, now, origin, &mut socket.descriptor);
        if let Err(reason) = claimed {
            self.turn.crowd_out(now, key);
            return self.complain(now.steady, reason);
        }
        if !self.turn.is_authenticated(key) {
            self.enter_half_open(now, key, origin);
        }
    }

    /// Counts a connection among the unauthenticated ones of its client's address.
    fn enter_half_open(&mut self, now: Moment, key: LinkKey, origin: PeerAddress) {
        let Some(socket) = self.sockets.of(key) else { return };
        socket.standing = PeerIdentity::Stranger(Some(origin));
        if let Some(displaced) = self.accepting.half_open.enter(origin, key) {
            self.displace(now, displaced);
        }
    }

    /// Counts a connection among those of its proxy that owe a PROXY header.
    fn enter_unannounced(&mut self, now: Moment, key: LinkKey, proxy: PeerAddress) {
        let Some(socket) = self.sockets.of(key) else { return };
        socket.standing = PeerIdentity::Unannounced(proxy);
        let Some(displaced) = self.accepting.unannounced.enter(proxy, key) else { return };
        if let Some(socket) = self.sockets.of(displaced) {
            socket.standing = PeerIdentity::Stranger(None);
        }
        self.turn.crowd_out(now, displaced);
        self.complain(now.steady, ConnectionRefusal::ProxyFull);
    }

    /// A new connection of the turn.
    fn enter(&mut self, now: Moment) -> Option<LinkKey> {
        let Some(identity) = &self.accepting.tls else { return Some(self.turn.accept(now)) };
        match RecordLayer::new(identity.now()) {
            Ok(layer) => Some(self.turn.accept_secured(now, layer)),
            Err(error) => {
                tracing::error!(shard = self.me.0, %error, "a TLS connection cannot begin");
                None
            }
        }
    }

    /// Whether this shard has as many connections as it may have. Those that linger after a refusal have their own
    /// bound.
    pub(in crate::server) fn is_full(&self) -> bool {
        self.sockets.len() - self.accepting.lingering_count >= self.accepting.connections_max
    }

    /// Ends an address's oldest unauthenticated connection in favour of its newest.
    fn displace(&mut self, now: Moment, key: LinkKey) {
        if let Some(socket) = self.sockets.of(key) {
            socket.standing = PeerIdentity::Stranger(None);
        }
        self.turn.crowd_out(now, key);
        self.complain(now.steady, ConnectionRefusal::AddressFull);
    }

    /// Ends connections when logs have grown and need descriptors that sockets use: first unauthenticated ones, then
    /// the newest. Connections that are ending already count as ended.
    pub(in crate::server) fn shed(&mut self, now: Moment) {
        let wanted = self.accepting.descriptors.part_of_excess(self.sockets.len());
        if wanted == 0 {
            return;
        }
        let is_ending = |socket: &&mut Socket| matches!(socket.phase, SocketPhase::Ending(_));
        let wanted = wanted.saturating_sub(self.sockets.all().filter(is_ending).count());
        let open = self.sockets.all().filter(|socket| socket.phase == SocketPhase::Open);
        let (mut chosen, known): (Vec<_>, Vec<_>) = open
            .map(|socket| (socket.place.key, socket.standing))
            .partition(|(_, standing)| *standing != PeerIdentity::Known);
        chosen.extend(known.into_iter().rev());
        for (key, _) in chosen.into_iter().take(wanted) {
            self.turn.crowd_out(now, key);
            self.complain(now.steady, ConnectionRefusal::FilesExhausted);
        }
    }

    fn leave_unannounced(&mut self, key: LinkKey) {
        if let Some(socket) = self.sockets.of(key)
            && let PeerIdentity::Unannounced(proxy) = socket.standing
        {
            socket.standing = PeerIdentity::Stranger(None);
            self.accepting.unannounced.leave(proxy, key);
        }
    }

    /// To be called once a link has authenticated or is gone.
    pub(in crate::server) fn leave_half_open(&mut self, key: LinkKey) {
        self.leave_unannounced(key);
        if let Some(socket) = self.sockets.of(key)
            && let PeerIdentity::Stranger(origin @ Some(_)) = &mut socket.standing
            && let Some(origin) = origin.take()
        {
            self.accepting.half_open.leave(origin, key);
        }
    }

    /// Lets an unauthenticated peer read its refusal, unless too many linger already.
    pub(in crate::server) fn linger(&mut self, key: LinkKey) {
        let Some(socket) = self.sockets.of(key) else { return };
        self.accepting.lingering.push_back(socket.place);
        self.accepting.lingering_count += 1;
        if self.accepting.lingering.len() > LINGERING_MAX
            && let Some(oldest) = self.accepting.lingering.pop_front()
            && self.sockets.at(oldest).is_some()
        {
            self.abandon(oldest.key);
        }
    }

    pub(in crate::server) fn complain(&mut self, now: Steady, reason: ConnectionRefusal) {
        self.counters.turn_away(reason);
        if self.complaints.turned_away[reason as usize].is_due(now) {
            tracing::warn!(
                shard = self.me.0,
                connections = self.sockets.len(),
                "connections are refused: {}",
                reason.sentence()
            );
        }
    }

    fn back_off(&mut self, now: Moment) {
        self.accepting.again_at = Some(now.steady.plus(BACK_OFF_MS));
        self.complain(now.steady, ConnectionRefusal::FilesExhausted);
        let answer = self.accepting.answer_at_once(ConnectionRefusal::FilesExhausted);
        if let Some(listener) = self.accepting.listener.as_mut() {
            listener.turn_one_away(answer.as_bytes());
        }
    }

    /// Refuses a connection that may not even linger: writes as much of the answer as the socket takes at once.
    fn turn_away_at_once(&mut self, now: Moment, descriptor: &impl AsFd, reason: ConnectionRefusal) {
        self.complain(now.steady, reason);
        let answer = self.accepting.answer_at_once(reason);
        let _ = rustix::net::send(descriptor, answer.as_bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        let _ = rustix::net::shutdown(descriptor, Shutdown::Write);
    }
}

/// Takes what a new connection of the address uses of its bounds; the socket gives its place back.
fn claim(
    accepting: &mut Accepting,
    now: Moment,
    origin: PeerAddress,
    descriptor: &mut Descriptor,
) -> Result<(), ConnectionRefusal> {
    if accepting.address_rates.as_mut().is_some_and(|rates| !rates.admit(now.steady, origin)) {
        return Err(ConnectionRefusal::AddressTooFast);
    }
    if let Some(places) = &accepting.places {
        descriptor.hold(places.take(origin).ok_or(ConnectionRefusal::AddressCrowded)?);
    }
    Ok(())
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
