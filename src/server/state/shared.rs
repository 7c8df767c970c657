//! State that all shards of a server share: whether to stop, and the progress of start and stop.
//!
//! Every change is followed by waking all shards.

use crate::server::state::stopping::HAND_OVER_DEADLINE_MS;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Debug)]
pub struct Shared {
    is_stopping: AtomicBool,
    has_failed: AtomicBool,
    /// The length of the drain in milliseconds, and one more; 0: nobody drains.
    drain: AtomicU64,
    /// The process to which the server hands over its directory and its port, once it has agreed to that.
    successor: OnceLock<u32>,
    /// How long nobody served, where this server has taken over from another one.
    gap: OnceLock<Duration>,
    /// Shards with connections, while the server drains.
    undrained: AtomicUsize,
    /// Wakes the control thread, which does not sleep on a `Waker`.
    stop_told: Notify,
    /// Shards that have not yet completed the deliveries from before the start.
    unready: AtomicUsize,
    /// Participants with unfinished work: shards that have some or have not been told to stop, and the control thread
    /// while it may give orders. Rule: a shard that gets work counts itself before it publishes its answer, and the
    /// giver counts until it has the answer. So 0 is stable, and means that all may exit.
    unsettled: AtomicUsize,
}

impl Shared {
    pub fn new(shards: u16) -> Self {
        let shards = usize::from(shards);
        Self {
            is_stopping: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            drain: AtomicU64::new(0),
            successor: OnceLock::new(),
            gap: OnceLock::new(),
            undrained: AtomicUsize::new(shards),
            stop_told: Notify::new(),
            unready: AtomicUsize::new(shards),
            unsettled: AtomicUsize::new(shards),
        }
    }

    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.stop_told.notify_one();
    }

    /// Begins a drain, unless one is under way; a stop follows it.
    pub fn drain(&self, length_ms: u64) {
        let began = self.drain.compare_exchange(0, length_ms.saturating_add(1), Ordering::SeqCst, Ordering::SeqCst);
        if let Err(earlier) = began {
            tracing::info!(length_ms = earlier - 1, "the server drains already");
        }
    }

    /// How long the drain that has begun takes, in milliseconds.
    pub fn drain_ms(&self) -> Option<u64> {
        self.drain.load(Ordering::SeqCst).checked_sub(1)
    }

    /// Stops the server in favour of the process that waits for its directory. `false` if it stops already.
    pub fn hand_over(&self, successor: u32) -> bool {
        if self.is_stopping() || self.successor.set(successor).is_err() {
            return false;
        }
        self.stop();
        true
    }

    /// The process to which the server hands over.
    pub fn successor(&self) -> Option<u32> {
        self.successor.get().copied()
    }

    /// How long a stop may take, in milliseconds, if `deadline_ms` is allowed and nobody waits.
    pub fn stop_deadline_ms(&self, deadline_ms: u64) -> u64 {
        if self.successor().is_some() { deadline_ms.min(HAND_OVER_DEADLINE_MS) } else { deadline_ms }
    }

    /// To be called once, by a server that has taken over and serves now.
    pub fn note_gap(&self, gap: Duration) {
        let _ = self.gap.set(gap);
    }

    /// How long nobody served when this server took over from another one; `None` if it did not.
    pub fn gap(&self) -> Option<Duration> {
        self.gap.get().copied()
    }

    /// To be called once for each shard.
    pub fn count_drained(&self) {
        self.undrained.fetch_sub(1, Ordering::SeqCst);
    }

    pub fn are_all_drained(&self) -> bool {
        self.undrained.load(Ordering::SeqCst) == 0
    }

    /// Marks the server as failed: nobody waits for a failed shard.
    pub fn fail(&self) {
        self.has_failed.store(true, Ordering::SeqCst);
        self.stop();
    }

    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// For the control thread only: a notification that precedes the wait is kept for it.
    pub async fn told_to_stop(&self) {
        while !self.is_stopping() {
            self.stop_told.notified().await;
        }
    }

    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::SeqCst)
    }

    /// To be called once for each shard.
    pub fn count_ready(&self) {
        self.unready.fetch_sub(1, Ordering::SeqCst);
    }

    pub fn are_all_ready(&self) -> bool {
        self.unready.load(Ordering::SeqCst) == 0
    }

    /// To be called only on a change, and before the turn's shard messages leave.
    pub fn count_settled(&self) {
        self.unsettled.fetch_sub(1, Ordering::SeqCst);
    }

    pub fn count_unsettled(&self) {
        self.unsettled.fetch_add(1, Ordering::SeqCst);
    }

    pub fn are_all_settled(&self) -> bool {
        self.unsettled.load(Ordering::SeqCst) == 0
    }
}
