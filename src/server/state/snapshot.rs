//! The numbers that a shard publishes about once a second, for metrics and health checks.

use crate::model::{Position, Verb};
use crate::server::state::counters::Counters;
use crate::server::state::mesh::LaneLoad;
use crate::server::state::outboxes::SlowSession;
use crate::shard::Stats;
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub taken: Instant,
    /// Whether the shard has completed the deliveries from before the start.
    pub is_ready: bool,
    pub counters: Counters,
    pub stats: Stats,
    pub connections: u64,
    pub connections_max: u64,
    /// When the last checkpoint of this run was written.
    pub checkpointed: Option<Instant>,
    /// Bytes queued for connections and not yet taken by the kernel; summed over the last few seconds.
    pub outbox_bytes: u64,
    /// Bytes that sockets which do not take theirs may hold.
    pub outbox_bytes_max: u64,
    /// Those with the largest outboxes; at most a few seconds old.
    pub slow_sessions: Vec<SlowSession>,
    pub lanes: LaneLoad,
    pub log: LogShape,
    pub recovery: LogRecovery,
    /// Requests of sessions, by verb.
    pub requests: Vec<(Verb, u64)>,
    /// Bytes of the newest checkpoint.
    pub checkpoint_bytes: u64,
}

/// What opening a shard's log took at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRecovery {
    pub took: Duration,
    /// Records read after the checkpoint.
    pub records: u64,
}

/// The size of a shard's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogShape {
    pub segments: u64,
    /// Bytes of whole segments, as on the disk.
    pub bytes: u64,
    /// Bytes appended after the last position that is known to be durable.
    pub lag_bytes: u64,
    /// There is no room for the next segment.
    pub is_full: bool,
}

impl LogShape {
    pub fn new(segments: usize, segment_bytes: u32, durable: Position, end: Position) -> Self {
        let offset = |at: Position| u64::from(at.segment()) * u64::from(segment_bytes) + u64::from(at.offset());
        Self {
            segments: segments as u64,
            bytes: segments as u64 * u64::from(segment_bytes),
            lag_bytes: offset(end).saturating_sub(offset(durable)),
            is_full: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_counts_across_segments() {
        let shape = LogShape::new(3, 1_000, Position::new(2, 900), Position::new(3, 50));
        assert_eq!(shape, LogShape { segments: 3, bytes: 3_000, lag_bytes: 150, is_full: false });
    }
}
