//! The results of a benchmark and its conditions, for people and for programs.

use crate::bench::load::server::Syncs;
use crate::bench::load::stream::LoadTally;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// What a result depends on beside the server: machine, build and settings.
#[derive(Clone, Debug, Serialize)]
pub struct Conditions {
    pub version: &'static str,
    pub commit: &'static str,
    pub build: &'static str,
    pub machine_cores: usize,
    pub cpu: String,
    pub memory_gib: u64,
    pub kernel: String,
    /// Averages over one, five and fifteen minutes at the beginning of the benchmark: what else was running.
    pub load_average: String,
    /// `None`: a server that was not started here.
    pub server_core: Option<usize>,
    /// That of the server's other threads, where it is another one.
    pub spare_core: Option<usize>,
    pub shards: Option<u16>,
    pub client_core: usize,
    pub profile: String,
    pub durability: String,
}

impl Conditions {
    pub const BUILD: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

    pub fn of_own_server(server_core: usize, client_core: usize, profile: &str, durability: &str) -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let memory_kib: u64 = memory.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let load_average = read("/proc/loadavg");
        Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: env!("MUSHAN_COMMIT"),
            build: Self::BUILD,
            machine_cores: core_affinity::get_core_ids().map_or(1, |cores| cores.len()),
            cpu: field(&read("/proc/cpuinfo"), "model name"),
            memory_gib: memory_kib >> 20,
            kernel: read("/proc/sys/kernel/osrelease"),
            load_average: load_average.split(' ').take(3).collect::<Vec<_>>().join(" "),
            server_core: Some(server_core),
            spare_core: None,
            shards: Some(1),
            client_core,
            profile: profile.to_owned(),
            durability: durability.to_owned(),
        }
    }

    /// The conditions of a server that was not started here.
    pub fn of_a_stranger(self) -> Self {
        let unknown = || "unknown".to_owned();
        Self { server_core: None, shards: None, profile: unknown(), durability: unknown(), ..self }
    }
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Shape {
    pub protocol: &'static str,
    pub connections: usize,
    /// Messages under way per author, in a closed loop.
    pub in_flight: Option<usize>,
    /// Sends per second, in an open loop.
    pub rate: Option<f64>,
    pub members: Option<usize>,
    pub body_bytes: usize,
    pub seconds: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

/// The cost of the measured time span.
pub struct MeasuredSpan {
    pub took: Duration,
    /// `None` if the server's process is not known.
    pub server_cpu_ns: Option<u64>,
    pub client_cpu_ns: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Calls {
    NotAsked,
    PerDelivered(f64),
    Skipped(String),
}

/// All messages of a run, from the first of the warm-up to the last of the drain.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Whole {
    pub accepted: u64,
    pub expected: u64,
    pub delivered: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub out_of_order: u64,
    /// Sent again to clients that had reconnected and read the message already: no fault.
    pub repeated: u64,
    pub refused: u64,
    pub unanswered: u64,
    pub first_refusal: Option<String>,
}

impl Whole {
    pub fn add(&mut self, tally: &LoadTally) {
        self.accepted += tally.accepted;
        self.expected += tally.expected;
        self.delivered += tally.delivered;
        self.duplicated += tally.duplicated;
        self.out_of_order += tally.out_of_order;
        self.repeated += tally.repeated;
        self.refused += tally.refused;
        self.first_refusal = self.first_refusal.take().or_else(|| tally.first_refusal.clone());
    }

    /// To be called after the drain: computes lost messages and those without an answer.
    pub fn finish(&mut self, unanswered: u64) {
        self.lost = self.expected.saturating_sub(self.delivered);
        self.unanswered = unanswered.saturating_sub(self.refused);
    }

    pub fn is_exact(&self) -> bool {
        self.delivered > 0
            && [self.lost, self.duplicated, self.out_of_order, self.refused, self.unanswered].iter().all(|&n| n == 0)
    }
}

/// The measurement of a load.
pub struct MeasuredLoad {
    pub tally: LoadTally,
    pub whole: Whole,
    pub span: MeasuredSpan,
    pub calls: Calls,
}

/// The results of a load of messages.
#[derive(Clone, Debug, Serialize)]
pub struct Messages {
    pub sent_per_s: f64,
    pub delivered_per_s: f64,
    pub server_cpu_us_per_delivered: Option<f64>,
    pub server_busy: Option<f64>,
    pub client_busy: f64,
    pub send_to_answer: Percentiles,
    pub send_to_push: Percentiles,
    /// Latencies of messages to users who were disconnected when they were sent.
    pub send_to_missed: Percentiles,
    pub system_calls_per_delivered: Calls,
    pub whole: Whole,
}

impl Messages {
    fn new(MeasuredLoad { tally, whole, span, calls }: &MeasuredLoad) -> Self {
        let per_span = |ns: u64| ns as f64 / span.took.as_nanos() as f64;
        let per_delivered = |ns: u64| ns as f64 / 1e3 / tally.delivered.max(1) as f64;
        Self {
            sent_per_s: tally.accepted as f64 / span.took.as_secs_f64(),
            delivered_per_s: tally.delivered as f64 / span.took.as_secs_f64(),
            server_cpu_us_per_delivered: span.server_cpu_ns.map(per_delivered),
            server_busy: span.server_cpu_ns.map(per_span),
            client_busy: per_span(span.client_cpu_ns),
            send_to_answer: percentiles(&tally.answer_ns),
            send_to_push: percentiles(&tally.push_ns),
            send_to_missed: percentiles(&tally.missed_ns),
            system_calls_per_delivered: calls.clone(),
            whole: whole.clone(),
        }
    }
}

/// A figure of this scenario only.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    pub name: &'static str,
    pub value: f64,
    pub unit: &'static str,
}

/// The data of a chart.
#[derive(Clone, Debug)]
pub struct Curves {
    /// Completes "latency …".
    pub latency_of: &'static str,
    pub latency_ns: Histogram<u64>,
    /// Deliveries in each bin.
    pub timeline: Vec<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub scenario: &'static str,
    pub conditions: Conditions,
    pub shape: Shape,
    #[serde(flatten)]
    pub messages: Option<Messages>,
    pub memory_bytes_per_connection: Option<f64>,
    pub syncs: Option<u64>,
    pub records_per_sync: Option<f64>,
    pub figures: Vec<Figure>,
    /// Reasons for which the run does not count, in addition to those in `messages`.
    pub faults: Vec<String>,
    #[serde(skip)]
    pub curves: Option<Curves>,
}

impl Report {
    pub fn new(scenario: &'static str, conditions: Conditions, shape: Shape) -> Self {
        Self {
            scenario,
            conditions,
            shape,
            messages: None,
            memory_bytes_per_connection: None,
            syncs: None,
            records_per_sync: None,
            figures: Vec::new(),
            faults: Vec::new(),
            curves: None,
        }
    }

    pub fn add_messages(&mut self, measured: &MeasuredLoad) {
        self.messages = Some(Messages::new(measured));
        let tally = &measured.tally;
        self.curves = Some(Curves {
            latency_of: "from the time a message was due to its push",
            latency_ns: tally.push_ns.clone(),
            timeline: tally.timeline.clone(),
        });
    }

    pub fn add_memory(&mut self, before: Option<u64>, after: Option<u64>, connections: usize) {
        let grown = after.zip(before).map(|(after, before)| after as f64 - before as f64);
        self.memory_bytes_per_connection = grown.map(|bytes| bytes / connections.max(1) as f64);
    }

    /// The counts in the last line of the server, for the whole run.
    pub fn add_syncs(&mut self, counted: Option<Syncs>) {
        self.syncs = counted.map(|it| it.syncs);
        self.records_per_sync = counted.filter(|it| it.syncs > 0).map(|it| it.records as f64 / it.syncs as f64);
    }

    pub fn add_figure(&mut self, name: &'static str, value: f64, unit: &'static str) {
        self.figures.push(Figure { name, value, unit });
    }

    pub fn is_exact(&self) -> bool {
        self.faults.is_empty() && self.messages.as_ref().is_none_or(|messages| messages.whole.is_exact())
    }
}

pub fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Percentiles {
        count: histogram.len(),
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: histogram.max() as f64 / 1e3,
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_us, p90_us, p99_us, p999_us, max_us, .. } = self;
        write!(out, "p50 {p50_us:.0}  p90 {p90_us:.0}  p99 {p99_us:.0}  p99.9 {p999_us:.0}  max {max_us:.0} µs")
    }
}

impl Conditions {
    /// The server, the machine and the settings.
    pub fn lines(&self) -> [String; 3] {
        let server = match (self.server_core, self.shards) {
            (Some(core), Some(1)) => format!("one shard on core {core}"),
            (Some(core), Some(shards)) => format!("{shards} shards on core {core}"),
            _ => "a running server".to_owned(),
        };
        let spare = self.spare_core.map_or_else(String::new, |core| format!(", its other threads on core {core}"));
        let (cores, cpu) = (self.machine_cores, if self.cpu.is_empty() { "core" } else { &self.cpu });
        [
            format!("mushan {} ({}, {} build), Linux {}", self.version, self.commit, self.build, self.kernel),
            format!("{cores} × {cpu}, {} GiB, load {}", self.memory_gib, self.load_average),
            format!(
                "{server}{spare}, generator on core {}, profile {}, durability {}",
                self.client_core, self.profile, self.durability
            ),
        ]
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.lines().join("\n                  "))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} connections", self.protocol, self.connections)?;
        self.in_flight.map_or(Ok(()), |it| write!(out, ", closed loop, {it} in flight"))?;
        self.rate.map_or(Ok(()), |it| write!(out, ", open loop, {it:.0} sends/s"))?;
        self.members.map_or(Ok(()), |it| write!(out, ", {it} members"))?;
        write!(out, ", {} bytes, {:.1} s", self.body_bytes, self.seconds)
    }
}

impl fmt::Display for Messages {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "  delivered       {:.0} per second ({:.0} sends)", self.delivered_per_s, self.sent_per_s)?;
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
        if self.send_to_missed.count > 0 {
            writeln!(out, "  send to missed  {}", self.send_to_missed)?;
        }
        match &self.system_calls_per_delivered {
            Calls::NotAsked => {}
            Calls::PerDelivered(calls) => writeln!(out, "  system calls    {calls:.2} per delivered message")?,
            Calls::Skipped(why) => writeln!(out, "  system calls    not counted: {why}")?,
        }
        let whole = &self.whole;
        write!(
            out,
            "  whole run       {} accepted, {} of {} delivered, {} lost, {} duplicated, {} out of order, {} refused, \
             {} unanswered, {} repeated",
            whole.accepted,
            whole.delivered,
            whole.expected,
            whole.lost,
            whole.duplicated,
            whole.out_of_order,
            whole.refused,
            whole.unanswered,
            whole.repeated
        )?;
        whole.first_refusal.as_ref().map_or(Ok(()), |why| write!(out, "\n  first refusal   {why}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} {}", self.scenario, self.shape)?;
        write!(out, "  conditions      {}", self.conditions)?;
        if let Some(messages) = &self.messages {
            write!(out, "\n{messages}")?;
        }
        if let Some(bytes) = self.memory_bytes_per_connection {
            write!(out, "\n  memory          {bytes:.0} bytes per connection (anonymous, RSS)")?;
        }
        if let (Some(syncs), Some(shared)) = (self.syncs, self.records_per_sync) {
            write!(out, "\n  syncs           {syncs} in the whole run, {shared:.1} records each")?;
        }
        if self.messages.is_some() && self.conditions.durability.starts_with("fsync") {
            write!(
                out,
                "\n  note            under fsync each time includes a sync of the disk: p50 shows the disk, not the server"
            )?;
        }
        for Figure { name, value, unit } in &self.figures {
            let digits = if *value < 100.0 { 2 } else { 0 };
            write!(out, "\n  {name:<15} {value:.digits$} {unit}")?;
        }
        self.faults.iter().try_for_each(|fault| write!(out, "\n  FAULT           {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conditions_name_the_commit_and_fit_a_terminal() {
        let here = Conditions::of_own_server(0, 1, "max-throughput", "interval");
        assert!(!here.commit.is_empty() && here.lines()[0].contains(here.commit));
        let (cpu, kernel) = ("AMD EPYC 9654 96-Core Processor".to_owned(), "6.12.48+deb13-cloud-amd64".to_owned());
        for line in (Conditions { cpu, kernel, ..here }).to_string().lines() {
            assert!(line.chars().count() <= 120, "{line}");
        }
    }

    #[test]
    fn a_run_is_exact_only_when_all_is_delivered_once() {
        let exact = Whole { accepted: 5, expected: 5, delivered: 5, ..Whole::default() };
        assert!(exact.is_exact());
        assert!(!Whole::default().is_exact(), "nothing was measured");
        let mut short = Whole { delivered: 4, ..exact.clone() };
        short.finish(0);
        assert_eq!((short.lost, short.unanswered, short.is_exact()), (1, 0, false));
        let mut silent = exact.clone();
        silent.finish(2);
        assert_eq!((silent.lost, silent.unanswered, silent.is_exact()), (0, 2, false));
        assert!(!Whole { duplicated: 1, ..exact }.is_exact());
    }
}
