//! How fast one user may send and ask: a token bucket kept as one number, the time at which it will be full again (GCRA).

use crate::model::{Limits, Millis};

const MICROS_PER_MILLI: u64 = 1_000;
const MICROS_PER_SECOND: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at_us: u64,
}

impl Bucket {
    /// Takes one token of a bucket of sends, or says that there is none.
    pub fn take(&mut self, now: Millis, limits: &Limits) -> bool {
        self.take_at(now, limits.sends_per_second, limits.sends_burst)
    }

    /// Of a bucket of queries.
    pub fn take_query(&mut self, now: Millis, limits: &Limits) -> bool {
        self.take_at(now, limits.queries_per_second, limits.queries_burst)
    }

    fn take_at(&mut self, now: Millis, per_second: u32, burst: u32) -> bool {
        let now_us = now.0 * MICROS_PER_MILLI;
        let token_us = MICROS_PER_SECOND / u64::from(per_second).max(1);
        let full_at_us = self.full_at_us.max(now_us) + token_us;
        if full_at_us - now_us > token_us * u64::from(burst).max(1) {
            return false;
        }
        self.full_at_us = full_at_us;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_then_an_idle_while_fills_it_again() {
        let limits = Limits { sends_per_second: 10, sends_burst: 5, ..Limits::default() };
        let mut bucket = Bucket::default();
        let taken = |bucket: &mut Bucket, at: u64| (0..100).filter(|_| bucket.take(Millis(at), &limits)).count();
        assert_eq!(taken(&mut bucket, 1_000), 5);
        assert_eq!(taken(&mut bucket, 1_099), 0);
        assert_eq!(taken(&mut bucket, 1_100), 1);
        assert_eq!(taken(&mut bucket, 60_000), 5, "no more than the burst is ever saved up");
    }
}
