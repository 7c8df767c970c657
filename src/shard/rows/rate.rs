//! A user's rates: a token bucket stored as one number, the time at which it is full again (GCRA).
//!
//! Owned by the inboxes, and not by sessions: a new connection gets no new allowance. Invariant: a user without an
//! allowance here has full buckets, so only users that have sent or asked lately have one.

use crate::model::{Limits, Steady};
use crate::shard::rows::index::UserIndex;
use crate::shard::table::rows::{RowIndex, Rows};

const NANOS_PER_MICRO: u64 = 1_000;
const NANOS_PER_MILLI: u64 = 1_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, Default)]
pub(in crate::shard) struct Bucket {
    /// In nanoseconds: the highest rates differ by less than a microsecond for each token.
    full_at_ns: u64,
}

impl Bucket {
    /// Takes `tokens` of a bucket of sends, or its whole capacity if that is less; false if there are not enough.
    pub fn take(&mut self, now: Steady, tokens: u32, limits: &Limits) -> bool {
        self.take_at(now, limits.sends_per_second, limits.sends_burst, tokens)
    }

    /// Returns a token whose request is made again.
    pub fn give_back(&mut self, limits: &Limits) {
        self.full_at_ns = self.full_at_ns.saturating_sub(token_ns(limits.sends_per_second));
    }

    /// As `take`, of a bucket of queries.
    pub fn take_queries(&mut self, now: Steady, limits: &Limits, queries: u32) -> bool {
        self.take_at(now, limits.queries_per_second, limits.queries_burst, queries.max(1))
    }

    fn take_at(&mut self, now: Steady, per_second: u32, burst: u32, tokens: u32) -> bool {
        let (token_ns, burst) = (token_ns(per_second), burst.max(1));
        self.take_ns(now, token_ns * u64::from(tokens.min(burst)), token_ns * u64::from(burst))
    }

    /// Takes the tokens that refill within `us`, from a bucket that is full `burst_us` after it was empty; false if
    /// there are not enough.
    pub fn take_us(&mut self, now: Steady, us: u64, burst_us: u64) -> bool {
        self.take_ns(now, us.saturating_mul(NANOS_PER_MICRO), burst_us.saturating_mul(NANOS_PER_MICRO))
    }

    pub fn has_us(self, now: Steady, us: u64, burst_us: u64) -> bool {
        self.has_ns(now, us.saturating_mul(NANOS_PER_MICRO), burst_us.saturating_mul(NANOS_PER_MICRO))
    }

    /// Takes the tokens even if there are not enough.
    pub fn spend_us(&mut self, now: Steady, us: u64) {
        self.spend_ns(now, us.saturating_mul(NANOS_PER_MICRO));
    }

    fn take_ns(&mut self, now: Steady, ns: u64, burst_ns: u64) -> bool {
        let has = self.has_ns(now, ns, burst_ns);
        if has {
            self.spend_ns(now, ns);
        }
        has
    }

    fn has_ns(self, now: Steady, ns: u64, burst_ns: u64) -> bool {
        let now_ns = now.0 * NANOS_PER_MILLI;
        self.full_at_ns.max(now_ns).saturating_add(ns.min(burst_ns)) - now_ns <= burst_ns
    }

    fn spend_ns(&mut self, now: Steady, ns: u64) {
        self.full_at_ns = self.full_at_ns.max(now.0 * NANOS_PER_MILLI).saturating_add(ns);
    }

    fn is_full(self, now: Steady) -> bool {
        self.full_at_ns <= now.0 * NANOS_PER_MILLI
    }
}

/// The time in which one token of a rate refills, in nanoseconds.
fn token_ns(per_second: u32) -> u64 {
    NANOS_PER_SECOND / u64::from(per_second).max(1)
}

/// Each new allowance checks this many old ones and frees those that are full again, which bounds memory without a
/// timer.
const LOOKED_AT: usize = 2;

#[derive(Debug)]
pub(in crate::shard) struct Allowance {
    user: UserIndex,
    pub sends: Bucket,
    /// For requests that only read.
    pub queries: Bucket,
    /// For the day's share of messages and bytes.
    pub day: Bucket,
    /// For the day's share of new conversations.
    pub begun: Bucket,
}

impl Allowance {
    fn of(user_index: UserIndex) -> Self {
        let full = Bucket::default();
        Self { user: user_index, sends: full, queries: full, day: full, begun: full }
    }

    fn is_full(&self, now: Steady) -> bool {
        [self.sends, self.queries, self.day, self.begun].iter().all(|bucket| bucket.is_full(now))
    }
}

#[derive(Debug)]
enum AllowanceSlot {
    Taken(Allowance),
    Vacant { next: Option<RowIndex> },
}

#[derive(Debug, Default)]
pub(in crate::shard) struct Allowances {
    slots: Rows<AllowanceSlot>,
    vacant: Option<RowIndex>,
    /// The slot to be checked next.
    hand: u32,
}

impl Allowances {
    /// `None` where there is none.
    #[inline]
    pub fn at_mut(&mut self, at: RowIndex) -> Option<&mut Allowance> {
        match self.slots.at_mut(at.number()) {
            AllowanceSlot::Taken(allowance) => Some(allowance),
            AllowanceSlot::Vacant { .. } => None,
        }
    }

    /// Full buckets for a user that has none.
    pub fn add(&mut self, user_index: UserIndex) -> RowIndex {
        let slot = AllowanceSlot::Taken(Allowance::of(user_index));
        match self.vacant {
            Some(at) => {
                if let AllowanceSlot::Vacant { next } = std::mem::replace(self.slots.at_mut(at.number()), slot) {
                    self.vacant = next;
                }
                at
            }
            None => RowIndex::of(self.slots.push(slot)),
        }
    }

    /// Removes the allowances of some users whose buckets are full again, and returns these users.
    pub fn drop_full(&mut self, now: Steady) -> [Option<UserIndex>; LOOKED_AT] {
        std::array::from_fn(|_| self.drop_next(now))
    }

    fn drop_next(&mut self, now: Steady) -> Option<UserIndex> {
        let row = self.hand.checked_rem(self.slots.len() as u32)?;
        self.hand = row + 1;
        let slot = self.slots.at_mut(row);
        let AllowanceSlot::Taken(allowance) = slot else { return None };
        let user = allowance.user;
        if !allowance.is_full(now) {
            return None;
        }
        *slot = AllowanceSlot::Vacant { next: self.vacant };
        self.vacant = Some(RowIndex::of(row));
        Some(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_then_an_idle_while_fills_it_again() {
        let limits = Limits { sends_per_second: 10, sends_burst: 5, ..Limits::default() };
        let mut bucket = Bucket::default();
        let taken = |bucket: &mut Bucket, at: u64| (0..100).filter(|_| bucket.take(Steady(at), 1, &limits)).count();
        assert_eq!(taken(&mut bucket, 1_000), 5);
        assert_eq!(taken(&mut bucket, 1_099), 0);
        assert_eq!(taken(&mut bucket, 1_100), 1);
        assert_eq!(taken(&mut bucket, 60_000), 5, "no more than the burst is ever saved up");
    }

    #[test]
    fn a_rate_is_what_it_says_up_to_the_highest() {
        for rate in [1, 3, 300_000, 500_001, 700_000, 999_999, 1_000_000] {
            let limits = Limits { sends_per_second: rate, sends_burst: 10_000, ..Limits::default() };
            let mut bucket = Bucket::default();
            let taken: usize =
                (1_000..11_000).map(|at| (0..2_000).take_while(|_| bucket.take(Steady(at), 1, &limits)).count()).sum();
            let expected = f64::from(rate) * 10.0 + 10_000.0;
            assert!((taken as f64 / expected - 1.0).abs() < 0.002, "{taken} of {expected} at {rate}");
        }
    }

    #[test]
    fn there_are_not_many_more_allowances_than_users_whose_buckets_are_not_full() {
        let limits = Limits { sends_per_second: 10, sends_burst: 5, ..Limits::default() };
        let (mut allowances, mut kept) = (Allowances::default(), std::collections::BTreeSet::new());
        for step in 0..20_000_u32 {
            // Each bucket is full again after 100 ms, in which 100 others come.
            let now = Steady(1_000 + u64::from(step));
            for full in allowances.drop_full(now).into_iter().flatten() {
                assert!(kept.remove(&full));
            }
            let at = allowances.add(UserIndex(step));
            assert!(allowances.at_mut(at).expect("added").sends.take(now, 1, &limits));
            kept.insert(UserIndex(step));
            assert!(kept.len() <= 250 && allowances.slots.len() <= 250, "{} of {}", kept.len(), allowances.slots.len());
            let is_kept = |user: u32| kept.contains(&UserIndex(user));
            assert!((step.saturating_sub(99)..=step).all(is_kept), "those that are not full stay");
        }
    }
}
