//! The numbers of the hook, which the control thread reads for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Why there is no valid answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookFault {
    /// No answer within `hook.timeout_ms`.
    Timeout,
    /// No slot within `hook.timeout_ms`: `hook.concurrency_max` questions are under way.
    Busy,
    /// No connection, or one that broke off.
    Connection,
    /// Another status than 200.
    Status,
    /// A body that is none of the answers.
    Answer,
}

impl HookFault {
    pub const ALL: [Self; 5] = [Self::Timeout, Self::Busy, Self::Connection, Self::Status, Self::Answer];

    pub fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Busy => "busy",
            Self::Connection => "connection",
            Self::Status => "status",
            Self::Answer => "answer",
        }
    }
}

/// Upper bounds of the latency's buckets, in milliseconds.
pub const LATENCY_BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 60_000];

/// Counters since the start.
#[derive(Debug, Default)]
pub struct HookMeters {
    pub asked: AtomicU64,
    pub allowed: AtomicU64,
    pub denied: AtomicU64,
    pub replaced: AtomicU64,
    /// Questions under way or waiting for a slot.
    pub under_way: AtomicU64,
    failed: [AtomicU64; HookFault::ALL.len()],
    latency_us: AtomicU64,
    /// Answers of each bucket alone.
    buckets: [AtomicU64; LATENCY_BOUNDS_MS.len()],
}

/// The numbers at one time.
#[derive(Clone, Copy, Debug, Default)]
pub struct HookNumbers {
    pub asked: u64,
    pub allowed: u64,
    pub denied: u64,
    pub replaced: u64,
    pub under_way: u64,
    /// In the order of `HookFault::ALL`.
    pub failed: [u64; HookFault::ALL.len()],
    /// From the question to the answer or its failure.
    pub latency_us: u64,
    /// In the order of `LATENCY_BOUNDS_MS`.
    pub buckets: [u64; LATENCY_BOUNDS_MS.len()],
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl HookMeters {
    pub(super) fn fail(&self, fault: HookFault) {
        count(&self.failed[fault as usize]);
    }

    pub(super) fn note_latency(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency_us.fetch_add(took_us, Ordering::Relaxed);
        let bucket = LATENCY_BOUNDS_MS.iter().position(|bound| took_us <= bound * 1_000);
        count(&self.buckets[bucket.unwrap_or(LATENCY_BOUNDS_MS.len() - 1)]);
    }

    pub fn numbers(&self) -> HookNumbers {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HookNumbers {
            asked: read(&self.asked),
            allowed: read(&self.allowed),
            denied: read(&self.denied),
            replaced: read(&self.replaced),
            under_way: read(&self.under_way),
            failed: std::array::from_fn(|at| read(&self.failed[at])),
            latency_us: read(&self.latency_us),
            buckets: std::array::from_fn(|at| read(&self.buckets[at])),
        }
    }
}
