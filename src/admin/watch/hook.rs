//! The metrics of the operator's hook.

use crate::server::{HookFault, HookNumbers, LATENCY_BOUNDS_MS};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

pub(super) fn encode_hook(numbers: &HookNumbers, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Messages about which the operator's hook was asked before they were accepted";
    ConstCounter::new(numbers.asked).encode(encoder.encode_descriptor(
        "mushan_hook_questions",
        help,
        None,
        MetricType::Counter,
    )?)?;

    let help = "Valid answers of the hook";
    let mut family = encoder.encode_descriptor("mushan_hook_answers", help, None, MetricType::Counter)?;
    for (verdict, count) in [("allow", numbers.allowed), ("deny", numbers.denied), ("replace", numbers.replaced)] {
        ConstCounter::new(count).encode(family.encode_family(&[("verdict", verdict)])?)?;
    }

    let help = "Questions without a valid answer, by the reason: hook.on_failure decides about these messages";
    let mut family = encoder.encode_descriptor("mushan_hook_failures", help, None, MetricType::Counter)?;
    for (fault, count) in HookFault::ALL.into_iter().zip(numbers.failed) {
        ConstCounter::new(count).encode(family.encode_family(&[("reason", fault.name())])?)?;
    }

    let help = "Questions under way, or waiting for hook.concurrency_max";
    let under_way = i64::try_from(numbers.under_way).unwrap_or(i64::MAX);
    ConstGauge::new(under_way).encode(encoder.encode_descriptor(
        "mushan_hook_under_way",
        help,
        None,
        MetricType::Gauge,
    )?)?;

    let help = "Time from a question to its answer or its failure";
    let bounds = LATENCY_BOUNDS_MS.into_iter().map(|bound_ms| bound_ms as f64 / 1_000.0);
    // The last one is shown as infinite, and no answer is above the one before it.
    let buckets: Vec<(f64, u64)> = bounds.zip(numbers.buckets).chain([(f64::MAX, 0)]).collect();
    let count = numbers.buckets.iter().sum();
    let mut latency = encoder.encode_descriptor("mushan_hook_seconds", help, None, MetricType::Histogram)?;
    latency.encode_histogram::<NoLabelSet>(numbers.latency_us as f64 / 1e6, count, &buckets, None)
}
