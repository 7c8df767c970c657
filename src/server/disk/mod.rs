//! `log::Storage` over mapped segment files. The segment allocator creates the segments, except the first one of a new
//! log.
//!
//! Owned by one shard. Invariants: the newest two segments are writable and older ones are read-only; after a start
//! also every segment from the one that the log ends in, however many follow it after a crash. Spares are files of
//! zeros with the next numbers, so taking one changes nothing on disk.

pub(super) mod block_cache;
pub(super) mod checkpointer;
pub(super) mod checkpoints;
pub(super) mod cold_reader;
pub(super) mod fill_rate;
pub(super) mod jobs;
pub(super) mod one_segment;
pub(super) mod populated_ranges;
pub(super) mod reply;
pub(super) mod segment;
pub(super) mod segment_allocator;
pub(super) mod segment_reader;
pub(super) mod space;

use super::StartError;
use crate::log::{SegmentStatus, Segments, Storage, StorageError};
use crate::model::Position;
use crate::server::base::error::DiskError;
use crate::server::base::files;
use crate::server::disk::block_cache::{BLOCK_BYTES, BlockCache, BlockName};
use crate::server::disk::fill_rate::{FillRate, SPARES_MAX};
use crate::server::disk::reply::ReplySender;
use crate::server::disk::segment::Segment;
use crate::server::disk::segment_allocator::{AllocatorJob, Headroom, SegmentOrder, Spare, complain};
use crate::server::disk::space::Space;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic;
use std::time::{Duration, Instant};

const FIRST: u32 = 1;
const WRITABLE: u32 = 2;

pub struct Disk {
    directory: PathBuf,
    segment_bytes: u32,
    first: u32,
    segments: Vec<Segment>,
    /// Spare segments that are ready, in order.
    spares: VecDeque<Spare>,
    /// The number of spares that are ordered and not ready.
    ordered: u32,
    pace: FillRate,
    /// The segment to which the log appends: the newest one, except after a crash that left empty segments after it.
    writing: u32,
    /// Segments before this one are closed.
    writable_from: u32,
    /// Segments before this one were never made resident.
    warm_from: u32,
    /// Blocks of cold segments that recent turns have read.
    cold: BlockCache,
    supplies: Supplies,
    ready: (Sender<Spare>, Receiver<Spare>),
    /// Set by the segment allocator.
    room: Arc<Headroom>,
}

/// The sources of a log's segments.
#[derive(Clone, Debug)]
pub struct Supplies {
    pub jobs: Sender<AllocatorJob>,
    pub space: Arc<Space>,
    /// Wakes the shard when a segment is ready; `None` if nobody waits.
    pub reply_sender: Option<ReplySender>,
}

/// One shard's segments, opened for reading only.
#[derive(Debug)]
pub struct ArchivedLog {
    first: u32,
    segments: Vec<Segment>,
}

impl ArchivedLog {
    pub fn open(directory: &Path, segment_bytes: u32) -> Result<Self, StartError> {
        let (numbers, segments) = open_all(directory, segment_bytes)?;
        Ok(Self { first: numbers.start, segments })
    }
}

impl Segments for ArchivedLog {
    fn segments(&self) -> Range<u32> {
        let count = u32::try_from(self.segments.len()).expect("segments are numbered in 32 bits");
        self.first..self.first + count
    }

    fn bytes(&self, segment: u32) -> &[u8] {
        self.segments[(segment - self.first) as usize].bytes()
    }

    fn warm_from(&self) -> u32 {
        self.segments().end
    }

    fn is_readable(&self, segment: u32, bytes: Range<usize>) -> bool {
        self.segments[(segment - self.first) as usize].populate(bytes).is_ok()
    }
}

impl Disk {
    /// Opens all segments of a shard's directory. On return there is a spare, or one is ordered if the disk of an
    /// existing log is full. A new log needs its first segment at once, and that one may use the reserve.
    pub fn open(directory: &Path, segment_bytes: u32, supplies: Supplies) -> Result<Self, StartError> {
        let (numbers, mut segments) = open_all(directory, segment_bytes)?;
        let newest = checkpoints::newest(directory);
        let (through, checkpoint_bytes) = newest.map_err(|error| StartError::disk("list", directory, error))?;
        supplies.space.note_checkpoint(directory, through, checkpoint_bytes);
        let spares = take_blank_tail(directory, &mut segments)?;
        let end = numbers.start + u32::try_from(segments.len()).expect("segments are numbered in 32 bits");
        let mut disk = Self {
            directory: directory.to_owned(),
            segment_bytes,
            first: numbers.start,
            segments,
            spares,
            ordered: 0,
            pace: FillRate::new(),
            writing: end - 1,
            writable_from: end.saturating_sub(WRITABLE),
            warm_from: 0,
            cold: BlockCache::new(),
            supplies,
            ready: unbounded(),
            room: Arc::default(),
        };
        disk.set_protection();
        disk.warm_from = disk.bring_warm();
        if disk.spares.is_empty() {
            disk.make_spare()?;
        }
        Ok(disk)
    }

    /// Makes the segments resident that turns will read, as far as the disk can read them; the others stay cold, where
    /// an unreadable sector is an error and not a signal. Returns the first resident segment.
    fn bring_warm(&self) -> u32 {
        let newest_first = self.segments.iter().rev().take_while(|segment| segment.number + WRITABLE > self.writing);
        let brought = newest_first.take_while(|segment| segment.populate(0..segment.bytes().len()).is_ok()).count();
        self.segments().end - u32::try_from(brought).expect("segments are numbered in 32 bits")
    }

    fn make_spare(&mut self) -> Result<(), StartError> {
        let path = segment::path(&self.directory, self.next_number());
        let is_new = self.segments.is_empty();
        let (all_there_is, shared) = (Space::default(), self.supplies.space.clone());
        let space = if is_new { &all_there_is } else { &*shared };
        match Segment::prepare(&self.directory, self.next_number(), self.segment_bytes, space) {
            Ok(segment) => self.spares.push_back(Spare { segment, took: Duration::ZERO }),
            Err(error) if is_new => return Err(StartError::disk("make", &path, error)),
            Err(error) => {
                complain(&self.directory, &error);
                self.room.note_refusal(&error);
            }
        }
        Ok(())
    }

    /// Takes the spares that the allocator has ready. Returns whether one was ready.
    pub fn gather(&mut self) -> bool {
        let mut has_come = false;
        while self.ordered > 0
            && let Ok(spare) = self.ready.1.try_recv()
        {
            self.ordered -= 1;
            self.spares.push_back(spare);
            has_come = true;
        }
        has_come
    }

    /// Whether spares are to be ordered for those that were used.
    pub fn wants_spares(&self) -> bool {
        self.spares.len() + (self.ordered as usize) < self.pace.wanted()
    }

    /// Orders spares for those that were used. They leave room for the shard's next checkpoint, which may have so many
    /// bytes by now: a segment that is allocated by what was known earlier may take its room.
    pub fn order_spares(&mut self, checkpoint_bytes: u64) {
        self.supplies.space.expect_checkpoint(&self.directory, checkpoint_bytes);
        while self.wants_spares() {
            let order = SegmentOrder {
                directory: self.directory.clone(),
                number: self.next_number(),
                closed: self.segments().end.saturating_sub(2),
                bytes: self.segment_bytes,
                since: Instant::now(),
                ready: self.ready.0.clone(),
                room: self.room.clone(),
                reply_sender: self.supplies.reply_sender.clone(),
            };
            self.ordered += 1;
            self.give(AllocatorJob::Prepare(order));
        }
    }

    /// A new turn may read as many cold blocks again as one turn may.
    pub fn begin_turn(&mut self) {
        self.cold.begin_turn();
    }

    fn cold_block(&self, segment: u32, offset: u32) -> Option<&[u8]> {
        let name = BlockName { segment, offset };
        let found = &self.segments[self.index(segment)];
        self.cold.find(name).or_else(|| self.cold.load(name, |bytes| found.copy_resident(offset, bytes)))
    }

    pub fn file(&self, segment: u32) -> BorrowedFd<'_> {
        self.segments[self.index(segment)].file()
    }

    /// Blocks until all segments from this one on are durable. Not for use inside a turn.
    pub fn sync_from(&self, segment: u32) -> io::Result<()> {
        self.segments[self.index(segment.max(self.first))..].iter().try_for_each(Segment::sync)
    }

    /// An upper bound of the descriptors of this log, including those of spares.
    pub fn files(&self) -> usize {
        self.segments.len() + SPARES_MAX
    }

    /// The closed segments up to this one that no mark states to be durable. The caller syncs each through the
    /// descriptor that was open when it was written: only that one reports an earlier write error.
    pub fn unsynced(&self, durable: Position, through: u32) -> Vec<(u32, Arc<File>)> {
        let wanted = durable.segment()..=through;
        let segments = self.segments.iter().filter(|segment| wanted.contains(&segment.number));
        segments.map(|segment| (segment.number, segment.shared_file())).collect()
    }

    /// The number of the next spare to be ordered.
    fn next_number(&self) -> u32 {
        self.segments().end + u32::try_from(self.spares.len()).expect("a few") + self.ordered
    }

    #[inline]
    fn index(&self, segment: u32) -> usize {
        segment.checked_sub(self.first).expect("a segment that exists") as usize
    }

    fn give(&self, job: AllocatorJob) {
        self.supplies.jobs.send(job).expect("the allocator lives as long as there are senders");
    }

    fn set_protection(&mut self) {
        let writable_from = self.writable_from;
        let protect = |it: Segment| if it.number < writable_from { it.read_only() } else { it.writable() };
        self.segments = std::mem::take(&mut self.segments).into_iter().map(protect).collect();
    }
}

impl Segments for Disk {
    #[inline]
    fn segments(&self) -> Range<u32> {
        let count = u32::try_from(self.segments.len()).expect("segments are numbered in 32 bits");
        self.first..self.first + count
    }

    #[inline]
    fn bytes(&self, segment: u32) -> &[u8] {
        self.segments[self.index(segment)].bytes()
    }

    #[inline]
    fn warm_from(&self) -> u32 {
        (self.writing + 1).saturating_sub(WRITABLE).max(self.warm_from)
    }

    /// The rest of the cached block that contains `position`. If that has fewer than `bytes_min` bytes, a block that
    /// begins at `position`.
    fn resident_bytes(&self, position: Position, bytes_min: usize) -> Option<&[u8]> {
        if bytes_min > BLOCK_BYTES {
            return None;
        }
        let (segment, offset) = (position.segment(), position.offset());
        let inside = offset % BLOCK_BYTES as u32;
        let block = self.cold_block(segment, offset - inside)?;
        let is_last = block.len() < BLOCK_BYTES;
        if is_last || inside as usize + bytes_min <= BLOCK_BYTES {
            return Some(block.get(inside as usize..).unwrap_or_default());
        }
        self.cold_block(segment, offset)
    }

    fn is_readable(&self, segment: u32, bytes: Range<usize>) -> bool {
        self.segments[self.index(segment)].populate(bytes).is_ok()
    }
}

impl Storage for Disk {
    fn bytes_mut(&mut self, segment: u32, bytes: Range<usize>) -> &mut [u8] {
        let index = self.index(segment);
        self.writing = segment;
        &mut self.segments[index].writable_bytes()[bytes]
    }

    fn spare_bytes(&self) -> Option<u32> {
        self.spares.front().map(|_spare| self.segment_bytes)
    }

    fn is_full(&self) -> bool {
        self.room.is_full.load(atomic::Ordering::Relaxed)
    }

    fn is_scarce(&self) -> bool {
        self.room.is_scarce.load(atomic::Ordering::Relaxed)
    }

    fn take_spare(&mut self) -> u32 {
        let Spare { segment, took } = self.spares.pop_front().expect("spare_bytes said that there is one");
        let number = segment.number;
        tracing::debug!(directory = %self.directory.display(), number, "segment taken");
        self.pace.take(Instant::now(), took);
        self.segments.push(segment.writable());
        self.writable_from = self.writable_from.max(self.segments().end.saturating_sub(WRITABLE));
        self.set_protection();
        number
    }

    fn drop_first(&mut self) {
        assert!(self.first < self.writable_from, "what is written to is not dropped");
        let segment = self.segments.remove(0);
        self.first += 1;
        self.give(AllocatorJob::Discard { directory: self.directory.clone(), segment });
    }

    fn secure(&mut self, standing: SegmentStatus) -> Result<(), StorageError> {
        let SegmentStatus { marked_durable, end, torn_bytes } = standing;
        if torn_bytes > 0 {
            let (path, offset) = (segment::path(&self.directory, end.segment()), end.offset());
            tracing::warn!(path = %path.display(), offset, torn_bytes, "cutting off a torn tail, which was never acknowledged");
        }
        self.settle(marked_durable, end).map_err(|(number, source)| DiskError::NotDurable {
            path: segment::path(&self.directory, number),
            source,
        })?;
        files::sync_directory(&self.directory).map_err(|error| DiskError::io("sync", &self.directory, error))?;
        self.writing = end.segment();
        self.writable_from = end.segment();
        self.set_protection();
        self.warm_from = self.bring_warm();
        Ok(())
    }
}

impl Disk {
    /// Writes again what is between `marked_durable` and `end`, clears everything after `end`, and syncs both. An error
    /// names the segment.
    fn settle(&mut self, marked_durable: Position, end: Position) -> Result<(), (u32, io::Error)> {
        for segment in self.segments.iter_mut().filter(|segment| segment.number >= marked_durable.segment()) {
            let place = |position: Position| match segment.number.cmp(&position.segment()) {
                Ordering::Less => segment.bytes().len() as u32,
                Ordering::Equal => position.offset(),
                Ordering::Greater => 0,
            };
            let (marked_durable, end) = (place(marked_durable), place(end));
            let settled = segment
                .allocate()
                .and_then(|()| segment.write_again(marked_durable..end))
                .and_then(|()| segment.clear_from(end))
                .and_then(|()| segment.sync());
            settled.map_err(|error| (segment.number, error))?;
        }
        Ok(())
    }
}

fn open_all(directory: &Path, segment_bytes: u32) -> Result<(Range<u32>, Vec<Segment>), StartError> {
    let numbers = numbers(directory)?;
    let mut segments = Vec::with_capacity(numbers.len());
    for number in numbers.clone() {
        let path = segment::path(directory, number);
        let opened = Segment::open(directory, number, segment_bytes);
        segments.push(opened.map_err(|error| unusable(path, error))?);
    }
    Ok((numbers, segments))
}

fn unusable(path: PathBuf, source: io::Error) -> DiskError {
    match source.kind() {
        io::ErrorKind::InvalidData => DiskError::Segment { path, source },
        _ => DiskError::Io { doing: "use", path, source },
    }
}

/// The segments in a directory, which must follow each other.
fn numbers(directory: &Path) -> Result<Range<u32>, StartError> {
    let found = numbers_in(directory).map_err(|error| StartError::disk("list", directory, error))?;
    let (Some(first), Some(last)) = (found.first().copied(), found.last().copied()) else { return Ok(FIRST..FIRST) };
    if let Some(missing) = (first..=last).zip(&found).find(|(expected, number)| expected != *number) {
        let path = segment::path(directory, missing.0);
        return Err(DiskError::unfit(&path, "is missing; see `mushan log repair`").into());
    }
    Ok(first..last + 1)
}

/// The segments in a directory, ascending.
pub(super) fn numbers_in(directory: &Path) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(segment::SUFFIX));
        found.extend(digits.and_then(|digits| digits.parse::<u32>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Segments of zeros at the end were allocated and never synced with records: up to `SPARES_MAX` of them become the
/// spares, and the others are removed, as are those for which the disk has no blocks.
fn take_blank_tail(directory: &Path, segments: &mut Vec<Segment>) -> Result<VecDeque<Spare>, StartError> {
    let mut spares = VecDeque::new();
    while segments.last().is_some_and(Segment::is_blank) {
        spares.extend(segments.pop());
    }
    spares.make_contiguous().reverse();
    let usable = spares.iter().take(SPARES_MAX).take_while(|spare| spare.allocate().is_ok()).count();
    // From the newest, so that a crash leaves no gap.
    for surplus in spares.drain(usable..).rev() {
        let path = segment::path(directory, surplus.number);
        std::fs::remove_file(&path).map_err(|error| StartError::disk("remove", &path, error))?;
    }
    Ok(spares.into_iter().map(|segment| Spare { segment, took: Duration::ZERO }).collect())
}

#[cfg(test)]
mod tests;
