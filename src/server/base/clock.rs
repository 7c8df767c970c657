//! The clocks of a turn, read once in each turn.
//!
//! The wall clock is reported as the system shows it, jumps included: code that needs a monotonic time uses the steady
//! clock. All copies of one `Clock` count from the same start, so that times of one core are comparable with those of
//! another.

use crate::model::{Millis, Moment, Steady};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The wall clock, as the system shows it.
pub fn wall_now() -> Millis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// Whole microseconds.
pub fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

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

    /// The same, and the time since the start with nanoseconds.
    pub fn read_finely(self) -> (Moment, Duration) {
        let elapsed = self.start.elapsed();
        let steady = Steady(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        (Moment { wall: wall_now(), steady }, elapsed)
    }

    /// A time since the start.
    pub fn time_of(self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }
}
