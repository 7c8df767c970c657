//! The graceful stop: no new connections, every session told, everything owed paid, the log synced, within a deadline.

use super::clock::{Moment, Steady};
use super::counters::Counters;
use super::error::RunError;
use super::reactor::Reactor;
use super::tend::abandon;
use std::time::{Duration, Instant};

/// When a shard has failed nobody can be paid; only goodbyes are written.
const FAILED_DEADLINE_MS: u64 = 500;
/// What is cancelled at the end comes back at once.
const DRAIN: Duration = Duration::from_millis(200);

pub struct Stopping {
    pub deadline: Steady,
    is_settled: bool,
}

impl Reactor {
    pub(super) fn heed_stop(&mut self, now: Moment) {
        if !self.shared.is_stopping() {
            return;
        }
        if self.stopping.is_none() {
            self.has_worked = true;
            self.stopping =
                Some(Stopping { deadline: now.steady.plus(self.options.stop_deadline_ms), is_settled: false });
            self.stop_listening();
            self.turn.stop(now.wall);
        }
        if let Some(stopping) = self.stopping.as_mut().filter(|_stopping| self.shared.has_failed()) {
            stopping.deadline = stopping.deadline.min(now.steady.plus(FAILED_DEADLINE_MS));
        }
    }

    fn stop_listening(&mut self) {
        if self.accepting.is_armed {
            self.ring.cancel_accept();
        } else {
            self.accepting.listener = None;
        }
    }

    /// Before the turn's parcels leave: see `Shared::unsettled`.
    pub(super) fn publish_settled(&mut self) {
        let Some(stopping) = self.stopping.as_mut() else { return };
        let is_settled = self.turn.is_settled();
        if stopping.is_settled == is_settled {
            return;
        }
        stopping.is_settled = is_settled;
        if !is_settled {
            return self.shared.count_unsettled();
        }
        self.shared.count_settled();
        if self.shared.are_all_settled() {
            self.mesh.wake_all();
        }
    }

    pub(super) fn is_done(&self, now: Moment) -> bool {
        let Some(stopping) = &self.stopping else { return false };
        let is_quiet = self.sockets.is_empty()
            && self.commit.is_idle()
            && !self.mesh.has_waiting()
            && !self.mesh.has_incoming()
            && !self.desk.has_orders()
            && self.accepting.listener.is_none();
        now.steady >= stopping.deadline || is_quiet && self.shared.are_all_settled()
    }

    /// This shard cannot go on, and with it the server.
    pub(super) fn fail(&mut self, error: RunError) {
        if self.failure.is_some() {
            return;
        }
        tracing::error!(shard = self.me.0, %error, "stopping");
        self.failure = Some(error);
        self.shared.fail();
        self.mesh.wake_all();
    }

    /// The end of the shard: syncs what is there, and closes what is left.
    pub(super) fn finish(mut self) -> (Counters, Option<RunError>) {
        if self.failure.is_none() {
            let _sealed = self.turn.seal();
            match self.turn.storage_mut().sync() {
                Ok(()) => self.turn.close_log(),
                Err(error) => self.fail(RunError::Disk { shard: self.me, what: error.to_string() }),
            }
        }
        for socket in self.sockets.all() {
            abandon(socket);
        }
        self.ring.cancel_all();
        self.drain();
        self.counters.add_traffic(&self.turn.traffic());
        self.counters.records = self.turn.shard().stats().records;
        (self.counters, self.failure)
    }

    /// Takes the last completions, so that the ring's memory can be freed.
    fn drain(&mut self) {
        let until = Instant::now() + DRAIN;
        while self.ring.in_flight() > 0 && Instant::now() < until {
            if self.ring.enter().is_err() {
                return;
            }
            while self.ring.next().is_some() {}
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}
