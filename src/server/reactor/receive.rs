//! Passes bytes from sockets to links, within each socket's budget for a turn.

use crate::model::Moment;
use crate::server::reactor::event_loop::Reactor;
use crate::server::ring::operation::SocketIndex;
use crate::server::ring::{Next, ReceivedBuffer};
use crate::server::state::socket::{PeerIdentity, Receiving, SocketPhase};
use crate::server::turn::LinkKey;
use std::io;
use std::time::Instant;

impl Reactor {
    pub(in crate::server) fn received(
        &mut self,
        now: Moment,
        place: SocketIndex,
        result: io::Result<Option<ReceivedBuffer>>,
        next: Next,
    ) {
        let Some(socket) = self.sockets.at(place) else {
            if let Ok(Some(buffer)) = result {
                self.ring.give_back(buffer);
            }
            return;
        };
        if next == Next::Ended {
            socket.receiving = Receiving::Idle;
        }
        match result {
            Ok(Some(buffer)) => self.take_in(now, place.key, buffer),
            Ok(None) => socket.peer.fall_silent(),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOBUFS) => self.counters.receives_starved += 1,
                Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN) => {}
                _failed => socket.peer.lose(),
            },
        }
        self.touch(place.key);
    }

    /// A cancel that found nothing came while the receive was completing: it is tried again if still wanted.
    pub(in crate::server) fn receive_cancelled(&mut self, place: SocketIndex, result: io::Result<()>) {
        let Some(socket) = self.sockets.at(place) else { return };
        if result.is_err() && socket.receiving == Receiving::Cancelling {
            socket.receiving = Receiving::Armed;
            self.touch(place.key);
        }
    }

    /// Feeds a received chunk, or keeps it for the next turn if the socket has used up its budget.
    fn take_in(&mut self, now: Moment, key: LinkKey, buffer: ReceivedBuffer) {
        let must_wait = self.must_wait(key);
        let Some(socket) = self.sockets.of(key) else { return self.ring.give_back(buffer) };
        let bytes = self.ring.bytes_mut(&buffer);
        self.counters.received_bytes += bytes.len() as u64;
        if socket.fed_turn != self.turn_number {
            (socket.fed_turn, socket.fed_bytes) = (self.turn_number, 0);
        }
        let has_budget = socket.fed_bytes < self.options.receive_bytes_per_turn_max && !must_wait;
        match socket.phase {
            SocketPhase::Ending(_) => {}
            SocketPhase::Open | SocketPhase::Departing(_) if socket.waiting.is_empty() && has_budget => {
                socket.fed_bytes += bytes.len();
                let began = self.turn.is_handshaking(key).then(Instant::now);
                self.turn.received(now, key, bytes);
                self.accepting.handshakes.spend(self.turn_number, began);
                self.note_authenticated(now, key);
            }
            SocketPhase::Open | SocketPhase::Departing(_) => socket.waiting.extend_from_slice(bytes),
        }
        self.ring.give_back(buffer);
    }

    /// Feeds bytes for which earlier turns had no budget.
    pub(in crate::server) fn drain_backlog(&mut self, now: Moment) {
        for key in std::mem::take(&mut self.backlogged) {
            let Some(socket) = self.sockets.of(key) else { continue };
            socket.is_backlogged = false;
            if socket.phase == SocketPhase::Open && !self.must_wait(key) {
                self.feed_waiting(now, key, self.options.receive_bytes_per_turn_max);
            }
            self.touch(key);
        }
    }

    /// Whether the bytes belong to a TLS handshake, and this turn has spent the share of handshakes.
    fn must_wait(&self, key: LinkKey) -> bool {
        self.accepting.handshakes.is_spent(self.turn_number) && self.turn.is_handshaking(key)
    }

    /// Feeds at most `bytes_max` of the waiting bytes.
    pub(in crate::server) fn feed_waiting(&mut self, now: Moment, key: LinkKey, bytes_max: usize) {
        let Some(socket) = self.sockets.of(key) else { return };
        let length = socket.waiting.len().min(bytes_max);
        socket.fed_turn = self.turn_number;
        socket.fed_bytes = length;
        let began = self.turn.is_handshaking(key).then(Instant::now);
        self.turn.received(now, key, &mut socket.waiting[..length]);
        self.accepting.handshakes.spend(self.turn_number, began);
        socket.waiting.drain(..length);
        if socket.waiting.is_empty() {
            socket.waiting = Vec::new();
        }
        self.note_authenticated(now, key);
    }

    fn note_authenticated(&mut self, now: Moment, key: LinkKey) {
        let is_stranger = self.sockets.of(key).is_some_and(|socket| socket.standing != PeerIdentity::Known);
        if !is_stranger {
            return;
        }
        self.note_client(now, key);
        if self.turn.is_authenticated(key) {
            self.leave_half_open(key);
            if let Some(socket) = self.sockets.of(key) {
                socket.standing = PeerIdentity::Known;
            }
        }
    }

    /// Arms or cancels the receive to match `wanted`.
    pub(in crate::server) fn set_receiving(&mut self, key: LinkKey, wanted: Receiving) {
        let Some(socket) = self.sockets.of(key) else { return };
        match (socket.receiving, wanted) {
            (Receiving::Idle, Receiving::Armed) => {
                socket.receiving = Receiving::Armed;
                self.ring.receive(socket.place, std::os::fd::AsFd::as_fd(&socket.descriptor));
            }
            (Receiving::Armed, Receiving::Idle) => {
                socket.receiving = Receiving::Cancelling;
                self.ring.cancel_receive(socket.place);
            }
            _settled => {}
        }
    }

    /// Whether to keep reading an open link's socket. Reading stops when far more bytes than the budget wait, and
    /// resumes below the budget.
    pub(in crate::server) fn wanted_receiving(&mut self, key: LinkKey) -> Receiving {
        let budget = self.options.receive_bytes_per_turn_max;
        let Some(socket) = self.sockets.of(key) else { return Receiving::Idle };
        let waiting_max = if socket.receiving == Receiving::Armed { 4 * budget } else { budget };
        let wants = self.turn.wants_read(key) && socket.waiting.len() < waiting_max && socket.peer.is_talking();
        if wants { Receiving::Armed } else { Receiving::Idle }
    }
}
