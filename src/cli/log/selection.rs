//! Which logs a subcommand of `mushan log` reads, and what all of them say of one.

use crate::log::{Segments, Side, ThreadLink};
use crate::model::{Message, Seq, ShardId, UserId};
use crate::server::{Archive, ArchivedLog};
use crate::terminal::failure::Failure;
use crate::terminal::progress::Progress;
use crate::terminal::sources;
use std::path::PathBuf;

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
