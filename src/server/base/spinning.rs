//! How long an idle shard looks for work before it sleeps.
//!
//! Invariant: looking is never longer than the bound of the configuration, and a shard whose work usually comes later than
//! that does not look at all.

use std::time::Duration;

pub struct Spinning {
    bound: Duration,
    /// The recent time from the end of one turn with work to the next one.
    usual_gap: Duration,
    idle_since: Option<Duration>,
}

/// A longer gap counts as one of so many bounds: after a pause, a few short gaps are enough to look again.
const GAP_BOUNDS_MAX: u32 = 4;

impl Spinning {
    pub fn new(bound: Duration) -> Self {
        Self { bound, usual_gap: GAP_BOUNDS_MAX * bound, idle_since: None }
    }

    /// A turn that began at `at` had work.
    pub fn worked(&mut self, at: Duration) {
        if let Some(since) = self.idle_since.take() {
            let gap = at.saturating_sub(since).min(GAP_BOUNDS_MAX * self.bound);
            self.usual_gap = (7 * self.usual_gap + gap) / 8;
        }
    }

    /// A turn that began at `at` had no work. Returns whether looking for it once more pays.
    pub fn looks_again(&mut self, at: Duration) -> bool {
        let since = *self.idle_since.get_or_insert(at);
        self.usual_gap < self.bound && at.saturating_sub(since) < self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_micros(10);

    /// Work comes `gap` after each work, `times` times. Returns the time that was spent looking for the last one.
    fn looked(spinning: &mut Spinning, at: &mut Duration, gap: Duration, times: u32) -> Duration {
        let mut looked = Duration::ZERO;
        for _time in 0..times {
            let idle_since = *at;
            while *at < idle_since + gap && spinning.looks_again(*at) {
                *at += Duration::from_micros(1);
            }
            looked = *at - idle_since;
            *at = idle_since + gap;
            spinning.worked(*at);
        }
        looked
    }

    #[test]
    fn a_shard_looks_for_work_only_while_work_usually_comes_within_the_bound() {
        let (mut spinning, mut at) = (Spinning::new(BOUND), Duration::ZERO);
        assert_eq!(looked(&mut spinning, &mut at, Duration::from_micros(300), 50), Duration::ZERO);
        assert_eq!(looked(&mut spinning, &mut at, Duration::from_micros(4), 50), Duration::from_micros(4));
        // One long gap costs one bound.
        assert_eq!(looked(&mut spinning, &mut at, Duration::from_secs(60), 1), BOUND);
        assert_eq!(looked(&mut spinning, &mut at, Duration::from_micros(4), 20), Duration::from_micros(4));
        assert_eq!(looked(&mut spinning, &mut at, Duration::from_micros(11), 50), Duration::ZERO);
    }

    #[test]
    fn without_a_bound_nothing_is_looked_for() {
        let (mut spinning, mut at) = (Spinning::new(Duration::ZERO), Duration::ZERO);
        assert_eq!(looked(&mut spinning, &mut at, Duration::from_micros(1), 50), Duration::ZERO);
    }
}
