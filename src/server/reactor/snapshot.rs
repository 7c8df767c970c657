//! Collects the numbers that one shard publishes.

use crate::log::Storage;
use crate::server::reactor::event_loop::Reactor;
use crate::server::state::outboxes::slowest;
use crate::server::state::snapshot::{LogShape, Snapshot};
use std::time::Instant;

impl Reactor {
    pub(in crate::server) fn snapshot(&self) -> Snapshot {
        let stats = self.turn.shard().stats();
        let mut counters = self.counters.clone();
        counters.add_traffic(&self.turn.traffic());
        counters.records = stats.records;
        counters.histograms.lane_us = *self.mesh.hops_us();
        counters.histograms.push_ms = *self.turn.shard().push_ms();
        let journal = self.turn.shard().journal();
        let (durable, end) = (journal.durable(), journal.end());
        Snapshot {
            taken: Instant::now(),
            is_ready: self.turn.is_ready(),
            counters,
            stats,
            connections: self.sockets.len() as u64,
            connections_max: self.accepting.connections_max as u64,
            checkpointed: self.checkpointed,
            outbox_bytes: self.outboxes.iter().sum(),
            outbox_bytes_max: self.outboxes_held.bytes_max,
            slow_sessions: slowest(self.slow_sessions.concat()),
            lanes: self.mesh.load(),
            requests: self.turn.shard().requests().collect(),
            recovery: self.recovery,
            checkpoint_bytes: self.jobs.queues.space.checkpoint_bytes(&self.jobs.directory),
            log: LogShape {
                is_full: journal.storage().is_full(),
                ..LogShape::new(journal.segments().len(), self.jobs.segment_bytes, durable, end)
            },
        }
    }
}
