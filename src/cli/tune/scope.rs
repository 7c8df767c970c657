//! Which server a host is looked at for, below which root, and the conditions that are looked at.

use crate::cli::tune::finding::{self, Condition, Needs};
use crate::cli::tune::host::Host;
use crate::cli::tune::report::FindingRow;
use crate::cli::tune::{kernel, network, processor, storage};
use crate::server::config::{Config, Sources};
use crate::terminal::failure::Failure;
use std::path::{Path, PathBuf};

const STATE: &str = "/var/lib/mushan/tune-undo.json";

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
pub struct Root {
    /// Look below this directory in place of /
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
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

    pub fn look_below(&self, root: &Path) -> Result<(&'static str, Vec<FindingRow>), Failure> {
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
    FindingRow { condition, finding: finding::look(condition, host, needs) }
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
