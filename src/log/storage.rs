//! The interface between a log and the bytes of its segments.

use crate::model::Position;
use std::ops::Range;

/// A failure of the storage of a log.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A new log has no segment to begin in.
    #[error("no segment is ready for a new log")]
    NoSegment,
    /// A segment has no room for its own header.
    #[error("a segment is smaller than its header")]
    SegmentTooSmall,
    /// The device in memory was told to fail.
    #[error("the device has failed to write")]
    WriteFailed,
    /// A failure of the device or the file system, as the implementation describes it, with file and cause.
    #[error(transparent)]
    Medium(Box<dyn std::error::Error + Send + Sync>),
}

/// The state of a log that is being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentStatus {
    /// A mark in the log, or its checkpoint, proves that everything before this position is durable.
    pub marked_durable: Position,
    /// The end of the last record of the longest valid prefix.
    pub end: Position,
    /// Bytes after `end` that are not zero.
    pub torn_bytes: u64,
}

/// Read access to segments.
pub trait Segments {
    /// The numbers of the existing segments: ascending, without a gap. The first one ever is 1; retention drops the
    /// oldest.
    fn segments(&self) -> Range<u32>;

    /// All bytes of one segment.
    fn bytes(&self, segment: u32) -> &[u8];

    /// The first segment of those whose bytes are in memory: reading them does not wait for a disk.
    fn warm_from(&self) -> u32 {
        self.segments().start
    }

    /// The bytes at `position`, in a segment before `warm_from`: at least `bytes_min`, fewer where the segment ends.
    /// `None` if reading them might wait for a disk; then no such page is touched.
    fn resident_bytes(&self, position: Position, bytes_min: usize) -> Option<&[u8]> {
        let _ = (position, bytes_min);
        None
    }

    /// Reads a range of bytes into memory and returns whether the device could deliver it. The range may exceed the
    /// segment.
    fn is_readable(&self, segment: u32, bytes: Range<usize>) -> bool {
        let _ = (segment, bytes);
        true
    }
}

/// Write access to segments of preallocated bytes, all zero until written. Reads see every write at once. After a crash
/// the bytes that the owner has synced are certain, and all others are possible.
///
/// At opening, `segments` contains every segment that may have a byte other than zero, including spares that a crash
/// left behind. The journal inspects these, has them zeroed, and uses them before it takes a new spare.
pub trait Storage: Segments {
    /// The bytes of an existing segment that the owner is about to write.
    ///
    /// # Panics
    ///
    /// The range exceeds the segment.
    fn bytes_mut(&mut self, segment: u32, bytes: Range<usize>) -> &mut [u8];

    /// Writes into an existing segment, within its length.
    fn write(&mut self, segment: u32, offset: u32, bytes: &[u8]) {
        let start = offset as usize;
        self.bytes_mut(segment, start..start + bytes.len()).copy_from_slice(bytes);
    }

    /// The size in bytes of a zeroed segment that is ready to be taken, if there is one.
    fn spare_bytes(&self) -> Option<u32>;

    /// Where there is no spare: whether the disk is full. Otherwise a spare is being allocated.
    fn is_full(&self) -> bool {
        true
    }

    /// Whether the disk may lack room for another spare.
    fn is_scarce(&self) -> bool {
        false
    }

    /// Makes the spare the newest segment and returns its number. Only after `spare_bytes` returned a size.
    fn take_spare(&mut self) -> u32;

    /// Removes the oldest segment for good. Never the newest one.
    fn drop_first(&mut self);

    /// At opening only: zeroes everything from `end` on. On return the zeros *and every byte before them* are durable,
    /// and the segments from that of `end` on are writable; they may stay in `segments` or become spares.
    ///
    /// The bytes that were read may exist in the page cache only, and be marked clean there although a sync of them
    /// failed: another sync would write nothing. Therefore everything between `marked_durable` and `end` is written
    /// again first. Old bytes that reappear on the device after `end` are harmless: they do not continue the chain of
    /// records, and the durable position that they claim is true.
    ///
    /// # Errors
    ///
    /// The device cannot write or sync.
    fn secure(&mut self, standing: SegmentStatus) -> Result<(), StorageError>;
}
