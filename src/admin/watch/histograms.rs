//! The histograms of `GET /metrics`: the shards', and that of the HTTP API's own requests.

use crate::model::Histogram;
use crate::server::{ShardHistograms, Snapshot};
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// One histogram of each shard.
pub(super) struct HistogramSeries {
    pub name: &'static str,
    help: &'static str,
    read: fn(&ShardHistograms) -> &Histogram,
    /// How many of the histogram's units the metric's unit has.
    divisor: f64,
    /// The exponents of the bounds that are shown; the last bucket has all that is above them.
    bounds: RangeInclusive<usize>,
}

const MICROS: f64 = 1e6;
const MILLIS: f64 = 1e3;

#[rustfmt::skip]
pub(super) static HISTOGRAMS: &[HistogramSeries] = &[
    HistogramSeries { name: "mushan_turn_seconds", help: "Duration of turns that had work, with all their inputs and waiting for the core", read: |it| &it.turn_us, divisor: MICROS, bounds: 2..=20 },
    HistogramSeries { name: "mushan_message_commit_seconds", help: "Time of messages from the turn that accepted them to the end of the turn that acknowledged them under the durability policy", read: |it| &it.commit_us, divisor: MICROS, bounds: 4..=23 },
    HistogramSeries { name: "mushan_message_delivery_seconds", help: "The same of messages from conversations of other shards: from their arrival at a member's shard to the turn that acknowledged and pushed them", read: |it| &it.delivery_us, divisor: MICROS, bounds: 4..=23 },
    HistogramSeries { name: "mushan_message_push_seconds", help: "Age of messages when they were pushed to sessions, on whichever shard they were accepted, to a millisecond", read: |it| &it.push_ms, divisor: MILLIS, bounds: 0..=14 },
    HistogramSeries { name: "mushan_lane_hop_seconds", help: "Time of batches of messages from the turn of the sending shard to the turn that took them, waiting on a full lane included", read: |it| &it.lane_us, divisor: MICROS, bounds: 2..=20 },
    HistogramSeries { name: "mushan_log_sync_seconds", help: "Duration of syncs of the log", read: |it| &it.sync_us, divisor: MICROS, bounds: 4..=23 },
    HistogramSeries { name: "mushan_log_sync_records", help: "Log records for which somebody waited, in each sync", read: |it| &it.sync_records, divisor: 1.0, bounds: 0..=13 },
    HistogramSeries { name: "mushan_connection_outbox_bytes", help: "Bytes queued for a connection; each connection is looked at every 4 seconds", read: |it| &it.outbox_bytes, divisor: 1.0, bounds: 8..=24 },
];

const ADMIN_BOUNDS: RangeInclusive<usize> = 6..=25;

pub(super) fn encode_histograms(
    shards: &[(String, Arc<Snapshot>)],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    for series in HISTOGRAMS {
        let mut family = encoder.encode_descriptor(series.name, series.help, None, MetricType::Histogram)?;
        for (shard, shown) in shards {
            let histogram = (series.read)(&shown.counters.histograms);
            let labelled = [("shard", shard.as_str())];
            encode(histogram, (series.divisor, &series.bounds), family.encode_family(&labelled)?)?;
        }
    }
    Ok(())
}

pub(super) fn encode_admin_requests(requests_us: &Histogram, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Time from a request of the HTTP API to the beginning of its response";
    let metric = encoder.encode_descriptor("mushan_admin_request_seconds", help, None, MetricType::Histogram)?;
    encode(requests_us, (MICROS, &ADMIN_BOUNDS), metric)
}

fn encode(
    histogram: &Histogram,
    (divisor, bounds): (f64, &RangeInclusive<usize>),
    mut metric: MetricEncoder<'_>,
) -> fmt::Result {
    let buckets = shown_buckets(histogram, divisor, bounds);
    let count = buckets.iter().map(|(_, count)| count).sum();
    metric.encode_histogram::<NoLabelSet>(histogram.sum() as f64 / divisor, count, &buckets, None)
}

/// Upper bounds and the observations of each bucket alone. The library shows the last bound as infinite.
fn shown_buckets(histogram: &Histogram, divisor: f64, bounds: &RangeInclusive<usize>) -> Vec<(f64, u64)> {
    let counts = histogram.buckets();
    let (first, last) = (*bounds.start(), *bounds.end());
    let below: u64 = counts[..=first].iter().sum();
    let within = (first + 1..=last).map(|exponent| (exponent, counts[exponent]));
    let above: u64 = counts[last + 1..].iter().sum();
    let mut buckets: Vec<(f64, u64)> = std::iter::once((first, below))
        .chain(within)
        .map(|(exponent, count)| ((1_u64 << exponent) as f64 / divisor, count))
        .collect();
    buckets.push((f64::MAX, above));
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_the_shown_bounds_is_in_the_outermost_buckets() {
        let mut histogram = Histogram::default();
        [0, 3, 4, 5, 8, 9, 1 << 40].into_iter().for_each(|value| histogram.note(value));
        let shown = shown_buckets(&histogram, 1.0, &(2..=3));
        assert_eq!(shown, [(4.0, 3), (8.0, 2), (f64::MAX, 2)]);
        assert_eq!(shown.iter().map(|(_, count)| count).sum::<u64>(), histogram.count());
    }
}
