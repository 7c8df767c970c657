//! A histogram of whole numbers, such as microseconds or bytes: counts in buckets whose bounds are powers of two.
//!
//! One writer and plain integers: each shard has its own, and readers get copies. An observation costs a few
//! instructions and no memory. Invariant: the sum of the buckets is the number of observations.

/// Counts of observations by size, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Bucket 0 counts 0 and 1, bucket n what is above 2^(n - 1) and at most 2^n, the last one everything above.
    buckets: [u64; Self::BUCKETS],
    sum: u64,
}

impl Histogram {
    /// The number of buckets. The last one begins at 2^30: a gigabyte, or a quarter of an hour in microseconds.
    pub const BUCKETS: usize = 32;

    /// Counts one observation.
    #[inline]
    pub fn note(&mut self, value: u64) {
        self.note_many(value, 1);
    }

    /// Counts `count` observations of the same value.
    #[inline]
    pub fn note_many(&mut self, value: u64, count: u64) {
        let exponent = (u64::BITS - value.saturating_sub(1).leading_zeros()) as usize;
        self.buckets[exponent.min(Self::BUCKETS - 1)] += count;
        self.sum = self.sum.wrapping_add(value.wrapping_mul(count));
    }

    /// Adds the observations of another core.
    pub fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, count)| *sum += count);
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// The number of observations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of all observed values.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The observations of each bucket alone.
    pub fn buckets(&self) -> &[u64; Self::BUCKETS] {
        &self.buckets
    }

    /// The least power of two below which lie at least `share` of the observations; 0 where there are none.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (exponent, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return 1 << exponent;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_in_the_least_bucket_whose_bound_it_does_not_pass() {
        for (value, bucket) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1 << 30, 30), ((1 << 30) + 1, 31)] {
            let mut histogram = Histogram::default();
            histogram.note(value);
            assert_eq!(histogram.buckets().iter().position(|count| *count == 1), Some(bucket), "{value}");
            assert_eq!((histogram.count(), histogram.sum()), (1, value));
        }
        let mut histogram = Histogram::default();
        histogram.note(u64::MAX);
        assert_eq!(histogram.buckets()[Histogram::BUCKETS - 1], 1);
    }

    #[test]
    fn observations_of_all_cores_are_added() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        one.note_many(3, 2);
        other.note(100);
        one.add(&other);
        assert_eq!((one.count(), one.sum(), one.buckets()[2], one.buckets()[7]), (3, 106, 2, 1));
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0);
        histogram.note_many(3, 99);
        histogram.note(1_000);
        assert_eq!([0.5, 0.99, 1.0].map(|share| histogram.quantile(share)), [4, 4, 1_024]);
    }
}
