//! Warnings about jumps of the wall clock.

use crate::model::{Moment, ShardId};
use crate::server::reactor::event_loop::Reactor;

impl Reactor {
    /// Warns of jumps. Only one shard does so, because all have the same clock.
    pub(in crate::server) fn warn_of_jumps(&mut self, now: Moment) {
        let stats = self.turn.shard().stats();
        if stats.clock_jumps == self.judging.jumps_told || self.me != ShardId(0) {
            return;
        }
        self.judging.jumps_told = stats.clock_jumps;
        tracing::warn!(
            jumped_ms = stats.clock_jumped_ms,
            wall_ms = now.wall.0,
            "the wall clock has jumped: tokens are judged and messages dated by it as it is now; retention waits until it \
             is back, or has gone on steadily"
        );
    }
}
