//! Followers of the logs: threads beside the cores that read committed records from a cursor on, each at its own pace.
//!
//! A follower reads the segment files. The only thing that a shard does for it is to publish how far its log is
//! acknowledged, whether anybody follows or not. Invariants: a follower meets every committed record once and in the
//! order of its shard's log, or is told that it cannot; it holds no segment back from retention.

pub mod cursor;
pub mod erased_users;
pub mod event_reader;
pub mod followed_log;
pub mod log_follower;

use crate::log::Damage;
use crate::model::{Position, ShardId};
use std::io;
use std::path::PathBuf;

/// The reason why a follower cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Retention has dropped records that the follower has not read.
    #[error("records of shard {shard} before segment {oldest} have expired")]
    Expired { shard: ShardId, oldest: u32 },
    /// No record begins at the cursor, or the log ends before the cursor.
    #[error("the cursor is not a place in the log of shard {shard}: the log ends at {end:?}")]
    NotInLog { shard: ShardId, end: Position },
    /// The cursor was given for logs that were rewritten or restored since.
    #[error("the cursor is of other logs")]
    Superseded,
    #[error("the manifest of the data directory cannot be read: {0}")]
    Manifest(String),
    /// A committed record cannot be read back.
    #[error("the log of shard {shard} cannot be followed")]
    Damaged { shard: ShardId, source: Damage },
    #[error("cannot read {}", .path.display())]
    Disk { path: PathBuf, source: io::Error },
}
