//! How narrow everything is in a run.

use crate::world::retention::{HOUR_MS, Retention};
use mushan::model::{Limits, Policies};
use mushan::shard::Windows;

#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub shards: u16,
    pub windows: Windows,
    pub retention: Retention,
    pub limits: Limits,
    pub policies: Policies,
}

/// Sends are not limited here: refusals for speed would only hide what the run is about.
pub fn limits() -> Limits {
    Limits {
        sends_per_second: 1_000_000,
        sends_burst: 1_000_000,
        queries_per_second: 1_000_000,
        queries_burst: 1_000_000,
        extra_bytes_max: 4 << 10,
        outbox_bytes_max: 64 << 10,
        dedupe_window_ms: HOUR_MS,
        ..Limits::default()
    }
}
