//! The state of group commit: the sync in flight, and the deadline of the next one.

use crate::model::Position;
use crate::model::Steady;
use crate::server::config::options::Durability;
use crate::server::turn::sampler::CompletedSync;
use std::time::Instant;

pub struct GroupCommit {
    pub durability: Durability,
    pub delay_ms: u64,
    pub in_flight: Option<SyncInFlight>,
    /// The last one that has ended.
    pub synced: Option<CompletedSync>,
    /// The deadline of the next sync: of the policy `interval`, or of the group-commit delay.
    pub due: Option<Steady>,
    /// Records that somebody waited for, as of the last sync's start.
    pub records_sealed: u64,
}

pub struct SyncInFlight {
    /// Files that are being synced.
    pub files: u32,
    /// The log position that becomes durable with this sync.
    pub end: Position,
    /// Records that somebody waits for.
    pub records: u64,
    pub since: Instant,
}

impl GroupCommit {
    pub fn new(durability: Durability, delay_ms: u64) -> Self {
        Self { durability, delay_ms, in_flight: None, synced: None, due: None, records_sealed: 0 }
    }

    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none()
    }

    /// When the next background sync is due.
    pub fn due(&self) -> Option<Steady> {
        self.due
    }
}
