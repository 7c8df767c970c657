//! `mushan log`: looks into a stopped server's logs; only `repair` changes anything.

use super::failure::Failure;
use super::{log_dump, log_repair, log_stats, log_verify, sources};
use crate::server::Archive;
use std::path::PathBuf;

/// Look into the logs of a stopped server
///
/// Nothing is changed but by `repair`. A running server's directory is refused: its logs move while they are read.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Verify(log_verify::Arguments),
    Stats(log_stats::Arguments),
    Dump(log_dump::Arguments),
    Repair(log_repair::Arguments),
}

/// What every subcommand asks for.
#[derive(clap::Args)]
pub struct Place {
    /// The server's data directory [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    pub fn open(&self) -> Result<Archive, Failure> {
        Ok(Archive::open(&sources::data_dir(self.data_dir.as_deref()))?)
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Verify(arguments) => log_verify::run(arguments),
        Command::Stats(arguments) => log_stats::run(arguments),
        Command::Dump(arguments) => log_dump::run(arguments),
        Command::Repair(arguments) => log_repair::run(arguments),
    }
}
