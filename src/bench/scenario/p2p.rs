//! `mushan bench p2p`: pairs of users, one writing to the other.

use crate::bench::load::client::Client;
use crate::bench::load::crowd::Crowd;
use crate::bench::load::generator::{Load, LoadPace, Mix};
use crate::bench::load::options::LoadOptions;
use crate::bench::load::report::{Report, Shape};
use crate::bench::load::server::{AdminApi, Prefill};
use crate::bench::load::settings::ComparedSettings;
use crate::bench::load::stream::LoadStream;
use crate::bench::load::target::{LoadRequest, LoadTarget, loaded};
use crate::bench::load::template::{Authorship, LoadDialect, Template, To};
use crate::bench::scenario::plan::{Scenario, ScenarioPlan};
use crate::terminal::failure::Failure;
use crate::terminal::progress::Progress;
use crate::terminal::run_id::run_id;

/// Pairs of users, one writing to the other
///
/// Closed loop: each message waits for its answer and its delivery. Open loop (--rate): messages are sent at a fixed
/// rate whatever the server does, and their latency runs from the time at which they were due.
#[derive(clap::Args)]
pub struct Arguments {
    /// Connections; half of them write to the other half
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Messages under way per pair, closed loop
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    in_flight: u32,
    /// Sends per second of all pairs together, open loop
    #[arg(long, value_name = "N", conflicts_with = "in_flight")]
    rate: Option<f64>,
    #[command(flatten)]
    plan: ScenarioPlan,
}

impl Scenario for Arguments {
    fn plan(&self) -> &ScenarioPlan {
        &self.plan
    }

    fn measure(&self, dialect: LoadDialect, settings: &ComparedSettings) -> Result<Report, Failure> {
        let options = &self.plan.options;
        let connections = (options.scaled(self.connections as usize, 8) / 2 * 2).max(2);
        let load_request = LoadRequest { api: AdminApi::Off, contents: Prefill::None, settings };
        loaded(options, dialect, connections, load_request, |target| self.load(target, connections))
    }
}

impl Arguments {
    fn load(&self, target: &LoadTarget, connections: usize) -> Result<Report, Failure> {
        let options = &self.plan.options;
        let pace = pace(self.rate, options.scaled(self.in_flight as usize, 2))?;
        let (run, mut crowd) = (run_id()?, Crowd::new()?);
        let before = target.memory()?;
        let progress = options.progress_of("letting in", connections);
        let_pairs_in(target, &mut crowd, RunPairs { run: &run, connections }, options, &progress)?;
        drop(progress);
        let after = target.memory()?;
        let streams = pair_streams(target.dialect, &run, connections / 2, options.body_bytes);
        let mut load = Load::new(crowd, streams, pace, Mix::Even);
        let measured = target.measure(&mut load, options, "p2p")?;
        let shape = shape(target.dialect, options, connections, pace);
        let mut report = Report::new("p2p", target.conditions.clone(), shape);
        report.add_messages(&measured);
        report.add_memory(before, after, connections);
        Ok(report)
    }
}

/// An open loop if a rate is given.
pub fn pace(rate: Option<f64>, in_flight: usize) -> Result<LoadPace, Failure> {
    match rate {
        Some(rate) if !(1.0..=10_000_000.0).contains(&rate) => Err(Failure::new("--rate must be from 1 to 10000000")),
        Some(per_second) => Ok(LoadPace::Open { per_second }),
        None => Ok(LoadPace::Closed { in_flight }),
    }
}

pub fn shape(dialect: LoadDialect, options: &LoadOptions, connections: usize, pace: LoadPace) -> Shape {
    let (in_flight, rate) = match pace {
        LoadPace::Closed { in_flight } => (Some(in_flight), None),
        LoadPace::Open { per_second } => (None, Some(per_second)),
    };
    Shape {
        protocol: dialect.name(),
        connections,
        in_flight,
        rate,
        members: None,
        body_bytes: options.body_bytes,
        seconds: options.span().as_secs_f64(),
    }
}

/// Clients of pairs: alternately author and reader.
pub fn pair_user(run: &str, index: usize) -> String {
    format!("{run}-{}{}", if index.is_multiple_of(2) { 'a' } else { 'b' }, index / 2)
}

/// One stream for each pair, from client `2 n` to the next one.
pub fn pair_streams(dialect: LoadDialect, run: &str, pairs: usize, body_bytes: usize) -> Vec<LoadStream> {
    let stream = |pair: usize| {
        let reader = pair_user(run, 2 * pair + 1);
        let number = u32::try_from(pair).expect("connections are bounded");
        let authorship = Authorship { to: To::User(&reader), run, stream: number, body_bytes };
        LoadStream::new(2 * pair, 2 * pair + 1..2 * pair + 2, Template::new(dialect, &authorship))
    };
    (0..pairs).map(stream).collect()
}

/// The clients of one run that write to each other in pairs.
#[derive(Clone, Copy)]
pub struct RunPairs<'a> {
    pub run: &'a str,
    pub connections: usize,
}

/// Opens the connections of pairs without measuring that.
pub fn let_pairs_in(
    target: &LoadTarget,
    crowd: &mut Crowd,
    pairs: RunPairs<'_>,
    options: &LoadOptions,
    progress: &Progress,
) -> Result<(), Failure> {
    let client = |index| Client::begin(target.account(&pair_user(pairs.run, index))?, options.acks());
    target.let_in(crowd, pairs.connections, progress, client).map(drop)
}
