//! The clocks as turns see them, read once per turn.
//!
//! `wall` is what messages and tokens are dated with; it never goes back while the process lives. `steady` is what the
//! edge's own deadlines are counted by, whatever is done to the wall clock.

use crate::model::Millis;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub wall: Millis,
    pub steady: Steady,
}

/// Milliseconds since the clock was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Steady(pub u64);

impl Steady {
    pub fn plus(self, duration_ms: u64) -> Self {
        Self(self.0.saturating_add(duration_ms))
    }

    /// How long until `later`, in milliseconds; 0 when it has passed.
    pub fn until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0)
    }
}

#[derive(Debug)]
pub struct Clock {
    start: Instant,
    latest: Millis,
}

impl Clock {
    pub fn start() -> Self {
        Self { start: Instant::now(), latest: Millis(0) }
    }

    pub fn read(&mut self) -> Moment {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = self.advance(Millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)));
        let steady = Steady(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX));
        Moment { wall, steady }
    }

    fn advance(&mut self, read: Millis) -> Millis {
        self.latest = self.latest.max(read);
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_is_set_back_stands_still() {
        let mut clock = Clock::start();
        assert_eq!(clock.advance(Millis(50)), Millis(50));
        assert_eq!(clock.advance(Millis(20)), Millis(50));
        assert_eq!(clock.advance(Millis(51)), Millis(51));
    }
}
