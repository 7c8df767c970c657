//! The state of group commit: the sync in flight, and the deadline of the next one.

use crate::model::Position;
use crate::model::Steady;
use crate::server::config::options::Durability;
use std::time::{Duration, Instant};

pub struct GroupCommit {
    pub durability: Durability,
    pub delay_ms: u64,
    pub in_flight: Option<SyncInFlight>,
    /// The deadline of the next sync: of the policy `interval`, or of the group-commit delay.
    pub due: Option<Steady>,
    /// The recent duration of a sync.
    pub usual: Duration,
}

pub struct SyncInFlight {
    /// Files that are being synced.
    pub files: u32,
    /// What becomes durable with it.
    pub end: Position,
    pub since: Instant,
}

impl GroupCommit {
    pub fn new(durability: Durability, delay_ms: u64) -> Self {
        Self { durability, delay_ms, in_flight: None, due: None, usual: Duration::ZERO }
    }

    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none()
    }

    /// Whether a core that looks for work for so long would mostly look in vain: a sync is in flight that takes longer.
    pub fn outlasts(&self, spin: Duration) -> bool {
        self.in_flight.is_some() && self.usual > spin
    }

    /// When a sync in the background is to start.
    pub fn due(&self) -> Option<Steady> {
        self.due
    }
}
