//! The drain before a stop: accepts nobody, and asks sessions to go, spread over the time, so that they do not all
//! reach another server at once.

use crate::model::Moment;
use crate::server::reactor::event_loop::Reactor;
use crate::server::state::draining::Draining;

impl Reactor {
    pub(in crate::server) fn observe_drain(&mut self, now: Moment) {
        if self.stopping.is_some() || self.shared.is_stopping() {
            self.draining = None;
            return;
        }
        // A drain that is asked for during the start begins after it: the start waits until the shards listen.
        let Some(length_ms) = self.shared.drain_ms().filter(|_length_ms| self.accepting.is_open) else { return };
        if self.draining.is_none() {
            self.has_worked = true;
            self.draining = Some(Draining::new(now.steady, length_ms, self.sockets.len()));
            self.stop_listening();
            tracing::info!(shard = self.me.0, connections = self.sockets.len(), length_ms, "draining");
        }
        let Some(draining) = &mut self.draining else { return };
        let due = draining.take_due(now.steady);
        if self.sockets.is_empty() && !draining.is_empty {
            draining.is_empty = true;
            self.shared.count_drained();
        }
        if draining.is_over(now.steady) || self.shared.are_all_drained() {
            self.shared.stop();
            self.mesh.wake_all();
            return;
        }
        if due > 0 {
            self.has_worked = true;
            self.turn.ask_to_go(now, due);
        }
    }
}
