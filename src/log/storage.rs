//! The seam between a log and its bytes.

use crate::model::Position;
use std::ops::Range;

/// What can go wrong with the bytes themselves, in the words of whoever holds them.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct StorageError {
    pub what: String,
}

/// Where a log that is being opened stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentStatus {
    /// A claim of the log itself, or its checkpoint, says that everything before this is durable.
    pub vouched: Position,
    /// Behind the last record of the longest valid prefix.
    pub end: Position,
    /// Bytes behind `end` that are not zero.
    pub torn_bytes: u64,
}

/// Segments as they can be read.
pub trait Segments {
    /// The segments that exist: ascending, no gap. The first of all is 1; retention drops the oldest.
    fn segments(&self) -> Range<u32>;

    /// All bytes of one segment.
    fn bytes(&self, segment: u32) -> &[u8];

    /// From this segment on, bytes are in memory: reading them waits for no disk.
    fn warm_from(&self) -> u32 {
        self.segments().start
    }

    /// What stands at `position`, in a segment before `warm_from`: `bytes_min` bytes or more, fewer where the segment ends.
    /// `None` where that might wait for a disk; nothing is touched then that may have to come from one.
    fn resident_bytes(&self, position: Position, bytes_min: usize) -> Option<&[u8]> {
        let _ = (position, bytes_min);
        None
    }

    /// Brings these bytes of a segment into memory; whether they can be read. A range may reach past the end.
    fn is_readable(&self, segment: u32, bytes: Range<usize>) -> bool {
        let _ = (segment, bytes);
        true
    }
}

/// Segments of preallocated bytes, all zero until written. Reads see every write at once; what survives a crash is
/// whatever the owner has synced.
///
/// At opening, every segment that may hold a byte that is not zero is among `segments`, spares that a crash left behind
/// included: a journal looks at them, has them cleared, and fills them before it takes a spare.
pub trait Storage: Segments {
    /// Writes into a segment that exists, inside its length.
    fn write(&mut self, segment: u32, offset: u32, bytes: &[u8]);

    /// The size of a zeroed segment that is ready to be taken, if there is one.
    fn spare_bytes(&self) -> Option<u32>;

    /// Where there is no spare: whether that is for want of space. Otherwise one is being made.
    fn is_full(&self) -> bool {
        true
    }

    /// Whether there may be no room for another spare.
    fn is_scarce(&self) -> bool {
        false
    }

    /// Makes the spare the newest segment. Only when `spare_bytes` says there is one.
    fn take_spare(&mut self) -> u32;

    /// Gives up the oldest segment, for ever. Not the one that is being written.
    fn drop_first(&mut self);

    /// At opening only: zeroes everything from `end` on. On return the zeroes *and every byte before them* are durable,
    /// and the segments from that of `end` on can be written to; they may stay in `segments` or become spares.
    ///
    /// What was read may be in the page cache only, and look clean there though a sync of it has failed: to sync it once
    /// more would write nothing. So everything between `vouched` and `end` is written again first. Old bytes that come
    /// back on the device behind `end` do no harm: they are no records that follow, and what they claim to be durable is.
    fn secure(&mut self, standing: SegmentStatus) -> Result<(), StorageError>;
}
