//! How often something may happen: token buckets of a steady clock, one for all, or one for each address in a table of fixed
//! size.
//!
//! Owned by one shard. Invariant: the table never grows. Where more addresses come than it has places, the address that
//! has used the least of its share is forgotten: the bound is lost for it, and nobody is refused for another's doing.

use crate::model::Steady;
use crate::server::peer::client::PeerAddress;
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// Sets of the table, and places in each: 8,192 addresses in 192 KiB.
const SETS: usize = 2_048;
const WAYS: usize = 4;
const MINUTE_NS: u64 = 60_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// One token bucket: a rate, and a burst of `burst_ns` at that rate.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// Between two events at the full rate, in nanoseconds.
    interval_ns: u64,
    burst_ns: u64,
}

impl Rate {
    /// When a bucket that is full again at `full_at_ns` will be so after one more event now; `None`: there is no room for one.
    fn after_one(self, now: Steady, full_at_ns: u64) -> Option<u64> {
        let now_ns = now.0.saturating_mul(1_000_000);
        let full_at_ns = full_at_ns.max(now_ns).saturating_add(self.interval_ns);
        (full_at_ns <= now_ns.saturating_add(self.burst_ns)).then_some(full_at_ns)
    }
}

/// Rounded up: no rate is faster than it says, and none is so fast that it is no bound.
fn interval(span_ns: u64, events: u64) -> Option<u64> {
    (events > 0).then(|| span_ns.div_ceil(events))
}

/// A rate of everything together. A burst is the share of a second.
#[derive(Debug)]
pub struct Pace {
    rate: Rate,
    /// When the bucket is full again, in nanoseconds of the steady clock.
    full_at_ns: u64,
}

impl Pace {
    /// `None` for a rate of 0, which is no bound.
    pub fn new(per_second: u64) -> Option<Self> {
        let interval_ns = interval(SECOND_NS, per_second)?;
        Some(Self { rate: Rate { interval_ns, burst_ns: SECOND_NS }, full_at_ns: 0 })
    }

    /// Whether it may happen once more at `now`, and if so counts it.
    pub fn admit(&mut self, now: Steady) -> bool {
        let after = self.rate.after_one(now, self.full_at_ns);
        self.full_at_ns = after.unwrap_or(self.full_at_ns);
        after.is_some()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct AddressBucket {
    address: Option<PeerAddress>,
    /// When the bucket is full again, in nanoseconds of the steady clock.
    full_at_ns: u64,
}

/// A rate for each address. A burst is the share of a minute.
#[derive(Debug)]
pub struct AddressRates {
    sets: Vec<[AddressBucket; WAYS]>,
    rate: Rate,
    hasher: FixedState,
}

impl AddressRates {
    /// `None` for a rate of 0, which is no bound.
    pub fn new(per_minute: u64, seed: u64) -> Option<Self> {
        let interval_ns = interval(MINUTE_NS, per_minute)?;
        let rate = Rate { interval_ns, burst_ns: MINUTE_NS };
        Some(Self { sets: vec![Default::default(); SETS], rate, hasher: FixedState::with_seed(seed) })
    }

    /// Whether the address may do it once more at `now`, and if so counts it.
    pub fn admit(&mut self, now: Steady, address: PeerAddress) -> bool {
        let set = &mut self.sets[self.hasher.hash_one(address) as usize % SETS];
        let known = set.iter().position(|bucket| bucket.address == Some(address));
        let at = known.unwrap_or_else(|| {
            let fullest = set.iter().enumerate().min_by_key(|(_, bucket)| bucket.full_at_ns);
            fullest.map_or(0, |(at, _)| at)
        });
        let bucket = &mut set[at];
        if known.is_none() {
            *bucket = AddressBucket { address: Some(address), full_at_ns: 0 };
        }
        let after = self.rate.after_one(now, bucket.full_at_ns);
        bucket.full_at_ns = after.unwrap_or(bucket.full_at_ns);
        after.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn address(number: u32) -> PeerAddress {
        IpAddr::V4(Ipv4Addr::from_bits(number)).into()
    }

    fn admitted(rates: &mut AddressRates, now_ms: u64, times: usize, number: u32) -> usize {
        (0..times).filter(|_time| rates.admit(Steady(now_ms), address(number))).count()
    }

    #[test]
    fn an_address_has_a_minutes_share_at_once_and_then_its_rate() {
        let mut rates = AddressRates::new(60, 1).expect("a bound");
        assert_eq!(admitted(&mut rates, 5, 100, 7), 60);
        assert_eq!(admitted(&mut rates, 500, 100, 7), 0);
        assert_eq!(admitted(&mut rates, 3_005, 100, 7), 3, "one a second");
        assert_eq!(admitted(&mut rates, 3_005, 100, 8), 60, "another address has its own");
        assert_eq!(admitted(&mut rates, 10_000_000, 100, 7), 60);
        assert!(AddressRates::new(0, 1).is_none());
    }

    #[test]
    fn a_pace_has_a_seconds_share_at_once_and_then_its_rate() {
        let mut pace = Pace::new(20).expect("a bound");
        let mut admitted = |now_ms: u64| (0..100).filter(|_time| pace.admit(Steady(now_ms))).count();
        assert_eq!([admitted(0), admitted(10), admitted(500), admitted(10_000)], [20, 0, 10, 20]);
        let mut slowest = Pace::new(1).expect("a bound");
        assert_eq!([0, 999, 1_000].map(|now_ms| slowest.admit(Steady(now_ms))), [true, false, true]);
        assert!(Pace::new(0).is_none());
    }

    #[test]
    fn high_rates_are_bounds_too_and_are_what_they_say() {
        for per_second in [600_000, 999_999, 1_000_000] {
            let mut pace = Pace::new(per_second).expect("a bound");
            let mut admitted = |now_ms: u64| (0..1_100_000).filter(|_time| pace.admit(Steady(now_ms))).count() as u64;
            for (now_ms, share) in [(0, per_second), (100, per_second / 10)] {
                let admitted = admitted(now_ms);
                assert!((share * 999 / 1_000..=share).contains(&admitted), "{admitted} of {share} at {per_second}");
            }
        }
        assert!(Pace::new(u64::MAX).expect("a bound").rate.interval_ns > 0);
        assert!(AddressRates::new(u64::MAX, 1).expect("a bound").rate.interval_ns > 0);
    }

    #[test]
    fn many_addresses_take_no_memory_and_refuse_nobody_else() {
        let mut rates = AddressRates::new(10, 1).expect("a bound");
        for number in 0..1_000_000 {
            assert!(rates.admit(Steady(1), address(number)));
        }
        assert_eq!(rates.sets.len(), SETS);
        assert!(rates.admit(Steady(2), address(2_000_000)));
    }

    #[test]
    fn who_floods_is_not_forgotten_for_those_who_come_once() {
        let mut rates = AddressRates::new(10, 1).expect("a bound");
        assert_eq!(admitted(&mut rates, 1, 20, 7), 10);
        (100..1_100).for_each(|number| assert!(rates.admit(Steady(1), address(number))));
        assert_eq!(admitted(&mut rates, 1, 20, 7), 0);
    }
}
