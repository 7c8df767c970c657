//! What a benchmark found and under which conditions, for people and for programs.

use super::bench_load::Tally;
use super::bench_server::Syncs;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

#[derive(Clone, Debug, Serialize)]
pub struct Conditions {
    pub version: &'static str,
    pub commit: &'static str,
    pub build: &'static str,
    pub machine_cores: usize,
    pub kernel: String,
    /// `None`: somebody else's server.
    pub server_core: Option<usize>,
    pub client_core: usize,
    pub profile: String,
    pub durability: String,
}

impl Conditions {
    pub const COMMIT: &str = match option_env!("MUSHAN_COMMIT") {
        Some(commit) => commit,
        None => "unknown",
    };
    pub fn of_own_server(server_core: usize, client_core: usize, profile: &str, durability: &str) -> Self {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: Self::COMMIT,
            build: Self::BUILD,
            machine_cores: core_affinity::get_core_ids().map_or(1, |cores| cores.len()),
            kernel: kernel.trim().to_owned(),
            server_core: Some(server_core),
            client_core,
            profile: profile.to_owned(),
            durability: durability.to_owned(),
        }
    }

    pub const BUILD: &str = if cfg!(debug_assertions) { "debug" } else { "release" };
}

#[derive(Clone, Debug, Serialize)]
pub struct Shape {
    pub protocol: &'static str,
    pub connections: usize,
    pub in_flight: usize,
    pub body_bytes: usize,
    pub seconds: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Percentiles {
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

/// What the span that was measured cost.
pub struct Span {
    pub took: Duration,
    /// `None` when the server's process is not known.
    pub server_cpu_ns: Option<u64>,
    pub client_cpu_ns: u64,
}

/// All messages of a run, from the first warm-up to the last that was waited for.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Whole {
    pub accepted: u64,
    pub delivered: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub out_of_order: u64,
    pub refused: u64,
    pub unanswered: u64,
    pub first_refusal: Option<String>,
}

impl Whole {
    pub fn add(&mut self, tally: &Tally) {
        self.accepted += tally.accepted;
        self.delivered += tally.delivered;
        self.duplicated += tally.duplicated;
        self.out_of_order += tally.out_of_order;
        self.refused += tally.refused;
        self.first_refusal = self.first_refusal.take().or_else(|| tally.first_refusal.clone());
    }

    /// After the drain: what was accepted and has not come, and what was neither accepted nor refused.
    pub fn finish(&mut self, under_way: u64) {
        self.lost = self.accepted.saturating_sub(self.delivered);
        self.unanswered = under_way.saturating_sub(self.lost + self.refused);
    }

    pub fn is_exact(&self) -> bool {
        self.delivered > 0
            && [self.lost, self.duplicated, self.out_of_order, self.refused, self.unanswered].iter().all(|&n| n == 0)
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub conditions: Conditions,
    pub shape: Shape,
    pub delivered_per_s: f64,
    pub server_cpu_us_per_delivered: Option<f64>,
    pub server_busy: Option<f64>,
    pub client_busy: f64,
    pub send_to_answer: Percentiles,
    pub send_to_push: Percentiles,
    pub whole: Whole,
    pub syncs: Option<u64>,
    pub records_per_sync: Option<f64>,
}

impl Report {
    pub fn new(conditions: Conditions, shape: Shape, measured: &Tally, span: &Span, whole: Whole) -> Self {
        let per_span = |ns: u64| ns as f64 / span.took.as_nanos() as f64;
        let per_delivered = |ns: u64| ns as f64 / 1e3 / measured.delivered.max(1) as f64;
        Self {
            conditions,
            shape,
            delivered_per_s: measured.delivered as f64 / span.took.as_secs_f64(),
            server_cpu_us_per_delivered: span.server_cpu_ns.map(per_delivered),
            server_busy: span.server_cpu_ns.map(per_span),
            client_busy: per_span(span.client_cpu_ns),
            send_to_answer: percentiles(&measured.answer_ns),
            send_to_push: percentiles(&measured.push_ns),
            whole,
            syncs: None,
            records_per_sync: None,
        }
    }

    /// What the server said at its end, over the whole run.
    pub fn add_syncs(&mut self, counted: Option<Syncs>) {
        self.syncs = counted.map(|it| it.syncs);
        self.records_per_sync = counted.filter(|it| it.syncs > 0).map(|it| it.records as f64 / it.syncs as f64);
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Percentiles {
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: histogram.max() as f64 / 1e3,
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_us, p90_us, p99_us, p999_us, max_us } = self;
        write!(out, "p50 {p50_us:.0}  p90 {p90_us:.0}  p99 {p99_us:.0}  p99.9 {p999_us:.0}  max {max_us:.0} µs")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shape, conditions, whole) = (&self.shape, &self.conditions, &self.whole);
        writeln!(
            out,
            "p2p {}: {} connections, {} in flight per pair, {} bytes, {:.1} s",
            shape.protocol, shape.connections, shape.in_flight, shape.body_bytes, shape.seconds
        )?;
        writeln!(
            out,
            "  conditions      {} ({}, {} build), {} cores, Linux {}, profile {}, durability {}",
            conditions.version,
            conditions.commit,
            conditions.build,
            conditions.machine_cores,
            conditions.kernel,
            conditions.profile,
            conditions.durability
        )?;
        writeln!(out, "  delivered       {:.0} per second", self.delivered_per_s)?;
        if let (Some(cost), Some(busy)) = (self.server_cpu_us_per_delivered, self.server_busy) {
            writeln!(
                out,
                "  server CPU      {cost:.2} µs per delivered message, {:.0} % of a core (generator {:.0} %)",
                100.0 * busy,
                100.0 * self.client_busy
            )?;
        }
        writeln!(out, "  send to answer  {}", self.send_to_answer)?;
        writeln!(out, "  send to push    {}", self.send_to_push)?;
        if let (Some(syncs), Some(shared)) = (self.syncs, self.records_per_sync) {
            writeln!(out, "  syncs           {syncs} in the whole run, {shared:.1} records each")?;
        }
        write!(
            out,
            "  whole run       {} accepted, {} delivered, {} lost, {} duplicated, {} out of order, {} refused, {} \
             unanswered",
            whole.accepted,
            whole.delivered,
            whole.lost,
            whole.duplicated,
            whole.out_of_order,
            whole.refused,
            whole.unanswered
        )?;
        whole.first_refusal.as_ref().map_or(Ok(()), |why| write!(out, "\n  first refusal   {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_exact_only_when_all_is_delivered_once() {
        let exact = Whole { accepted: 5, delivered: 5, ..Whole::default() };
        assert!(exact.is_exact());
        assert!(!Whole::default().is_exact(), "nothing was measured");
        let mut short = Whole { delivered: 4, ..exact.clone() };
        short.finish(1);
        assert_eq!((short.lost, short.unanswered, short.is_exact()), (1, 0, false));
        let mut silent = exact.clone();
        silent.finish(2);
        assert_eq!((silent.lost, silent.unanswered, silent.is_exact()), (0, 2, false));
        assert!(!Whole { duplicated: 1, ..exact }.is_exact());
    }
}
