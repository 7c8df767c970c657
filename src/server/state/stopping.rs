//! The progress of a graceful stop, and when its next step is due.

use crate::model::Steady;

/// The deadline of a stop after a shard has failed: outstanding replies cannot be completed, only close frames are
/// written.
pub const FAILED_DEADLINE_MS: u64 = 500;
/// The most time that a server takes to stop when another one waits for its directory. Replies that are on their way come
/// within a sync; what is unfinished after this the next start completes, as after a crash.
pub const HAND_OVER_DEADLINE_MS: u64 = 300;
/// How long unfinished work may delay a stop before a line in the log says so.
const PATIENCE_MS: u64 = 500;
/// How long before the deadline sessions are closed, so that their clients still receive the reason.
const FAREWELL_MS: u64 = 300;

pub struct Stopping {
    pub deadline: Steady,
    /// When the log says what the stop waits for, if it still waits.
    pub explains_at: Option<Steady>,
    /// When sessions are closed, whatever is unfinished.
    pub parts_at: Option<Steady>,
    pub is_settled: bool,
}

impl Stopping {
    pub fn new(now: Steady, deadline_ms: u64) -> Self {
        let parts_ms = deadline_ms.saturating_sub(FAREWELL_MS).max(deadline_ms / 2);
        Self {
            deadline: now.plus(deadline_ms),
            explains_at: Some(now.plus(PATIENCE_MS.min(parts_ms))),
            parts_at: Some(now.plus(parts_ms)),
            is_settled: false,
        }
    }

    /// A shard has failed. Its own sessions are closed at once, those of others when their work is finished, or soon.
    pub fn hurry(&mut self, now: Steady, parts_ms: u64) {
        self.deadline = self.deadline.min(now.plus(FAILED_DEADLINE_MS));
        self.parts_at = self.parts_at.map(|at| at.min(now.plus(parts_ms)));
    }

    /// When the next step is due that no event announces.
    pub fn due(&self) -> Steady {
        [self.explains_at, self.parts_at].into_iter().flatten().fold(self.deadline, Steady::min)
    }
}
