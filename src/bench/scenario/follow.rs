//! `mushan bench follow`: what a message costs with an event stream that is read at full speed, beside the same load
//! without one. Both are measured in turn, so that other load on the machine affects both.

use crate::bench::load::api::ApiLoad;
use crate::bench::load::crowd::Crowd;
use crate::bench::load::generator::{Load, Mix};
use crate::bench::load::options::LoadOptions;
use crate::bench::load::process::shards_cpu_ns;
use crate::bench::load::report::{Conditions, Whole};
use crate::bench::load::server::{AdminApi, Prefill};
use crate::bench::load::settings::ComparedSettings;
use crate::bench::load::target::{LoadRequest, LoadTarget, on_core};
use crate::bench::load::template::LoadDialect;
use crate::bench::scenario::p2p::{RunPairs, let_pairs_in, pace, pair_streams};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::progress::Progress;
use crate::terminal::run_id::run_id;
use serde::Serialize;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The cost of a message with and without a reader of the event stream
///
/// Prints the CPU time of the shards' threads per delivered message, without a reader and with one stream of all events that
/// is read as fast as it comes: the medians of the rounds, and their ratio.
#[derive(clap::Args)]
pub struct Arguments {
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    connections: u32,
    /// Messages under way per pair
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    in_flight: u32,
    /// Messages per second of all pairs together: an open loop, in which both loads are the same
    #[arg(long, value_name = "N", conflicts_with = "in_flight")]
    rate: Option<f64>,
    #[command(flatten)]
    options: LoadOptions,
}

/// What a reader may add to the cost of a message.
const RATIO_MAX: f64 = 1.1;
/// How long the reader may take to read the last events.
const CATCHING_UP: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, PartialEq, Eq)]
enum ReaderBeside {
    None,
    One,
}

#[derive(Serialize)]
struct FollowedCost {
    protocol: &'static str,
    /// CPU µs of the shards' threads per delivered message, one value for each round.
    alone: Vec<f64>,
    followed: Vec<f64>,
    /// The ratio of the medians.
    ratio: f64,
    /// Events that the readers of all rounds have read.
    events: u64,
}

#[derive(Serialize)]
struct FollowedCosts {
    scenario: &'static str,
    conditions: Conditions,
    connections: usize,
    in_flight: usize,
    rate: Option<f64>,
    costs: Vec<FollowedCost>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.options.check()?;
    let costs = arguments.measure()?;
    let json = || serde_json::to_string(&costs).expect("plain data");
    print(&if arguments.options.json { json() } else { costs.to_string() })
}

impl Arguments {
    fn measure(&self) -> Result<FollowedCosts, Failure> {
        let options = &self.options;
        let rounds = options.scaled(self.rounds as usize, 1);
        let progress = options.progress_of("measuring", 2 * rounds * options.dialects().len());
        let mut costs = Vec::new();
        for &dialect in options.dialects() {
            let (mut alone, mut followed, mut events) = (Vec::new(), Vec::new(), 0);
            for round in 0..rounds {
                // Neither is always the first.
                let order = [ReaderBeside::None, ReaderBeside::One];
                let order = if round.is_multiple_of(2) { order } else { [order[1], order[0]] };
                for reader in order {
                    let (cost, read) = self.cost(dialect, reader)?;
                    events += read;
                    if reader == ReaderBeside::One {
                        followed.push(cost)
                    } else {
                        alone.push(cost)
                    }
                    progress.advance(1);
                }
            }
            let ratio = median(&followed) / median(&alone).max(f64::MIN_POSITIVE);
            costs.push(FollowedCost { protocol: dialect.name(), alone, followed, ratio, events });
        }
        let LoadOptions { server_core, spare_core, client_core, profile, durability, .. } = options;
        let conditions = Conditions {
            spare_core: *spare_core,
            ..Conditions::of_own_server(*server_core, *client_core, profile, durability.name())
        };
        let (connections, in_flight, rate) = (self.connections(), self.in_flight(), self.rate);
        Ok(FollowedCosts { scenario: "follow", conditions, connections, in_flight, rate, costs })
    }

    fn connections(&self) -> usize {
        self.options.scaled(self.connections as usize, 8) / 2 * 2
    }

    fn in_flight(&self) -> usize {
        self.options.scaled(self.in_flight as usize, 2)
    }

    /// The cost of a message in CPU µs of the shards' threads, and the events that were read.
    fn cost(&self, dialect: LoadDialect, reader: ReaderBeside) -> Result<(f64, u64), Failure> {
        let options = &self.options;
        let connections = self.connections();
        let settings = ComparedSettings::default();
        let load_request = LoadRequest { api: AdminApi::On, contents: Prefill::None, settings: &settings };
        let target = LoadTarget::open(options, dialect, connections, load_request)?;
        let pid = target.pid.ok_or_else(|| Failure::new("the server's process is not known: give --server-pid"))?;
        let measured = on_core(options.client_core, || {
            let (run, mut crowd) = (run_id()?, Crowd::new()?);
            let_pairs_in(&target, &mut crowd, RunPairs { run: &run, connections }, options, &Progress::none())?;
            let streams = pair_streams(dialect, &run, connections / 2, options.body_bytes);
            let pace = pace(self.rate, self.in_flight())?;
            let mut load = Load::new(crowd, streams, pace, Mix::Even);
            let mut cost = || {
                let before = shards_cpu_ns(pid)?;
                let whole = target.measure(&mut load, options, "follow")?.whole;
                Ok::<_, Failure>((shards_cpu_ns(pid)?.saturating_sub(before), whole))
            };
            match reader {
                ReaderBeside::None => cost().map(|(cpu_ns, whole)| (cpu_ns, whole, 0)),
                ReaderBeside::One => read_beside(&ApiLoad::of(target.data_dir())?, cost),
            }
        })?;
        target.close()?;
        let (cpu_ns, whole, events) = measured;
        if !whole.is_exact() {
            return Err(Failure::new(format!("not every message was delivered exactly once: {whole:?}")));
        }
        Ok((cpu_ns as f64 / 1e3 / whole.delivered as f64, events))
    }
}

/// Runs a load while a thread reads the event stream, and waits until that has read every message.
fn read_beside(
    api: &ApiLoad,
    mut cost: impl FnMut() -> Result<(u64, Whole), Failure>,
) -> Result<(u64, Whole, u64), Failure> {
    let mut connection = api.connect()?;
    connection.open_lines("/v1/events?types=message.created")?;
    let closer = connection.closer()?;
    let events = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let count = &events;
        scope.spawn(move || {
            let mut line = Vec::new();
            // The end of the stream is the end of the measurement.
            while connection.read_line(&mut line).unwrap_or(false) {
                if line.starts_with(b"{") && line.windows(CREATED.len()).any(|part| part == CREATED) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let measured = cost();
        let until = Instant::now() + CATCHING_UP;
        let expected = measured.as_ref().map_or(0, |(_, whole)| whole.accepted);
        while events.load(Ordering::Relaxed) < expected && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        // It may have ended already.
        let _ = closer.shutdown(Shutdown::Both);
        let read = events.load(Ordering::Relaxed);
        let (cpu_ns, whole) = measured?;
        if read != expected {
            return Err(Failure::new(format!("the event stream told {read} of {expected} messages")));
        }
        Ok((cpu_ns, whole, read))
    })
}

const CREATED: &[u8] = b"\"message.created\"";

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

impl std::fmt::Display for FollowedCosts {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pace = match self.rate {
            Some(rate) => format!("{rate} messages/s"),
            None => format!("{} in flight", self.in_flight),
        };
        writeln!(out, "follow: {} connections, {pace}, in turn", self.connections)?;
        write!(out, "  conditions      {}", self.conditions)?;
        for FollowedCost { protocol, alone, followed, ratio, events } in &self.costs {
            let (alone, followed) = (median(alone), median(followed));
            let verdict = if *ratio <= RATIO_MAX { "met" } else { "NOT met" };
            write!(
                out,
                "\n  {protocol}: {alone:.2} µs of the shards per message without a reader, {followed:.2} with one that read \
                 {events} events: {ratio:.2} ×, at most {RATIO_MAX}: {verdict}"
            )?;
        }
        Ok(())
    }
}
