//! What a connection's state requires, done once in each turn for each connection that changed. Event handlers only
//! record what happened; these functions act on it.

use crate::model::Moment;
use crate::model::ShardId;
use crate::server::reactor::event_loop::Reactor;
use crate::server::ring::SendInFlight;
use crate::server::ring::operation::SocketIndex;
use crate::server::state::counters::ConnectionRefusal;
use crate::server::state::mesh::Handover;
use crate::server::state::outboxes::{NOTED_BYTES_MIN, SlowSession, slowest};
use crate::server::state::socket::SWEEP_PARTS;
use crate::server::state::socket::{PeerIdentity, Receiving, Socket, SocketEnd, SocketPhase};
use crate::server::turn::LinkKey;
use rustix::net::Shutdown;
use std::io;
use std::os::fd::AsFd;

/// The most outboxes kept for reuse, and the largest kept: larger ones, from bursts, are freed.
const SPARES_MAX: usize = 64;
const SPARE_BYTES_MAX: usize = 64 << 10;

impl Reactor {
    pub(in crate::server) fn touch(&mut self, key: LinkKey) {
        if let Some(socket) = self.sockets.of(key)
            && !socket.is_touched
        {
            socket.is_touched = true;
            self.touched.push_back(key);
        }
    }

    pub(in crate::server) fn drive_connection(&mut self, now: Moment, key: LinkKey) {
        let Some(socket) = self.sockets.of(key) else { return };
        socket.is_touched = false;
        self.send_outbox(now, key);
        let Some(socket) = self.sockets.of(key) else { return };
        match socket.phase {
            SocketPhase::Open => self.drive_open(now, key),
            SocketPhase::Departing(to) => self.drive_departing(now, key, to),
            SocketPhase::Ending(socket_end) => self.drive_ending(key, socket_end),
        }
    }

    fn drive_open(&mut self, now: Moment, key: LinkKey) {
        let wanted = self.wanted_receiving(key);
        let Some(socket) = self.sockets.of(key) else { return };
        let has_heard_all = socket.peer.is_gone() || socket.waiting.is_empty();
        if has_heard_all && socket.peer.take_news() {
            self.turn.hung_up(now, key);
            return;
        }
        if !socket.waiting.is_empty() && !socket.is_backlogged && self.turn.wants_read(key) {
            socket.is_backlogged = true;
            self.backlogged.push(key);
        }
        self.set_receiving(key, wanted);
    }

    pub(in crate::server) fn depart(&mut self, key: LinkKey, to: ShardId) {
        if let Some(socket) = self.sockets.of(key)
            && socket.phase == SocketPhase::Open
        {
            socket.phase = SocketPhase::Departing(to);
            self.touch(key);
        }
    }

    /// Hands the connection over once nothing is in flight. Everything received goes with it, and the new shard detects
    /// the peer's state itself.
    fn drive_departing(&mut self, now: Moment, key: LinkKey, to: ShardId) {
        self.set_receiving(key, Receiving::Idle);
        let outbox_bytes = self.turn.outbox_bytes(key);
        let Some(socket) = self.sockets.of(key) else { return };
        if !socket.is_quiet() || outbox_bytes > 0 && !socket.peer.is_gone() {
            return;
        }
        if !socket.waiting.is_empty() {
            self.feed_waiting(now, key, usize::MAX);
            // Feeding may have ended the connection: then it stays here.
            return self.touch(key);
        }
        self.leave_half_open(key);
        let mut socket = self.sockets.remove(key);
        self.outboxes_held.note(&mut socket.noted_bytes, 0);
        let connection = self.turn.detach(key);
        self.mesh.hand_over(to, Handover { socket: socket.descriptor, connection });
    }

    pub(in crate::server) fn drain_migrating(&mut self, now: Moment) {
        for _taken in 0..self.options.events_per_turn_max {
            let Some(handover) = self.mesh.next_handover() else { return };
            self.has_worked = true;
            self.work.handovers += 1;
            let lack = match (self.is_full(), self.outboxes_held.is_exceeded()) {
                (true, _) => Some(ConnectionRefusal::ShardFull),
                (false, true) => Some(ConnectionRefusal::MemoryShort),
                (false, false) => None,
            };
            let (key, standing) = if let Some(reason) = lack {
                self.complain(now.steady, reason);
                (self.turn.turn_away_migrating(now, handover.connection), PeerIdentity::Stranger(None))
            } else {
                (self.turn.adopt(now, handover.connection), PeerIdentity::Known)
            };
            self.sockets.insert(key, handover.socket, standing);
            self.touch(key);
        }
    }

    pub(in crate::server) fn end(&mut self, key: LinkKey) {
        let Some(socket) = self.sockets.of(key) else { return };
        let is_lingering = socket.standing != PeerIdentity::Known;
        let is_new = !matches!(socket.phase, SocketPhase::Ending(_));
        if is_new {
            socket.phase = SocketPhase::Ending(SocketEnd { is_lingering, is_write_shut: false });
        }
        self.leave_half_open(key);
        if is_new && is_lingering {
            self.linger(key);
        }
        self.touch(key);
    }

    /// Ends the operations in flight on a socket: a send fails, a receive meets the end of the stream.
    pub(in crate::server) fn abandon(&mut self, key: LinkKey) {
        let Some(socket) = self.sockets.of(key) else { return };
        abandon(socket);
        self.touch(key);
    }

    /// Writes the last bytes, shuts down the write side, and reads until the peer closes: closing a socket with unread
    /// bytes would reset the connection, and the peer might lose the last bytes.
    fn drive_ending(&mut self, key: LinkKey, end: SocketEnd) {
        let outbox_bytes = self.turn.outbox_bytes(key);
        let Some(socket) = self.sockets.of(key) else { return };
        socket.waiting = Vec::new();
        let is_flushed = socket.sending.is_none() && (outbox_bytes == 0 || socket.peer.is_gone());
        if is_flushed && !end.is_write_shut {
            socket.phase = SocketPhase::Ending(SocketEnd { is_write_shut: true, ..end });
            // Shutdown fails on a socket that was reset; the receive reports that.
            let _ = rustix::net::shutdown(&socket.descriptor, Shutdown::Write);
        }
        let wanted = if socket.peer.is_talking() { Receiving::Armed } else { Receiving::Idle };
        if is_flushed && !socket.peer.is_talking() && socket.is_quiet() {
            self.close(key);
        } else {
            self.set_receiving(key, wanted);
        }
    }

    fn close(&mut self, key: LinkKey) {
        self.leave_half_open(key);
        let mut socket = self.sockets.remove(key);
        self.outboxes_held.note(&mut socket.noted_bytes, 0);
        self.accepting.lingering_count -= usize::from(socket.is_lingering());
        drop(socket);
        self.turn.release(key);
    }

    fn send_outbox(&mut self, now: Moment, key: LinkKey) {
        let Some(socket) = self.sockets.of(key) else { return };
        if socket.sending.is_some() {
            self.outboxes_held.note(&mut socket.noted_bytes, self.turn.queued_bytes(key) as u64);
            return;
        }
        if socket.peer.is_gone() || self.turn.outbox_bytes(key) == 0 {
            return;
        }
        let bytes = self.turn.drain_outbox(key, self.spares.pop().unwrap_or_default());
        socket.sending = Some(now.steady);
        self.counters.sends += 1;
        if bytes.len() as u64 >= NOTED_BYTES_MIN {
            self.outboxes_held.note(&mut socket.noted_bytes, bytes.len() as u64);
        }
        self.ring.send(socket.place, socket.descriptor.as_fd(), SendInFlight { bytes, sent: 0 });
    }

    pub(in crate::server) fn sent(
        &mut self,
        now: Moment,
        place: SocketIndex,
        result: io::Result<usize>,
        mut send: SendInFlight,
    ) {
        let socket = self.sockets.at(place).expect("a socket stays while its send is in flight");
        match result {
            Ok(bytes) if bytes > 0 => {
                send.sent += bytes;
                self.counters.sent_bytes += bytes as u64;
                socket.sending = Some(now.steady);
                self.turn.wrote(now, place.key, bytes);
                if socket.noted_bytes > 0 {
                    self.outboxes_held.note(&mut socket.noted_bytes, self.turn.queued_bytes(place.key) as u64);
                }
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => {}
            Ok(_) | Err(_) => socket.peer.lose(),
        }
        if send.sent < send.bytes.len() && !socket.peer.is_gone() {
            self.ring.send(place, socket.descriptor.as_fd(), send);
            return;
        }
        socket.sending = None;
        self.recycle(send.bytes);
        self.touch(place.key);
    }

    fn recycle(&mut self, mut bytes: Vec<u8>) {
        if self.spares.len() < SPARES_MAX && bytes.capacity() <= SPARE_BYTES_MAX {
            bytes.clear();
            self.spares.push(bytes);
        }
    }

    /// Ends the sessions of peers that read nothing of what is written to them.
    pub(in crate::server) fn sweep(&mut self, now: Moment) {
        let stalled_ms = self.options.send_stalled_ms;
        let (mut stalled, mut slow) = (Vec::new(), Vec::new());
        let mut queued_bytes = 0;
        for socket in self.sockets.next_part(SWEEP_PARTS) {
            let queued = self.turn.queued_bytes(socket.place.key) as u64;
            queued_bytes += queued;
            self.counters.histograms.outbox_bytes.note(queued);
            if queued >= NOTED_BYTES_MIN
                && let Some(since) = socket.sending
                && let Some(user) = self.turn.user(socket.place.key)
            {
                let waiting_ms = now.steady.since(since);
                slow.push(SlowSession { user: user.clone(), queued_bytes: queued, waiting_ms });
            }
            let is_stalled = socket.sending.is_some_and(|since| now.steady >= since.plus(stalled_ms));
            if is_stalled {
                stalled.push(socket.place.key);
            }
        }
        self.outboxes.rotate_right(1);
        self.outboxes[0] = queued_bytes;
        self.slow_sessions.rotate_right(1);
        self.slow_sessions[0] = slowest(slow);
        stalled.into_iter().for_each(|key| self.turn.stalled(now, key));
    }
}

pub(in crate::server) fn abandon(socket: &mut Socket) {
    socket.peer.lose();
    // An error means that the socket is already shut down.
    let _ = rustix::net::shutdown(&socket.descriptor, Shutdown::Both);
}
