//! `mushan tune`: what this host lacks for a profile, and changing that in a way that can be taken back.

pub(super) mod apply;
pub(super) mod finding;
pub(super) mod host;
pub(super) mod journal;
pub(super) mod kernel;
pub(super) mod network;
pub(super) mod processor;
pub(super) mod report;
pub(super) mod storage;

use crate::cli::tune::apply::{Apply, Undo};
use crate::cli::tune::finding::{Condition, Needs};
use crate::cli::tune::host::Host;
use crate::cli::tune::report::FindingRow;
use crate::server::config::{Config, Sources};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use std::path::{Path, PathBuf};

/// Check and change what the host has for the server
///
/// Nothing is changed without --yes; what was changed is put back by `mushan tune undo`.
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
/// Exits with 1 when a required condition is not met. A condition is skipped, with the reason, where the host has no
/// such thing.
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
    /// As `mushan tune list` or `mushan check` has it
    #[arg(value_name = "NAME")]
    name: String,
}

/// Which server the host is looked at for.
#[derive(clap::Args)]
pub struct HostFlags {
    /// Profile that is to be served
    #[arg(long, value_name = "NAME", default_value = "balanced")]
    profile: String,
    /// TOML file that is to be served with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the logs are to live [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

#[derive(clap::Args)]
struct Root {
    /// Look below this directory in place of /
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// Where to look and where to write down.
#[derive(clap::Args)]
pub struct Below {
    #[command(flatten)]
    root: Root,
    /// Where former values are kept [default: /var/lib/mushan/tune-undo.json below --root]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

const STATE: &str = "/var/lib/mushan/tune-undo.json";

impl Below {
    pub fn host(&self) -> Host {
        Host::new(&self.root.root)
    }

    pub fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| self.host().path(STATE))
    }
}

impl HostFlags {
    /// The profile's name, and every condition with what is found of it.
    pub fn look(&self, below: &Below) -> Result<(&'static str, Vec<FindingRow>), Failure> {
        self.look_below(&below.root.root)
    }

    fn look_below(&self, root: &Path) -> Result<(&'static str, Vec<FindingRow>), Failure> {
        let sources = Sources {
            profile: Some(self.profile.clone()),
            file: self.config.clone(),
            environment: std::env::vars_os().collect(),
            flags: self.data_dir.iter().map(|path| ("data_dir", path.clone())).collect(),
        };
        let config = Config::read(&sources)?;
        let host = Host::new(root);
        let needs = Needs::new(config.profile, config.options, &host);
        Ok((config.profile, conditions().map(|condition| row(condition, &host, &needs)).collect()))
    }
}

fn row(condition: &'static Condition, host: &Host, needs: &Needs) -> FindingRow {
    FindingRow { condition, finding: crate::cli::tune::finding::look(condition, host, needs) }
}

pub fn conditions() -> impl Iterator<Item = &'static Condition> {
    let tables = [kernel::CONDITIONS, network::CONDITIONS, processor::CONDITIONS, storage::CONDITIONS];
    tables.into_iter().flatten()
}

pub fn condition_named(name: &str) -> Result<&'static Condition, Failure> {
    conditions()
        .find(|condition| condition.name == name)
        .ok_or_else(|| Failure::new(format!("there is no condition \"{name}\"; `mushan tune list` has all of them")))
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
