//! The graceful stop: accepts nothing new, notifies every session, completes unfinished work, syncs the log, all within
//! a deadline.

use crate::model::Moment;
use crate::server::base::error::RunError;
use crate::server::reactor::connections::abandon;
use crate::server::reactor::event_loop::Reactor;
use crate::server::state::counters::Counters;
use crate::server::state::stopping::{FAILED_DEADLINE_MS, Stopping};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to wait for the completions of operations that are cancelled at the end.
const DRAIN: Duration = Duration::from_millis(200);

impl Reactor {
    pub(in crate::server) fn observe_stop(&mut self, now: Moment) {
        if !self.shared.is_stopping() {
            return;
        }
        if self.stopping.is_none() {
            self.has_worked = true;
            let deadline_ms = self.shared.stop_deadline_ms(self.options.stop_deadline_ms);
            self.stopping = Some(Stopping::new(now.steady, deadline_ms));
            self.stop_listening();
            self.turn.stop(now);
        }
        let has_failed = self.failure.is_some();
        if let Some(stopping) = self.stopping.as_mut().filter(|_stopping| self.shared.has_failed()) {
            stopping.hurry(now.steady, if has_failed { 0 } else { FAILED_DEADLINE_MS / 2 });
        }
        self.explain(now);
        self.close_sessions(now);
    }

    /// Logs what a long stop waits for.
    fn explain(&mut self, now: Moment) {
        let Some(stopping) = &mut self.stopping else { return };
        if stopping.explains_at.take_if(|at| *at <= now.steady).is_some() && !self.turn.is_settled() {
            let (ms, unfinished) = (now.steady.until(stopping.deadline), self.turn.shard().unfinished());
            tracing::warn!(shard = self.me.0, %unfinished, "the stop waits for unfinished work, at most {ms} ms more; the next start completes the rest");
        }
    }

    fn close_sessions(&mut self, now: Moment) {
        let Some(stopping) = &mut self.stopping else { return };
        if stopping.parts_at.take_if(|at| *at <= now.steady).is_some() {
            self.has_worked = true;
            self.turn.close_sessions(now);
        }
    }

    pub(super) fn stop_listening(&mut self) {
        if self.accepting.is_armed {
            self.ring.cancel_accept();
        } else {
            self.accepting.listener = None;
        }
    }

    /// To be called before the turn's shard messages leave: see `Shared::unsettled`.
    pub(in crate::server) fn publish_settled(&mut self) {
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

    pub(in crate::server) fn is_done(&self, now: Moment) -> bool {
        let Some(stopping) = &self.stopping else { return false };
        let is_quiet = self.sockets.is_empty()
            && self.commit.is_idle()
            && !self.mesh.has_waiting()
            && !self.mesh.has_incoming()
            && !self.endpoint.has_orders()
            && self.accepting.listener.is_none();
        now.steady >= stopping.deadline || is_quiet && self.shared.are_all_settled()
    }

    /// Records that this shard cannot continue, which stops the server.
    pub(in crate::server) fn fail(&mut self, error: RunError) {
        if self.failure.is_some() {
            return;
        }
        tracing::error!(shard = self.me.0, %error, "stopping");
        self.failure = Some(error);
        self.shared.fail();
        self.mesh.wake_all();
    }

    /// The end of the shard: syncs the log and closes the remaining connections.
    pub(in crate::server) fn finish(mut self) -> (Counters, Option<RunError>) {
        if self.failure.is_none() {
            let closed = self.turn.close_log(|disk, batch| disk.sync_from(batch.from.segment()));
            if let Err(error) = closed {
                self.fail(RunError::Disk { shard: self.me, source: Arc::new(error) });
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
