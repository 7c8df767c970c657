//! Takes connections in: as many as there is room for, and of one address only so many that have not authenticated.

use super::half_open::Origin;
use super::listener::peer_of;
use super::reactor::Reactor;
use super::ring::Next;
use super::turn::LinkKey;
use crate::model::Moment;
use std::io;
use std::os::fd::OwnedFd;

/// How long to leave new connections alone when there is no descriptor for them.
const BACK_OFF_MS: u64 = 100;

impl Reactor {
    /// Opens the listening socket when all shards are ready, and keeps an accept armed on it.
    pub(super) fn tend_listener(&mut self, now: Moment) {
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
        if self.stopping.is_some() || self.accepting.is_armed {
            return;
        }
        if self.accepting.again_at.is_some_and(|at| now.steady < at) {
            return;
        }
        self.accepting.again_at = None;
        self.accepting.is_armed = true;
        self.ring.accept(listener.socket());
    }

    pub(super) fn accepted(&mut self, now: Moment, result: io::Result<OwnedFd>, next: Next) {
        if next == Next::Ended {
            self.accepting.is_armed = false;
        }
        match result {
            Ok(descriptor) => self.welcome(now, descriptor),
            Err(error) if is_exhaustion(&error) => self.back_off(now, &error),
            // The client has given up, or the accept was cancelled.
            Err(_) => {}
        }
        if self.stopping.is_some() && !self.accepting.is_armed {
            self.accepting.listener = None;
        }
    }

    fn welcome(&mut self, now: Moment, descriptor: OwnedFd) {
        if self.stopping.is_some() {
            return;
        }
        let Ok(peer) = peer_of(&descriptor) else { return };
        let origin = Origin::from(peer.ip());
        if self.sockets.len() >= self.accepting.connections_max || self.accepting.half_open.enter(origin).is_err() {
            self.counters.turned_away += 1;
            return;
        }
        let key = self.turn.accept(now);
        self.sockets.insert(key, descriptor, Some(origin));
        self.touch(key);
    }

    /// Once a link has authenticated, or is gone.
    pub(super) fn leave_half_open(&mut self, key: LinkKey) {
        if let Some(origin) = self.sockets.of(key).and_then(|socket| socket.origin.take()) {
            self.accepting.half_open.leave(origin);
        }
    }

    fn back_off(&mut self, now: Moment, error: &io::Error) {
        self.accepting.again_at = Some(now.steady.plus(BACK_OFF_MS));
        tracing::warn!(shard = self.me.0, %error, "no descriptor for a new connection");
        if let Some(listener) = self.accepting.listener.as_mut() {
            self.counters.turned_away += 1;
            listener.turn_one_away();
        }
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
