//! `mushan bench group`: a few authors write to one group, all of whose members are online.

use crate::bench::load::api::ApiLoad;
use crate::bench::load::client::Client;
use crate::bench::load::crowd::Crowd;
use crate::bench::load::generator::{Load, Mix};
use crate::bench::load::report::Report;
use crate::bench::load::server::{AdminApi, Prefill};
use crate::bench::load::settings::ComparedSettings;
use crate::bench::load::stream::LoadStream;
use crate::bench::load::target::{LoadRequest, LoadTarget, loaded};
use crate::bench::load::template::{Authorship, LoadDialect, Template, To};
use crate::bench::scenario::p2p::{pace, shape};
use crate::bench::scenario::plan::{Scenario, ScenarioPlan};
use crate::terminal::failure::Failure;
use crate::terminal::run_id::run_id;
use std::ops::Range;

/// Authors write to one group, all of whose members are online
///
/// The group is created over the operator's HTTP API. A message counts once for each member that it is delivered to. A
/// bare relay takes the first connection as the author.
#[derive(clap::Args)]
pub struct Arguments {
    /// Members, each with a connection
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    members: u32,
    /// Members that write
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    authors: u32,
    /// Messages under way per author, closed loop
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    in_flight: u32,
    /// Sends per second of all authors together, open loop
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
        let members = options.scaled(self.members as usize, 8);
        let load_request = LoadRequest { api: AdminApi::On, contents: Prefill::None, settings };
        loaded(options, dialect, members, load_request, |target| self.load(target, members))
    }
}

impl Arguments {
    fn load(&self, target: &LoadTarget, members: usize) -> Result<Report, Failure> {
        let options = &self.plan.options;
        let pace = pace(self.rate, self.in_flight as usize)?;
        let (run, mut crowd) = (run_id()?, Crowd::new()?);
        if target.dialect != LoadDialect::Bare {
            make_group(target, &run, members)?;
        }
        let before = target.memory()?;
        let progress = options.progress_of("letting in", members);
        let client = |index| Client::begin(target.account(&member(&run, index))?, options.acks());
        target.let_in(&mut crowd, members, &progress, client)?;
        drop(progress);
        let after = target.memory()?;
        let authors = (self.authors as usize).min(members);
        let streams = group_streams(target.dialect, &run, 0..members, 0..authors, options.body_bytes);
        let mut load = Load::new(crowd, streams, pace, Mix::Even);
        let measured = target.measure(&mut load, options, "group")?;
        let mut shape = shape(target.dialect, options, members, pace);
        shape.members = Some(members);
        let mut report = Report::new("group", target.conditions.clone(), shape);
        report.add_messages(&measured);
        report.add_memory(before, after, members);
        Ok(report)
    }
}

pub fn member(run: &str, index: usize) -> String {
    format!("{run}-g{index}")
}

fn group(run: &str) -> String {
    format!("{run}-team")
}

pub fn make_group(target: &LoadTarget, run: &str, members: usize) -> Result<(), Failure> {
    let operator = ApiLoad::of(target.data_dir())?;
    let names: Vec<String> = (0..members).map(|index| member(run, index)).collect();
    operator.create_group(&group(run), &names[0], &names)
}

/// Streams of the first clients in `members`; `numbers` are the numbers of the streams.
pub fn group_streams(
    dialect: LoadDialect,
    run: &str,
    members: Range<usize>,
    numbers: Range<usize>,
    body_bytes: usize,
) -> Vec<LoadStream> {
    let group = group(run);
    let stream = |index: usize| {
        let number = u32::try_from(numbers.start + index).expect("connections are bounded");
        let authorship = Authorship { to: To::Group(&group), run, stream: number, body_bytes };
        LoadStream::new(members.start + index, members.clone(), Template::new(dialect, &authorship))
    };
    (0..numbers.len()).map(stream).collect()
}
