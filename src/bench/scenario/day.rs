//! `mushan bench day`: a mixed load: messages to people and to a group, receipts, typing notices, and readers that
//! disconnect, reconnect and read what they missed.

use crate::bench::load::client::Client;
use crate::bench::load::crowd::Crowd;
use crate::bench::load::generator::{Load, LoadPace, Mix};
use crate::bench::load::report::Report;
use crate::bench::load::server::{AdminApi, Prefill};
use crate::bench::load::settings::ComparedSettings;
use crate::bench::load::target::{LoadRequest, LoadTarget, loaded};
use crate::bench::load::template::LoadDialect;
use crate::bench::scenario::group::{group_streams, make_group, member};
use crate::bench::scenario::p2p::{pace, pair_streams, pair_user, shape};
use crate::bench::scenario::plan::{Scenario, ScenarioPlan};
use crate::terminal::failure::Failure;
use crate::terminal::run_id::run_id;

/// A mixed load at a fixed rate
///
/// Of ten actions seven are messages to one person, two are messages to a group, one is a typing notice. Every tenth
/// message that a person gets is answered with a receipt, and every --reconnect-every actions a reader disconnects,
/// reconnects and reads what it missed.
#[derive(clap::Args)]
pub struct Arguments {
    /// Connections of pairs
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    connections: u32,
    /// Members of the group, each with one more connection; 0: no group, and no need for the HTTP API
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    members: u32,
    /// Actions per second
    #[arg(long, value_name = "N", default_value_t = 5_000.0)]
    rate: f64,
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    reconnect_every: u64,
    #[command(flatten)]
    plan: ScenarioPlan,
}

/// A reader sends one receipt for this many messages.
const RECEIPT_EVERY: u32 = 10;
/// Members that write.
const AUTHORS: usize = 4;

impl Scenario for Arguments {
    fn plan(&self) -> &ScenarioPlan {
        &self.plan
    }

    fn measure(&self, dialect: LoadDialect, settings: &ComparedSettings) -> Result<Report, Failure> {
        let options = &self.plan.options;
        let connections = options.scaled(self.connections as usize, 8) / 2 * 2;
        let members = options.scaled(self.members as usize, (self.members as usize).min(6));
        let api = if members > 0 { AdminApi::On } else { AdminApi::Off };
        let load_request = LoadRequest { api, contents: Prefill::None, settings };
        loaded(options, dialect, connections + members, load_request, |target| self.load(target, connections, members))
    }
}

impl Arguments {
    fn load(&self, target: &LoadTarget, connections: usize, members: usize) -> Result<Report, Failure> {
        let options = &self.plan.options;
        let rate = if options.smoke { self.rate.min(500.0) } else { self.rate };
        let pace: LoadPace = pace(Some(rate), 1)?;
        let (run, mut crowd) = (run_id()?, Crowd::new()?);
        if members > 0 {
            make_group(target, &run, members)?;
        }
        let before = target.memory()?;
        let everybody = connections + members;
        let progress = options.progress_of("letting in", everybody);
        target.let_in(&mut crowd, everybody, &progress, |index| {
            let Some(of_group) = index.checked_sub(connections) else { return self.pair_client(target, &run, index) };
            Client::begin(target.account(&member(&run, of_group))?, options.acks())
        })?;
        drop(progress);
        let after = target.memory()?;
        let pairs = connections / 2;
        let mut streams = pair_streams(target.dialect, &run, pairs, options.body_bytes);
        let authors = pairs..pairs + AUTHORS.min(members);
        streams.extend(group_streams(target.dialect, &run, connections..everybody, authors, options.body_bytes));
        let mix = Mix::Day { pairs, reconnect_every: self.reconnect_every };
        let mut load = Load::new(crowd, streams, pace, mix);
        let measured = target.measure(&mut load, options, "day")?;
        let mut shape = shape(target.dialect, options, everybody, pace);
        shape.members = Some(members);
        let mut report = Report::new("day", target.conditions.clone(), shape);
        report.add_messages(&measured);
        report.add_memory(before, after, everybody);
        report.add_figure("typing signs", load.typed as f64, "in the whole run");
        report.add_figure("reconnects", load.reconnected as f64, "in the whole run");
        report.add_figure("receipts", measured.tally.receipts as f64, "answered in the span");
        Ok(report)
    }

    fn pair_client(&self, target: &LoadTarget, run: &str, index: usize) -> Result<Client, Failure> {
        let mut client = Client::begin(target.account(&pair_user(run, index))?, self.plan.options.acks())?;
        let is_reader = !index.is_multiple_of(2);
        if is_reader {
            client.ask_for_receipts(RECEIPT_EVERY);
        }
        Ok(client)
    }
}
