//! The seam between a log and its bytes.

use crate::model::Position;

/// What can go wrong with the bytes themselves, in the words of whoever holds them.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct StorageError {
    pub what: String,
}

/// Segments of preallocated bytes, all zero until written. Reads see every write at once; what survives a crash is
/// whatever the owner has synced.
pub trait Storage {
    /// The segments that exist: ascending, no gap.
    fn segments(&self) -> std::ops::Range<u32>;

    /// All bytes of one segment.
    fn bytes(&self, segment: u32) -> &[u8];

    /// Writes into a segment that exists, inside its length.
    fn write(&mut self, segment: u32, offset: u32, bytes: &[u8]);

    /// The size of a zeroed segment that is ready to be taken, if there is one.
    fn spare_bytes(&self) -> Option<u32>;

    /// Makes the spare the newest segment. Only when `spare_bytes` says there is one.
    fn take_spare(&mut self) -> u32;

    /// At opening only: zeroes everything from `from` on, durable on return.
    fn clear_from(&mut self, from: Position) -> Result<(), StorageError>;
}
