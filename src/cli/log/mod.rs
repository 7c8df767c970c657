//! `mushan log`: looks into a stopped server's logs; only `repair` changes anything.

pub(super) mod dump;
pub(super) mod repair;
pub(super) mod stats;
pub(super) mod verify;

use crate::log::{Segments, Side, ThreadLink};
use crate::model::{Message, Seq, ShardId, UserId};
use crate::server::{Archive, ArchivedLog};
use crate::terminal::failure::Failure;
use crate::terminal::progress::Progress;
use crate::terminal::sources;
use std::path::PathBuf;

/// Inspect or repair the logs of a stopped server
///
/// Only `repair` changes anything. The directory of a running server is refused, because its logs change while they are read.
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

/// What every subcommand asks for.
#[derive(clap::Args)]
pub struct LogSelection {
    /// The server's data directory [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl LogSelection {
    pub fn open(&self) -> Result<Archive, Failure> {
        Ok(Archive::open(&sources::data_dir(self.data_dir.as_deref()))?)
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        LogCommand::Verify(arguments) => verify::run(arguments),
        LogCommand::Stats(arguments) => stats::run(arguments),
        LogCommand::Dump(arguments) => dump::run(arguments),
        LogCommand::Repair(arguments) => repair::run(arguments),
    }
}

/// A bar for the reading of one log.
pub fn progress(shard: ShardId, log: &ArchivedLog) -> Progress {
    let bytes = log.segments().map(|segment| log.bytes(segment).len() as u64).sum();
    Progress::of_bytes(&format!("shard {shard}"), bytes)
}

/// What was told of a log ends where acknowledged data is damaged, and whoever reads it is to know.
pub fn expect_whole(shard: ShardId, damage: Option<&str>) -> Result<(), Failure> {
    let Some(damage) = damage else { return Ok(()) };
    let what = format!("shard {shard}: {damage}: what is told of it ends there; see `mushan log verify`");
    Err(Failure::with_status(Failure::DISK, what))
}

/// Whose inboxes a record's links belong to, and under which seqs.
pub fn entries<'a>(message: &'a Message, links: &'a [ThreadLink]) -> impl Iterator<Item = (&'a UserId, Seq)> {
    links.iter().filter_map(|link| {
        let owner = match link.side {
            Side::Author => Some(&message.author),
            Side::Peer => message.peer_of(&message.author),
            Side::Conversation => None,
        };
        owner.map(|owner| (owner, link.seq))
    })
}
