//! `mushan bench storm`: all clients connect and log in at once, as after a restart.

use crate::bench::load::client::Client;
use crate::bench::load::crowd::Crowd;
use crate::bench::load::report::{Curves, Report, Shape, percentiles};
use crate::bench::load::server::{AdminApi, Prefill};
use crate::bench::load::settings::ComparedSettings;
use crate::bench::load::target::{LoadRequest, LoadTarget, loaded};
use crate::bench::load::template::LoadDialect;
use crate::bench::scenario::p2p::pair_user;
use crate::bench::scenario::plan::{Scenario, ScenarioPlan};
use crate::terminal::failure::Failure;
use crate::terminal::run_id::run_id;

/// All clients connect and log in at once
///
/// Each connection's time runs from the beginning of connecting to the answer to its login.
#[derive(clap::Args)]
pub struct Arguments {
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Connections being opened at a time
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    at_once: u32,
    #[command(flatten)]
    plan: ScenarioPlan,
}

impl Scenario for Arguments {
    fn plan(&self) -> &ScenarioPlan {
        &self.plan
    }

    fn measure(&self, dialect: LoadDialect, settings: &ComparedSettings) -> Result<Report, Failure> {
        let options = &self.plan.options;
        let connections = options.scaled(self.connections as usize, 50);
        let load_request = LoadRequest { api: AdminApi::Off, contents: Prefill::None, settings };
        loaded(options, dialect, connections, load_request, |target| self.load(target, connections))
    }
}

impl Arguments {
    fn load(&self, target: &LoadTarget, connections: usize) -> Result<Report, Failure> {
        let options = &self.plan.options;
        let (run, mut crowd) = (run_id()?, Crowd::new()?);
        // Making tokens is not part of the measurement.
        let names = (0..connections).map(|index| target.account(&pair_user(&run, index)));
        let mut accounts = names.collect::<Result<Vec<_>, _>>()?.into_iter();
        let before = target.memory()?;
        let (cpu_before, _) = target.cpu()?;
        let progress = options.progress_of("storm", connections);
        let arrival = crowd.let_in(connections, self.at_once as usize, &progress, |_index| {
            Client::begin(accounts.next().expect("one for each"), options.acks())
        })?;
        drop(progress);
        let (cpu_after, _) = target.cpu()?;
        std::thread::sleep(std::time::Duration::from_millis(500));
        let after = target.memory()?;
        let shape = Shape {
            protocol: target.dialect.name(),
            connections,
            body_bytes: 0,
            seconds: arrival.took.as_secs_f64(),
            ..Shape::default()
        };
        let mut report = Report::new("storm", target.conditions.clone(), shape);
        report.add_memory(before, after, connections);
        report.add_figure("logins", connections as f64 / arrival.took.as_secs_f64(), "per second");
        if let Some(ns) = cpu_after.zip(cpu_before).map(|(after, before)| after.saturating_sub(before)) {
            report.add_figure("server CPU", ns as f64 / 1e3 / connections as f64, "µs per login");
        }
        let login = percentiles(&arrival.login_ns);
        report.add_figure("login p50", login.p50_us / 1e3, "ms");
        report.add_figure("login p99", login.p99_us / 1e3, "ms");
        report.add_figure("login p99.9", login.p999_us / 1e3, "ms");
        report.add_figure("login max", login.max_us / 1e3, "ms");
        report.curves = Some(Curves { latency_of: "of a login", latency_ns: arrival.login_ns, timeline: Vec::new() });
        Ok(report)
    }
}
