//! When a request is tried again: exponential, with full jitter, so that receivers that come back are not met by all at once.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
/// The longest pause, also where the receiver asks for a longer one.
pub const PAUSE_MAX: Duration = Duration::from_secs(300);

/// The pause after `failures` failures in a row, at least 1. `chance` is any number. A receiver's own wish is the least pause.
pub fn pause_after(failures: u32, chance: u64, wished: Option<Duration>) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let most = doubled.min(PAUSE_MAX).as_millis() as u64;
    let jittered = Duration::from_millis(chance % (most + 1));
    jittered.max(wished.unwrap_or_default()).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_are_anything_below_it() {
        let most = |failures| (0..400_000).step_by(7).map(|chance| pause_after(failures, chance, None)).max();
        let at_most = |ms| Some(Duration::from_millis(ms)..=Duration::from_millis(ms));
        for (failures, bound) in [(1, 500), (2, 1_000), (5, 8_000)] {
            let longest = most(failures).expect("some");
            assert!(longest <= Duration::from_millis(bound), "{failures}: {longest:?}");
            assert!(longest > Duration::from_millis(bound - 10), "{failures}: {longest:?} of {:?}", at_most(bound));
        }
        assert!(most(40) <= Some(PAUSE_MAX));
        assert_eq!(pause_after(9, 0, None), Duration::ZERO);
    }

    #[test]
    fn what_a_receiver_wishes_is_granted_within_the_bound() {
        let wished = |seconds| pause_after(1, 3, Some(Duration::from_secs(seconds)));
        assert_eq!((wished(7), wished(100_000)), (Duration::from_secs(7), PAUSE_MAX));
    }
}
