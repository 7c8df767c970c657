//! `mushan bench`: loads a server and measures what that costs.

pub(crate) mod api;
pub(crate) mod compare;
pub(crate) mod day;
pub(crate) mod follow;
pub(crate) mod group;
pub(crate) mod history;
pub(crate) mod idle;
pub(crate) mod p2p;
pub(crate) mod plan;
pub(crate) mod size;
pub(crate) mod storm;
pub(crate) mod sync;

use crate::bench::load::report::Report;
use crate::bench::load::settings::ComparedSettings;
use crate::bench::scenario::plan::Scenario;
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use std::path::Path;

/// Load a server and measure what that costs
///
/// Each scenario starts a server (one shard on its own core, a temporary data directory, no rate limits) and loads it
/// from another core, unless --url names a running one. A first phase warms up and is not measured. Exits with 1 if a
/// message was lost, duplicated, out of order or refused.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    scenario: Chosen,
}

#[derive(clap::Subcommand)]
enum Chosen {
    P2p(p2p::Arguments),
    Group(group::Arguments),
    Storm(storm::Arguments),
    Idle(idle::Arguments),
    Sync(sync::Arguments),
    Day(day::Arguments),
    Size(size::Arguments),
    History(history::Arguments),
    Api(api::Arguments),
    Follow(follow::Arguments),
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.scenario {
        Chosen::P2p(scenario) => measure(scenario),
        Chosen::Group(scenario) => measure(scenario),
        Chosen::Storm(scenario) => measure(scenario),
        Chosen::Idle(scenario) => measure(scenario),
        Chosen::Sync(scenario) => measure(scenario),
        Chosen::Day(scenario) => measure(scenario),
        Chosen::Size(arguments) => size::run(arguments),
        Chosen::History(arguments) => history::run(arguments),
        Chosen::Api(arguments) => api::run(arguments),
        Chosen::Follow(arguments) => follow::run(arguments),
    }
}

fn measure(scenario: &impl Scenario) -> Result<(), Failure> {
    let options = &scenario.plan().options;
    options.check()?;
    if scenario.plan().comparison.is_wanted() {
        return compare::run(scenario);
    }
    let mut reports = Vec::new();
    for &dialect in options.dialects() {
        let report = scenario.measure(dialect, &ComparedSettings::default())?;
        let json = || serde_json::to_string(&report).expect("a report is plain data");
        print(&if options.json { json() } else { report.to_string() })?;
        reports.push(report);
    }
    if let Some(path) = &options.chart {
        draw(path, &reports)?;
    }
    if let Some(path) = &options.report {
        write_report(path, options.chart.as_deref(), &reports)?;
    }
    let is_exact = reports.iter().all(Report::is_exact);
    if is_exact { Ok(()) } else { Err(Failure::new("not every message was delivered exactly once and in order")) }
}

#[cfg(feature = "chart")]
fn draw(path: &Path, reports: &[Report]) -> Result<(), Failure> {
    crate::bench::load::chart::draw(path, reports)
}

#[cfg(not(feature = "chart"))]
fn draw(path: &Path, _reports: &[Report]) -> Result<(), Failure> {
    Err(Failure::new(format!("cannot draw {}: this build has no charts", path.display())))
}

fn write_report(path: &Path, chart: Option<&Path>, reports: &[Report]) -> Result<(), Failure> {
    let command: Vec<String> = std::env::args().skip(1).collect();
    let mut text = format!("# mushan bench\n\n`mushan {}`\n", command.join(" "));
    if let Some(name) = chart.and_then(Path::file_name) {
        text += &format!("\n![latency and throughput]({})\n", name.to_string_lossy());
    }
    for report in reports {
        text += &format!("\n## {} {}\n\n```\n{report}\n```\n", report.scenario, report.shape.protocol);
    }
    std::fs::write(path, text).map_err(Failure::because(path.display()))
}
