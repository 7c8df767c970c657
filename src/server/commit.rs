//! Group commit: one sync in flight, and what arrives meanwhile shares the next one.
//!
//! A failed sync is never tried again (the kernel forgets what it could not write): the log is poisoned, nothing more
//! is called durable, and the server stops.

use super::clock::{Moment, Steady};
use super::error::RunError;
use super::options::Durability;
use super::reactor::Reactor;
use crate::log::Batch;
use crate::model::Position;
use std::io;
use std::ops::RangeInclusive;

pub struct Commit {
    durability: Durability,
    in_flight: Option<InFlight>,
    /// Called durable, but only by policy: segments to sync when `due`.
    unsynced: Option<RangeInclusive<u32>>,
    due: Steady,
}

struct InFlight {
    files: u32,
    /// What becomes durable with it, unless it was called so before.
    end: Option<Position>,
}

impl Commit {
    pub fn new(durability: Durability) -> Self {
        Self { durability, in_flight: None, unsynced: None, due: Steady::default() }
    }

    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none()
    }

    /// When a sync in the background is to start.
    pub fn due(&self) -> Option<Steady> {
        self.unsynced.is_some().then_some(self.due)
    }

    fn note_unsynced(&mut self, batch: Batch, due: Steady) {
        let (first, last) = (batch.from.segment(), batch.to.segment());
        match &self.unsynced {
            Some(earlier) => self.unsynced = Some(*earlier.start().min(&first)..=*earlier.end().max(&last)),
            None => (self.unsynced, self.due) = (Some(first..=last), due),
        }
    }
}

impl Reactor {
    pub(super) fn commit(&mut self, now: Moment) {
        if self.failure.is_some() {
            return;
        }
        match self.commit.durability {
            Durability::Fsync if self.commit.is_idle() => {
                if let Some(batch) = self.turn.seal() {
                    self.start_sync(batch.from.segment()..=batch.to.segment(), Some(batch.to));
                }
            }
            Durability::Fsync => {}
            Durability::None => drop(self.call_durable(now)),
            Durability::Interval { interval_ms } => {
                if let Some(batch) = self.call_durable(now) {
                    self.commit.note_unsynced(batch, now.steady.plus(interval_ms));
                }
                self.sync_unsynced(now.steady);
            }
        }
    }

    /// Durable as far as the policy goes.
    fn call_durable(&mut self, now: Moment) -> Option<Batch> {
        let batch = self.turn.seal()?;
        self.has_worked = true;
        self.turn.synced(now.wall, batch.to);
        Some(batch)
    }

    fn sync_unsynced(&mut self, now: Steady) {
        if !self.commit.is_idle() || self.commit.due().is_none_or(|due| now < due) {
            return;
        }
        if let Some(segments) = self.commit.unsynced.take() {
            self.start_sync(segments, None);
        }
    }

    fn start_sync(&mut self, segments: RangeInclusive<u32>, end: Option<Position>) {
        self.has_worked = true;
        let mut files = 0;
        for segment in segments {
            self.ring.sync(self.turn.storage_mut().file(segment));
            files += 1;
        }
        self.commit.in_flight = Some(InFlight { files, end });
    }

    pub(super) fn synced(&mut self, now: Moment, result: io::Result<()>) {
        let mut in_flight = self.commit.in_flight.take().expect("a sync was in flight");
        in_flight.files -= 1;
        if let Err(error) = result {
            self.fail(RunError::Disk { shard: self.me, what: error.to_string() });
        }
        if in_flight.files > 0 {
            self.commit.in_flight = Some(in_flight);
            return;
        }
        if self.failure.is_some() {
            return;
        }
        self.counters.syncs += 1;
        if let Some(end) = in_flight.end {
            self.turn.synced(now.wall, end);
        }
    }
}
