//! The two kinds of time, kept apart by their types: what a wall clock shows, and what has elapsed.
//!
//! The wall clock can be set: it may jump, stand still and go back. It dates messages and judges tokens. How long something
//! has lasted (deadlines, rates, silence) is told by the steady clock alone.

use super::Millis;

/// Both clocks, read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub wall: Millis,
    pub steady: Steady,
}

/// Milliseconds since the process began: never goes back, whatever is done to the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Steady(pub u64);

impl Moment {
    /// Where somebody says what time it is and nobody sets a clock: tools, benchmarks, tests.
    pub const fn told(wall: Millis) -> Self {
        Self { wall, steady: Steady(wall.0) }
    }

    /// Later on both clocks.
    pub const fn plus(self, duration_ms: u64) -> Self {
        Self { wall: self.wall.plus(duration_ms), steady: self.steady.plus(duration_ms) }
    }
}

impl Steady {
    pub const NEVER: Self = Self(u64::MAX);

    pub const fn plus(self, duration_ms: u64) -> Self {
        Self(self.0.saturating_add(duration_ms))
    }

    /// How long ago `earlier` was, in milliseconds; 0 when it is still to come.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// How long until `later`, in milliseconds; 0 when it has passed.
    pub const fn until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0)
    }
}
