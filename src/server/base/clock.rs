//! The clocks as turns see them, read once per turn.
//!
//! The wall clock is told as it is, wherever it has been set to: what must not go back or wait for it sees to that itself.
//! All copies of one `Clock` count from the same start, so that what one core noted means the same to another.

use crate::model::{Millis, Moment, Steady};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub fn read(self) -> Moment {
        self.read_finely().0
    }

    /// The same, and how long the clock has run, for what takes less than a millisecond.
    pub fn read_finely(self) -> (Moment, Duration) {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX));
        let elapsed = self.start.elapsed();
        let steady = Steady(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        (Moment { wall, steady }, elapsed)
    }
}
