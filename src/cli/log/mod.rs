//! `mushan log`: inspects a stopped server's logs; only `repair` changes anything.

pub(super) mod dump;
pub(super) mod repair;
pub(super) mod selection;
pub(super) mod stats;
pub(super) mod verify;

use crate::terminal::failure::Failure;

/// Inspect or repair the logs of a stopped server
///
/// Only `repair` changes anything. The directory of a running server is refused, because its logs change while they are
/// read.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(clap::Subcommand)]
enum LogCommand {
    Verify(verify::Arguments),
    Stats(stats::Arguments),
    Dump(dump::Arguments),
    Repair(repair::Arguments),
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        LogCommand::Verify(arguments) => verify::run(arguments),
        LogCommand::Stats(arguments) => stats::run(arguments),
        LogCommand::Dump(arguments) => dump::run(arguments),
        LogCommand::Repair(arguments) => repair::run(arguments),
    }
}
