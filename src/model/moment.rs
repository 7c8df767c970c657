//! The two clocks, kept apart by their types: the wall clock, and the elapsed time of a steady clock.
//!
//! The wall clock can be set: it may jump, stand still and go back. Messages are dated and tokens are checked by the
//! wall clock. Every duration (deadlines, rates, silence) is measured by the steady clock.

use super::Millis;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Unix time in milliseconds; may jump and go back.
    pub wall: Millis,
    /// Elapsed time; never goes back.
    pub steady: Steady,
}

/// Milliseconds since the process began. Never goes back, whatever is done to the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Steady(pub u64);

impl Moment {
    /// A moment whose clocks agree, for tools, benchmarks and tests: nobody sets their wall clock.
    pub const fn told(wall: Millis) -> Self {
        Self { wall, steady: Steady(wall.0) }
    }

    /// This moment and `duration_ms` milliseconds, on both clocks.
    pub const fn plus(self, duration_ms: u64) -> Self {
        Self { wall: self.wall.plus(duration_ms), steady: self.steady.plus(duration_ms) }
    }
}

impl Steady {
    /// A moment that is never reached.
    pub const NEVER: Self = Self(u64::MAX);

    /// This moment and `duration_ms` milliseconds.
    pub const fn plus(self, duration_ms: u64) -> Self {
        Self(self.0.saturating_add(duration_ms))
    }

    /// Milliseconds from `earlier` to this moment; 0 when `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Milliseconds from this moment to `later`; 0 when `later` has passed.
    pub const fn until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0)
    }
}
