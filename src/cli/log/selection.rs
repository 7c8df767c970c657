//! The arguments that select logs for the subcommands of `mushan log`, and output that they share.

use crate::log::{Segments, Side, ThreadLink};
use crate::model::{Message, Seq, ShardId, UserId};
use crate::server::{Archive, ArchivedLog};
use crate::terminal::failure::Failure;
use crate::terminal::progress::Progress;
use crate::terminal::sources;
use std::path::PathBuf;

/// Arguments of every subcommand.
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

/// A progress bar for reading one log.
pub fn progress(shard: ShardId, log: &ArchivedLog) -> Progress {
    let bytes = log.segments().map(|segment| log.bytes(segment).len() as u64).sum();
    Progress::of_bytes(&format!("shard {shard}"), bytes)
}

/// Fails if a log was read only up to damaged data that was acknowledged.
pub fn expect_whole(shard: ShardId, damage: Option<&str>) -> Result<(), Failure> {
    let Some(damage) = damage else { return Ok(()) };
    let what = format!("shard {shard}: {damage}: the output for this shard ends there; see `mushan log verify`");
    Err(Failure::with_status(Failure::DISK, what))
}

/// The inbox entries of a record: their users and seqs.
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
