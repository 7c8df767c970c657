//! Appends, reads back and opens the records of one shard.

use super::{Record, Storage, StorageError};
use crate::model::{Millis, Position, ShardId};

/// A record that cannot be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segment {} is damaged at offset {}", .position.segment(), .position.offset())]
pub struct Damage {
    pub position: Position,
}

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("acknowledged data is damaged: {0}")]
    Damaged(Damage),
    #[error("segment {segment} has format version {version}, this server reads version {supported}")]
    Version { segment: u32, version: u16, supported: u16 },
    #[error("segment {segment} belongs to shard {found}, not to shard {expected}")]
    OtherShard { segment: u32, found: ShardId, expected: ShardId },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What opening found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    pub epoch: u64,
    pub records: u64,
    /// Bytes past the longest valid prefix that were not zero and are now: a torn tail, never acknowledged.
    pub cut_bytes: u64,
}

/// What is to be synced: from the first byte that may not be durable to the end of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub from: Position,
    pub to: Position,
}

pub struct Journal<S> {
    storage: S,
}

impl<S: Storage> Journal<S> {
    /// Opens a log, gives every record of the longest valid prefix to `replay` in order, cuts the torn tail, and
    /// appends a `Start` of the next epoch. An empty storage with a spare becomes a new log.
    pub fn open(
        _storage: S,
        _shard: ShardId,
        _now: Millis,
        _replay: impl FnMut(Position, Record),
    ) -> Result<(Self, Opening), OpenError> {
        todo!()
    }

    /// Whether a record with bodies of `body_bytes` surely fits (`Record::bytes_max` gives an upper bound).
    pub fn has_room(&self, _record_bytes: usize) -> bool {
        todo!()
    }

    /// Appends a record that somebody waits for: it asks for a sync. Only when `has_room`. Returns its position.
    pub fn append(&mut self, _record: &Record) -> Position {
        todo!()
    }

    /// Appends a record that nobody waits for: it becomes durable with whatever is synced next.
    pub fn append_lazily(&mut self, _record: &Record) -> Position {
        todo!()
    }

    /// The record at `position`, checked.
    pub fn read(&self, _position: Position) -> Result<Record, Damage> {
        todo!()
    }

    /// Behind the last record.
    pub fn end(&self) -> Position {
        todo!()
    }

    pub fn durable(&self) -> Position {
        todo!()
    }

    /// Closes the batch with a `Mark` and says what to sync; `None` when nobody waits for anything.
    pub fn seal(&mut self) -> Option<Batch> {
        todo!()
    }

    /// Everything before `to` is durable.
    pub fn synced(&mut self, _to: Position) {
        todo!()
    }

    pub fn storage(&self) -> &S {
        &self.storage
    }

    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }
}
