//! `mushan tune`: compares this host with the needs of a profile, and applies changes that can be undone.

pub(super) mod apply;
pub(super) mod finding;
pub(super) mod host;
pub(super) mod journal;
pub(super) mod kernel;
pub(super) mod network;
pub(super) mod processor;
pub(super) mod report;
pub(super) mod scope;
pub(super) mod storage;

use crate::cli::tune::apply::{Apply, Undo};
use crate::cli::tune::finding::Condition;
use crate::cli::tune::scope::{HostFlags, Root, condition_named, conditions};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;

/// Check this host's settings for the server, and change them
///
/// Nothing is changed without --yes; `mushan tune undo` restores the former values.
#[derive(clap::Args)]
#[command(disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: TuneCommand,
}

#[derive(clap::Subcommand)]
enum TuneCommand {
    Check(Check),
    Apply(Apply),
    Undo(Undo),
    /// List the conditions
    List,
    Help(Explain),
}

/// List what this host lacks for a profile
///
/// Exits with 1 if a required condition is not met. A condition that does not apply to this host is skipped, with the
/// reason.
#[derive(clap::Args)]
struct Check {
    #[command(flatten)]
    host: HostFlags,
    #[command(flatten)]
    root: Root,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Explain one condition, or one knob of the configuration
#[derive(clap::Args)]
struct Explain {
    /// Name in `mushan tune list` or `mushan check`
    #[arg(value_name = "NAME")]
    name: String,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        TuneCommand::Check(arguments) => check(arguments),
        TuneCommand::Apply(arguments) => apply::apply(arguments),
        TuneCommand::Undo(arguments) => apply::undo(arguments),
        TuneCommand::List => list(),
        TuneCommand::Help(arguments) => explain(&arguments.name),
    }
}

fn check(arguments: &Check) -> Result<(), Failure> {
    let (profile, rows) = arguments.host.look_below(&arguments.root.root)?;
    if arguments.json {
        print(&report::json(profile, &rows))?;
    } else {
        print(&format!("profile {profile}\n{}", report::table(profile, &rows)))?;
    }
    let fatal: Vec<String> =
        rows.iter().filter(|row| row.is_fatal()).map(|row| row.condition.name.to_owned()).collect();
    if fatal.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("this host does not fit the profile {profile}: {}", fatal.join(", "))))
}

fn list() -> Result<(), Failure> {
    let lines: Vec<String> =
        conditions().map(|condition| format!("{:<18} {}", condition.name, condition.what)).collect();
    print(&lines.join("\n"))
}

fn explain(name: &str) -> Result<(), Failure> {
    if let Some(knob) = crate::server::config::explain(name) {
        return print(&knob);
    }
    let Condition { what, why, severity, .. } = condition_named(name)?;
    print(&format!(
        "{name}: {what}\nwhy       {why}\nseverity  {severity:?}\nlook      mushan tune check\nchange    mushan tune \
         apply --only {name} --dry-run\nundo      mushan tune undo --only {name}"
    ))
}
