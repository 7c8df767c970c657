//! One follower's place in one shard's log.
//!
//! Owned by one follower and used on a thread that may wait for a disk.

use crate::log::{Damage, ReadMode, Record, SEGMENT_HEADER_BYTES, Segments, Unread, View};
use crate::model::{Position, ShardId};
use crate::server::data::directory::shard_path;
use crate::server::disk::numbers_in;
use crate::server::disk::segment_reader::SegmentReader;
use crate::server::follow::FollowError;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes in front of the follower that are made resident at once.
const READ_AHEAD_BYTES: usize = 256 << 10;
/// The bytes of the shortest record; a segment's rest is zero from the first such place without a record.
const RECORD_BYTES_MIN: usize = 16;

#[derive(Debug)]
pub struct LogFollower {
    shard: ShardId,
    directory: PathBuf,
    segment_bytes: u32,
    /// The segment of `next`, once it was read.
    open: Option<OpenSegment>,
    /// The place of the next record.
    next: Position,
    /// Whether `next` was reached by reading, so that a record begins there or a segment ends.
    is_proven: bool,
}

#[derive(Debug)]
struct OpenSegment {
    number: u32,
    reader: SegmentReader,
    /// Bytes before this offset are resident.
    resident_end: usize,
}

/// What a shard publishes of its log's end, for every follower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogEnd {
    /// Records that begin before this position are acknowledged.
    pub acknowledged: Position,
    /// All bytes before this position are written, those of every acknowledged record among them.
    pub written: Position,
}

/// How far a read came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadProgress {
    /// Everything that is committed has been read.
    AtEnd,
    /// There is more.
    Budget,
}

impl LogFollower {
    /// A follower of this shard's log from `next` on.
    pub fn new(data_dir: &Path, shard: ShardId, segment_bytes: u32, next: Position) -> Self {
        let directory = shard_path(data_dir, shard);
        Self { shard, directory, segment_bytes, open: None, next, is_proven: false }
    }

    /// The first record that retention has left.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn oldest(&self) -> Result<Position, FollowError> {
        let listed = numbers_in(&self.directory);
        let segments = listed.map_err(|source| FollowError::Disk { path: self.directory.clone(), source })?;
        Ok(first_of(segments.into_iter().min().unwrap_or(1)))
    }

    /// The place of the next record: what a cursor says.
    pub fn next(&self) -> Position {
        self.next
    }

    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Reads the records that are acknowledged until `visit` has returned a sum of `budget`.
    /// `visit` is told the place behind each record and returns what the record costs.
    ///
    /// # Errors
    ///
    /// The follower cannot go on; what `visit` was given before that holds.
    pub fn read(
        &mut self,
        end: LogEnd,
        budget: usize,
        visit: &mut dyn FnMut(Position, Record) -> usize,
    ) -> Result<ReadProgress, FollowError> {
        let mut spent = 0;
        if self.next > end.written {
            return Err(FollowError::NotInLog { shard: self.shard, end: end.written });
        }
        while self.next < end.acknowledged {
            if spent >= budget {
                return Ok(ReadProgress::Budget);
            }
            let Some((record, bytes)) = self.record(end.written)? else {
                self.next = first_of(self.next.segment() + 1);
                continue;
            };
            self.next = Position(self.next.0 + bytes as u64);
            self.is_proven = true;
            spent += visit(self.next, record).max(1);
        }
        Ok(ReadProgress::AtEnd)
    }

    /// The record at `next` and its bytes; `None` where the segment ends.
    fn record(&mut self, written: Position) -> Result<Option<(Record, usize)>, FollowError> {
        let (next, shard) = (self.next, self.shard);
        let offset = next.offset() as usize;
        self.open_segment()?;
        self.make_resident(offset, READ_AHEAD_BYTES)?;
        let Some(open) = &self.open else { return Ok(None) };
        // Nothing is written any more to a segment behind which another one was begun.
        let is_newest = written.segment() == open.number;
        let bytes = open.reader.bytes(if is_newest { written.offset() as usize } else { open.reader.len() });
        let head = bytes.get(offset..).unwrap_or_default();
        let head = &head[..head.len().min(RECORD_BYTES_MIN)];
        if head.len() < RECORD_BYTES_MIN || head.iter().all(|byte| *byte == 0) {
            return if is_newest { Err(self.misplaced(written)) } else { Ok(None) };
        }
        let held = OneSegment { number: open.number, bytes, reader: &open.reader };
        let end = Position::new(open.number, u32::try_from(bytes.len()).expect("a segment is shorter than 4 GiB"));
        let read = View::new(&held, end, ReadMode::Unbounded).read(next);
        match read {
            Ok(record) => {
                let bytes = record.encoded_bytes();
                Ok(Some((record, bytes)))
            }
            Err(_) if !self.is_proven => Err(FollowError::NotInLog { shard, end: written }),
            Err(Unread::Damaged(source)) => Err(FollowError::Damaged { shard, source }),
            Err(Unread::Cold(position)) => Err(FollowError::Damaged { shard, source: Damage { position } }),
        }
    }

    fn misplaced(&self, written: Position) -> FollowError {
        match self.is_proven {
            true => FollowError::Damaged { shard: self.shard, source: Damage { position: self.next } },
            false => FollowError::NotInLog { shard: self.shard, end: written },
        }
    }

    fn open_segment(&mut self) -> Result<(), FollowError> {
        let number = self.next.segment();
        if self.open.as_ref().is_some_and(|open| open.number == number) {
            return Ok(());
        }
        match SegmentReader::open(&self.directory, number, self.segment_bytes) {
            Ok(reader) => {
                self.open = Some(OpenSegment { number, reader, resident_end: 0 });
                Ok(())
            }
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                let oldest = self.oldest()?.segment();
                Err(FollowError::Expired { shard: self.shard, oldest })
            }
            Err(source) => Err(FollowError::Disk { path: self.directory.clone(), source }),
        }
    }

    /// Reads these bytes from the disk before anything touches them: a disk that fails gives an error, not a signal.
    fn make_resident(&mut self, offset: usize, bytes: usize) -> Result<(), FollowError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let end = (offset + bytes).min(open.reader.len());
        if end <= open.resident_end {
            return Ok(());
        }
        let populated = open.reader.populate(offset..end);
        populated.map_err(|source| FollowError::Disk { path: self.directory.clone(), source })?;
        open.resident_end = end;
        Ok(())
    }
}

fn first_of(segment: u32) -> Position {
    Position::new(segment, SEGMENT_HEADER_BYTES as u32)
}

struct OneSegment<'a> {
    number: u32,
    bytes: &'a [u8],
    reader: &'a SegmentReader,
}

impl Segments for OneSegment<'_> {
    fn segments(&self) -> Range<u32> {
        self.number..self.number + 1
    }

    fn bytes(&self, _segment: u32) -> &[u8] {
        self.bytes
    }

    fn is_readable(&self, _segment: u32, bytes: Range<usize>) -> bool {
        self.reader.populate(bytes).is_ok()
    }
}
