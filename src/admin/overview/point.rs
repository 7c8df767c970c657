//! The numbers of one moment, by name.

use crate::admin::overview::interval::{Observed, ShardInterval};
use crate::server::Snapshot;

/// How several points become one of a longer time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    Mean,
    Most,
}

pub struct OverviewMetric {
    pub name: &'static str,
    pub folding: Folding,
}

const fn mean(name: &'static str) -> OverviewMetric {
    OverviewMetric { name, folding: Folding::Mean }
}

const fn most(name: &'static str) -> OverviewMetric {
    OverviewMetric { name, folding: Folding::Most }
}

/// In the order of `OverviewPoint::values`.
pub const METRICS: [OverviewMetric; 24] = [
    mean("messages_per_second"),
    mean("pushes_per_second"),
    mean("requests_per_second"),
    mean("refusals_per_second"),
    mean("received_bytes_per_second"),
    mean("sent_bytes_per_second"),
    mean("connections"),
    mean("sessions"),
    mean("commit_p50_us"),
    most("commit_p99_us"),
    mean("push_p50_ms"),
    most("push_p99_ms"),
    mean("sync_p50_us"),
    most("sync_p99_us"),
    mean("syncs_per_second"),
    mean("records_per_sync"),
    most("turn_p99_us"),
    mean("outbox_bytes"),
    mean("log_bytes"),
    mean("cpu_cores"),
    mean("memory_bytes"),
    mean("disk_free_bytes"),
    most("stream_lag_bytes"),
    most("webhook_lag_ms"),
];

/// Not a number: nothing was observed.
pub const NOTHING: f32 = f32::NAN;

#[derive(Clone, Debug)]
pub struct OverviewPoint {
    /// Unix milliseconds.
    pub at: u64,
    pub values: [f32; METRICS.len()],
    /// The 99th percentile of each shard's turns, in microseconds.
    pub turns_us: Box<[f32]>,
}

/// What no shard knows.
pub struct HostNumbers {
    pub cpu_cores: f64,
    pub memory_bytes: u64,
    pub disk_free_bytes: Option<u64>,
    pub stream_lag_bytes: u64,
    pub webhook_lag_ms: u64,
}

pub fn of_observed(value: Option<f64>) -> f32 {
    value.map_or(NOTHING, |value| value as f32)
}

/// The 99th percentile of a shard's turns, in microseconds.
pub fn turn_us(interval: &ShardInterval, share: f64) -> f32 {
    let mut observed = Observed::default();
    interval.add(|it| &it.turn_us, &mut observed);
    of_observed(observed.quantile(share))
}

impl OverviewPoint {
    pub fn of(at: u64, shards: &[ShardInterval], host: &HostNumbers) -> Self {
        let rate = |read: fn(&Snapshot) -> u64| shards.iter().map(|shard| shard.rate(read)).sum::<f64>() as f32;
        let sum = |read: fn(&Snapshot) -> u64| shards.iter().map(|shard| read(&shard.now)).sum::<u64>() as f32;
        let commits = Observed::of(shards, |it| &it.commit_us);
        let pushes = Observed::of(shards, |it| &it.push_ms);
        let syncs = Observed::of(shards, |it| &it.sync_us);
        let quantile = |observed: &Observed, share: f64| of_observed(observed.quantile(share));
        let turns_us: Box<[f32]> = shards.iter().map(|shard| turn_us(shard, 0.99)).collect();
        let values = [
            rate(|it| it.stats.committed),
            rate(|it| it.stats.pushed),
            rate(|it| it.counters.received().map(|(_, count)| count).sum()),
            rate(|it| it.counters.refused.sum() + it.counters.refused.malformed()),
            rate(|it| it.counters.received_bytes),
            rate(|it| it.counters.sent_bytes),
            sum(|it| it.connections),
            sum(|it| it.stats.sessions),
            quantile(&commits, 0.5),
            quantile(&commits, 0.99),
            quantile(&pushes, 0.5),
            quantile(&pushes, 0.99),
            quantile(&syncs, 0.5),
            quantile(&syncs, 0.99),
            rate(|it| it.counters.syncs),
            of_observed(Observed::of(shards, |it| &it.sync_records).mean()),
            turns_us.iter().copied().fold(NOTHING, f32::max),
            sum(|it| it.outbox_bytes),
            sum(|it| it.log.bytes),
            host.cpu_cores as f32,
            host.memory_bytes as f32,
            host.disk_free_bytes.map_or(NOTHING, |bytes| bytes as f32),
            host.stream_lag_bytes as f32,
            host.webhook_lag_ms as f32,
        ];
        Self { at, values, turns_us }
    }

    /// One point for all of these, with the time of the last one. Moments without an observation do not count.
    pub fn folded(points: &[Self]) -> Option<Self> {
        let last = points.last()?;
        let mut values = [NOTHING; METRICS.len()];
        for (index, metric) in METRICS.iter().enumerate() {
            let observed = points.iter().map(|point| point.values[index]).filter(|value| !value.is_nan());
            values[index] = match metric.folding {
                Folding::Most => observed.fold(NOTHING, f32::max),
                Folding::Mean => {
                    let (count, sum) = observed.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
                    if count > 0 { sum / count as f32 } else { NOTHING }
                }
            };
        }
        Some(Self { at: last.at, values, turns_us: Box::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_time_has_the_mean_of_rates_and_the_longest_wait() {
        let index = |name: &str| METRICS.iter().position(|metric| metric.name == name).expect("a metric");
        let point = |at, rate, wait| {
            let mut values = [NOTHING; METRICS.len()];
            values[index("messages_per_second")] = rate;
            values[index("commit_p99_us")] = wait;
            OverviewPoint { at, values, turns_us: Box::default() }
        };
        let folded = OverviewPoint::folded(&[point(1, 10.0, 5.0), point(2, 20.0, NOTHING), point(3, 60.0, 7.0)]);
        let folded = folded.expect("there are points");
        assert_eq!(folded.at, 3);
        assert!((folded.values[index("messages_per_second")] - 30.0).abs() < 0.01);
        assert!((folded.values[index("commit_p99_us")] - 7.0).abs() < 0.01);
        assert!(folded.values[index("push_p50_ms")].is_nan());
        assert!(OverviewPoint::folded(&[]).is_none());
    }
}
