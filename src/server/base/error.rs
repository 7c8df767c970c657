//! The reasons why a server does not start, or stops. The kind decides the exit status (docs/ARCHITECTURE.md).

use crate::log::OpenError;
use crate::model::ShardId;
use std::io;
use std::path::Path;

pub(in crate::server) const SEE_TOOLS: &str = "see `mushan log verify` and `mushan log repair`";

/// What an operator can do about a log that does not open.
pub(in crate::server) fn advice(error: &OpenError) -> &'static str {
    if error.is_of_another_version() {
        return "open it with the version of mushan that wrote it";
    }
    SEE_TOOLS
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operator asked for what cannot be.
    #[error("{0}")]
    Configuration(String),
    /// This machine or this process's limits are not fit.
    #[error("{0}")]
    Host(String),
    #[error("{0}")]
    Disk(String),
}

impl StartError {
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Configuration(_) => 1,
            Self::Host(_) => 2,
            Self::Disk(_) => 3,
        }
    }

    /// `doing` completes "cannot".
    pub fn disk(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::Disk(format!("cannot {doing} {}: {error}", path.display()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// What a shard acknowledged from here on would not be true: it stopped.
    #[error("shard {shard}: the log could not be synced and is not trusted any more: {what}")]
    Disk { shard: ShardId, what: String },
    /// Clients could not be told that seqs of inboxes stand for other messages.
    #[error("shard {shard}: the inbox epoch could not be changed: {what}")]
    Epoch { shard: ShardId, what: String },
    #[error("shard {shard}: {what}")]
    Host { shard: ShardId, what: String },
}

impl RunError {
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Host { .. } => 2,
            Self::Disk { .. } | Self::Epoch { .. } => 3,
        }
    }
}
