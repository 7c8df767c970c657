//! `mushan bench idle`: many authenticated connections that do nothing, and a few that send.

use crate::bench::load::crowd::Crowd;
use crate::bench::load::generator::{Load, LoadPace, Mix};
use crate::bench::load::report::Report;
use crate::bench::load::server::{AdminApi, Prefill};
use crate::bench::load::settings::ComparedSettings;
use crate::bench::load::target::{LoadRequest, LoadTarget, loaded};
use crate::bench::load::template::LoadDialect;
use crate::bench::scenario::p2p::{RunPairs, let_pairs_in, pair_streams, shape};
use crate::bench::scenario::plan::{Scenario, ScenarioPlan};
use crate::terminal::failure::Failure;
use crate::terminal::run_id::run_id;
use std::time::Instant;

/// Many authenticated connections that do nothing, then a few that send
///
/// Prints the server's memory per connection, its CPU while nobody sends (for --seconds), and the latency of messages
/// at a fixed rate while the others stay idle (for --seconds more).
#[derive(clap::Args)]
pub struct Arguments {
    #[arg(long, value_name = "N", default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    connections: u32,
    /// Pairs that send in the second half
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    senders: u32,
    /// Sends per second of these pairs
    #[arg(long, value_name = "N", default_value_t = 1_000.0)]
    rate: f64,
    #[command(flatten)]
    plan: ScenarioPlan,
}

impl Scenario for Arguments {
    fn plan(&self) -> &ScenarioPlan {
        &self.plan
    }

    fn measure(&self, dialect: LoadDialect, settings: &ComparedSettings) -> Result<Report, Failure> {
        let options = &self.plan.options;
        let connections = options.scaled(self.connections as usize, 40);
        let load_request = LoadRequest { api: AdminApi::Off, contents: Prefill::None, settings };
        loaded(options, dialect, connections, load_request, |target| self.load(target, connections))
    }
}

impl Arguments {
    fn load(&self, target: &LoadTarget, connections: usize) -> Result<Report, Failure> {
        let options = &self.plan.options;
        let LoadPace::Open { per_second } = crate::bench::scenario::p2p::pace(Some(self.rate), 1)? else {
            return Err(Failure::new("--rate always means an open loop"));
        };
        let (run, mut crowd) = (run_id()?, Crowd::new()?);
        let before = target.memory()?;
        let progress = options.progress_of("letting in", connections);
        let_pairs_in(target, &mut crowd, RunPairs { run: &run, connections }, options, &progress)?;
        drop(progress);
        let after = target.memory()?;
        let (cpu_before, _) = target.cpu()?;
        let began = Instant::now();
        std::thread::sleep(options.span());
        let (cpu_after, _) = target.cpu()?;
        let idle = began.elapsed();

        let pairs = (self.senders as usize).min(connections / 2);
        let streams = pair_streams(target.dialect, &run, pairs, options.body_bytes);
        let mut load = Load::new(crowd, streams, LoadPace::Open { per_second }, Mix::Even);
        let measured = target.measure(&mut load, options, "idle")?;
        let shape = shape(target.dialect, options, connections, LoadPace::Open { per_second });
        let mut report = Report::new("idle", target.conditions.clone(), shape);
        report.add_messages(&measured);
        report.add_memory(before, after, connections);
        if let Some(ns) = cpu_after.zip(cpu_before).map(|(after, before)| after.saturating_sub(before)) {
            report.add_figure("idle CPU", 100.0 * ns as f64 / idle.as_nanos() as f64, "% of a core, nobody talking");
            let per_connection = ns as f64 / idle.as_secs_f64() / connections as f64;
            report.add_figure("idle CPU", per_connection, "ns per connection and second");
        }
        Ok(report)
    }
}
