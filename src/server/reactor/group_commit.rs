//! Group commit: one sync in flight; records that are appended during the sync share the next one.
//!
//! A failed sync is never retried, because the kernel drops the pages that it could not write: nothing more is reported
//! as durable, and the server stops.

use crate::model::Moment;
use crate::model::Position;
use crate::server::base::clock::micros;
use crate::server::base::error::RunError;
use crate::server::config::options::Durability;
use crate::server::reactor::event_loop::Reactor;
use crate::server::state::group_commit::SyncInFlight;
use crate::server::turn::sampler::CompletedSync;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

impl Reactor {
    pub(in crate::server) fn commit(&mut self, now: Moment) {
        if self.failure.is_some() {
            return;
        }
        match self.commit.durability {
            Durability::Fsync if self.commit.delay_ms == 0 => self.sync_if_idle(),
            Durability::Fsync => {
                if self.commit.is_idle() && self.turn.shard().awaits_log() {
                    let delay_ms = self.commit.delay_ms;
                    self.commit.due.get_or_insert(now.steady.plus(delay_ms));
                }
                self.sync_if_due(now);
            }
            Durability::Interval { interval_ms } => {
                if self.ack_without_sync(now) {
                    self.commit.due.get_or_insert(now.steady.plus(interval_ms));
                }
                self.sync_if_due(now);
            }
            Durability::None => {
                self.ack_without_sync(now);
            }
        }
    }

    /// Acknowledges records without a sync. Returns whether an effect waited for that.
    fn ack_without_sync(&mut self, now: Moment) -> bool {
        let was_awaited = self.turn.ack_without_sync(now);
        self.has_worked |= was_awaited;
        was_awaited
    }

    fn sync_if_due(&mut self, now: Moment) {
        if self.commit.is_idle() && self.commit.due.is_some_and(|due| due <= now.steady) {
            self.commit.due = None;
            self.sync_if_idle();
        }
    }

    fn sync_if_idle(&mut self) {
        if !self.commit.is_idle() {
            return;
        }
        if let Some(batch) = self.turn.seal() {
            self.start_sync(batch.from.segment()..=batch.to.segment(), batch.to);
        }
    }

    fn start_sync(&mut self, segments: RangeInclusive<u32>, end: Position) {
        self.has_worked = true;
        let mut files = 0;
        for segment in segments {
            self.ring.sync(self.turn.storage_mut().file(segment));
            files += 1;
        }
        let awaited = self.turn.shard().records_awaited();
        let records = awaited - std::mem::replace(&mut self.commit.records_sealed, awaited);
        self.commit.in_flight = Some(SyncInFlight { files, end, records, since: Instant::now() });
    }

    pub(in crate::server) fn synced(&mut self, now: Moment, result: io::Result<()>) {
        let mut in_flight = self.commit.in_flight.take().expect("a sync was in flight");
        in_flight.files -= 1;
        if let Err(error) = result {
            self.fail(RunError::Disk { shard: self.me, source: Arc::new(error) });
        }
        if in_flight.files > 0 {
            self.commit.in_flight = Some(in_flight);
            return;
        }
        if self.failure.is_some() {
            return;
        }
        self.counters.syncs += 1;
        let took = in_flight.since.elapsed();
        self.counters.histograms.sync_us.note(micros(took));
        self.counters.histograms.sync_records.note(in_flight.records);
        let began = self.clock.time_of(in_flight.since);
        self.commit.synced = Some(CompletedSync { began, ended: began + took, end: in_flight.end });
        self.turn.synced(now, in_flight.end);
    }
}
