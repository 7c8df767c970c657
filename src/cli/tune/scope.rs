//! The server for which a host is checked, the root directory, and the list of conditions.

use crate::cli::tune::finding::{self, Condition, Needs};
use crate::cli::tune::host::Host;
use crate::cli::tune::report::FindingRow;
use crate::cli::tune::{kernel, network, processor, storage};
use crate::server::config::{Config, Sources};
use crate::terminal::failure::Failure;
use std::path::{Path, PathBuf};

const STATE: &str = "/var/lib/mushan/tune-undo.json";

/// The server for which the host is checked.
#[derive(clap::Args)]
pub struct HostFlags {
    /// Profile of the server [default: the configuration's, or balanced]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// TOML file of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the logs [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

#[derive(clap::Args)]
pub struct Root {
    /// Check the files below this directory instead of /
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// The root directory and the state file.
#[derive(clap::Args)]
pub struct Below {
    #[command(flatten)]
    root: Root,
    /// File for former values [default: /var/lib/mushan/tune-undo.json below --root]
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
    /// The profile's name, and every condition with its finding.
    pub fn look(&self, below: &Below) -> Result<(&'static str, Vec<FindingRow>), Failure> {
        self.look_below(&below.root.root)
    }

    /// The configuration of that server.
    pub fn config(&self) -> Result<Config, Failure> {
        let sources = Sources {
            profile: self.profile.clone(),
            file: self.config.clone(),
            environment: std::env::vars_os().collect(),
            flags: self.data_dir.iter().map(|path| ("data_dir", path.clone())).collect(),
        };
        Ok(Config::read(&sources)?)
    }

    pub fn look_below(&self, root: &Path) -> Result<(&'static str, Vec<FindingRow>), Failure> {
        let config = self.config()?;
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
        .ok_or_else(|| Failure::new(format!("there is no condition \"{name}\"; `mushan tune list` lists all")))
}
