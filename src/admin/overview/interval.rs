//! What a shard did between two of its snapshots, which come about once a second.

use crate::model::Histogram;
use crate::server::{ShardHistograms, Snapshot};
use std::sync::Arc;

/// Counts of each bucket of a histogram.
pub type Buckets = [u64; Histogram::BUCKETS];

/// The last two snapshots of a shard; the same one twice where there is only one yet.
pub struct ShardInterval {
    before: Arc<Snapshot>,
    pub now: Arc<Snapshot>,
}

impl ShardInterval {
    pub fn of(first: Arc<Snapshot>) -> Self {
        Self { before: first.clone(), now: first }
    }

    /// Goes on to a snapshot, if it is another one.
    pub fn advance(&mut self, shown: Arc<Snapshot>) {
        if !Arc::ptr_eq(&self.now, &shown) {
            self.before = std::mem::replace(&mut self.now, shown);
        }
    }

    /// How much a counter grew in a second.
    pub fn rate(&self, read: impl Fn(&Snapshot) -> u64) -> f64 {
        let seconds = self.now.taken.duration_since(self.before.taken).as_secs_f64();
        if seconds > 0.0 { read(&self.now).saturating_sub(read(&self.before)) as f64 / seconds } else { 0.0 }
    }

    /// Adds what a histogram observed.
    pub fn add(&self, read: fn(&ShardHistograms) -> &Histogram, into: &mut Observed) {
        let (before, now) = (read(&self.before.counters.histograms), read(&self.now.counters.histograms));
        for (sum, (before, now)) in into.buckets.iter_mut().zip(before.buckets().iter().zip(now.buckets())) {
            *sum += now.saturating_sub(*before);
        }
        into.sum = into.sum.wrapping_add(now.sum().wrapping_sub(before.sum()));
    }
}

/// Observations of an interval.
#[derive(Default)]
pub struct Observed {
    pub buckets: Buckets,
    sum: u64,
}

impl Observed {
    /// Of all these shards.
    pub fn of(intervals: &[ShardInterval], read: fn(&ShardHistograms) -> &Histogram) -> Self {
        let mut observed = Self::default();
        intervals.iter().for_each(|interval| interval.add(read, &mut observed));
        observed
    }

    fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// `None`: nothing was observed.
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum as f64 / count as f64)
    }

    /// Interpolated within a bucket, as if its observations were evenly spread; `None`: nothing was observed.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = self.count() as f64 * share;
        let mut seen = 0.0;
        for (exponent, count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if seen + count >= wanted {
                let (low, high) = (if exponent == 0 { 0 } else { 1_u64 << (exponent - 1) }, 1_u64 << exponent);
                let within = ((wanted - seen) / count).clamp(0.0, 1.0);
                return Some(low as f64 + (high - low) as f64 * within);
            }
            seen += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_within_the_bucket_of_its_observation() {
        let mut observed = Observed::default();
        assert_eq!((observed.quantile(0.5), observed.mean()), (None, None));
        observed.buckets[3] = 100;
        observed.buckets[10] = 1;
        observed.sum = 100 * 8 + 1_000;
        assert_eq!(observed.quantile(0.5).map(f64::round), Some(6.0));
        assert!(observed.quantile(1.0).is_some_and(|longest| (512.0..=1_024.0).contains(&longest)));
        assert_eq!(observed.mean().map(f64::round), Some(18.0));
    }
}
