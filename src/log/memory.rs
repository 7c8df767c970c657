//! A storage in memory that can lose power, for tests, benches and the simulator: a page cache before a device.
//!
//! Invariants: reads see the cache, and a power cut leaves what is on the device. A dirty sector reaches the device
//! with a sync or by itself at any time: a power cut keeps it or not, by chance. After a failed sync no sector is
//! dirty, whether it reached the device or not: another sync writes nothing.

use super::{Batch, SegmentStatus, Segments, Storage, StorageError};
use crate::model::Position;
use std::cmp::Ordering;
use std::ops::Range;

const SECTOR_BYTES: usize = 512;
const FIRST_SEGMENT: u32 = 1;
const WARM_SEGMENTS: u32 = 2;

/// The effect of a power cut on a sector that was written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TornTail {
    /// The sector is on the device completely, or not at all.
    Sectors,
    /// As `Sectors`, or the sector is there in part, or filled with garbage.
    Garbled,
}

#[derive(Clone, Debug)]
struct MemorySegment {
    cached: Vec<u8>,
    device: Vec<u8>,
    /// For each sector, whether a sync writes it.
    is_dirty: Vec<bool>,
}

impl MemorySegment {
    fn new(bytes: u32) -> Self {
        let (zeros, sectors) = (vec![0; bytes as usize], (bytes as usize).div_ceil(SECTOR_BYTES));
        Self { cached: zeros.clone(), device: zeros, is_dirty: vec![false; sectors] }
    }

    fn mark_dirty(&mut self, bytes: Range<usize>) {
        if !bytes.is_empty() {
            self.is_dirty[bytes.start / SECTOR_BYTES..bytes.end.div_ceil(SECTOR_BYTES)].fill(true);
        }
    }

    /// Marks the dirty sectors of these bytes clean; those for which `is_written` returns true reach the device.
    fn write_back(&mut self, bytes: Range<usize>, mut is_written: impl FnMut() -> bool) {
        for sector in bytes.start / SECTOR_BYTES..bytes.end.div_ceil(SECTOR_BYTES) {
            if std::mem::take(&mut self.is_dirty[sector]) && is_written() {
                let range = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(self.cached.len());
                self.device[range.clone()].copy_from_slice(&self.cached[range]);
            }
        }
    }
}

/// A `Storage` in memory with a cache, a device, and faults that a test plants.
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    segment_bytes: u32,
    /// Segments that can be taken before the disk is full.
    spares: u32,
    /// The number of the oldest segment.
    first: u32,
    segments: Vec<MemorySegment>,
    /// Segments before this one are not written any more.
    open_from: u32,
    /// Whether segments that are not written any more count as cold, as on a disk.
    has_cold_segments: bool,
    /// The cold segments that are in memory nevertheless.
    is_resident: fn(u32) -> bool,
    unreadable: Option<u32>,
    /// Set if the next sync fails. Its bits say, cyclically, which sectors reach the device nevertheless.
    failing: Option<u64>,
}

impl MemoryStorage {
    /// An empty storage. `segment_bytes` is a multiple of 8; `spares` is the number of segments before the disk is
    /// full.
    pub fn new(segment_bytes: u32, spares: u32) -> Self {
        let segments = Vec::new();
        let is_resident = |_segment| false;
        Self {
            segment_bytes,
            spares,
            first: FIRST_SEGMENT,
            segments,
            open_from: FIRST_SEGMENT,
            has_cold_segments: false,
            is_resident,
            unreadable: None,
            failing: None,
        }
    }

    /// Sets the number of segments before the disk is full.
    pub fn set_spares(&mut self, spares: u32) {
        self.spares = spares;
    }

    /// From now on only the two newest segments count as in memory.
    pub fn with_cold_segments(mut self) -> Self {
        self.has_cold_segments = true;
        self
    }

    /// Cold segments for which `is_resident` returns true count as in memory.
    pub fn with_residents(mut self, is_resident: fn(u32) -> bool) -> Self {
        self.is_resident = is_resident;
        self
    }

    /// Makes a segment unreadable.
    pub fn lose(&mut self, segment: u32) {
        self.unreadable = Some(segment);
    }

    /// Makes the written bytes of `batch` durable, in whole sectors.
    ///
    /// # Panics
    ///
    /// The sync was to fail: see `fail_next_sync`.
    pub fn sync(&mut self, batch: Batch) {
        self.try_sync(batch).expect("no sync is to fail");
    }

    /// As `sync`.
    ///
    /// # Errors
    ///
    /// `fail_next_sync` was called before.
    pub fn try_sync(&mut self, batch: Batch) -> Result<(), StorageError> {
        let failing = self.failing.take();
        let mut bits = failing.unwrap_or(u64::MAX);
        for number in batch.from.segment()..=batch.to.segment() {
            let Some(segment) = self.segment_mut(number) else { continue };
            let length = segment.cached.len();
            let from = if number == batch.from.segment() { batch.from.offset() as usize } else { 0 };
            let to = if number == batch.to.segment() { batch.to.offset() as usize } else { length };
            segment.write_back(from..to.min(length), || {
                bits = bits.rotate_left(1);
                bits & 1 == 1
            });
        }
        match failing {
            None => Ok(()),
            Some(_) => Err(StorageError::WriteFailed),
        }
    }

    /// Makes the next sync fail. Of the sectors that it was to write, those with a set bit in `written` reach the
    /// device.
    pub fn fail_next_sync(&mut self, written: u64) {
        self.failing = Some(written);
    }

    /// Cuts the power: `chance` decides for each dirty sector whether it reached the device. Afterwards the storage is
    /// what a restart would find.
    pub fn crash(&mut self, torn_tail: TornTail, mut chance: impl FnMut() -> u64) {
        self.failing = None;
        for MemorySegment { cached, device, is_dirty } in &mut self.segments {
            let sectors = cached.chunks_mut(SECTOR_BYTES).zip(device.chunks_mut(SECTOR_BYTES));
            for ((now, device), is_dirty) in sectors.zip(is_dirty) {
                if now == device {
                    continue;
                }
                if std::mem::take(is_dirty) {
                    tear(now, device, torn_tail, &mut chance);
                    device.copy_from_slice(now);
                } else {
                    now.copy_from_slice(device);
                }
            }
        }
    }

    /// Flips the bits of `mask` in one byte, on the device and in the cache, as rot does.
    pub fn flip(&mut self, position: Position, mask: u8) {
        let offset = position.offset() as usize;
        if let Some(segment) = self.segment_mut(position.segment()) {
            segment.cached[offset] ^= mask;
            segment.device[offset] ^= mask;
        }
    }

    /// Replaces bytes, on the device and in the cache, as rot does.
    pub fn corrupt(&mut self, segment: u32, offset: u32, bytes: &[u8]) {
        let range = offset as usize..offset as usize + bytes.len();
        if let Some(segment) = self.segment_mut(segment) {
            segment.cached[range.clone()].copy_from_slice(bytes);
            segment.device[range].copy_from_slice(bytes);
        }
    }

    fn segment_mut(&mut self, number: u32) -> Option<&mut MemorySegment> {
        self.segments.get_mut(number.checked_sub(self.first)? as usize)
    }

    fn segment(&self, number: u32) -> &MemorySegment {
        &self.segments[(number - self.first) as usize]
    }
}

/// Decides the contents of one sector after a power cut: `now` is what was written, `device` what the last sync left.
fn tear(now: &mut [u8], device: &[u8], torn_tail: TornTail, chance: &mut impl FnMut() -> u64) {
    let outcomes = match torn_tail {
        TornTail::Sectors => 2,
        TornTail::Garbled => 4,
    };
    let first_change = now.iter().zip(device).position(|(one, other)| one != other).unwrap_or_default();
    match chance() % outcomes {
        0 => {}
        1 => now.copy_from_slice(device),
        2 => {
            let kept = first_change + chance() as usize % (now.len() - first_change);
            now[kept..].copy_from_slice(&device[kept..]);
        }
        _ => now[first_change..].fill_with(|| chance() as u8),
    }
}

impl Segments for MemoryStorage {
    fn segments(&self) -> Range<u32> {
        self.first..self.first + self.segments.len() as u32
    }

    fn warm_from(&self) -> u32 {
        let Range { start, end } = self.segments();
        if self.has_cold_segments { end.saturating_sub(WARM_SEGMENTS).max(start) } else { start }
    }

    /// No byte more than is asked for: a disk may have no more either.
    fn resident_bytes(&self, position: Position, bytes_min: usize) -> Option<&[u8]> {
        let here = self.bytes(position.segment()).get(position.offset() as usize..).unwrap_or_default();
        (self.is_resident)(position.segment()).then(|| &here[..bytes_min.min(here.len())])
    }

    fn is_readable(&self, segment: u32, _bytes: Range<usize>) -> bool {
        self.unreadable != Some(segment)
    }

    fn bytes(&self, segment: u32) -> &[u8] {
        &self.segment(segment).cached
    }
}

impl Storage for MemoryStorage {
    fn bytes_mut(&mut self, segment: u32, bytes: Range<usize>) -> &mut [u8] {
        assert!(segment >= self.open_from, "segment {segment} is closed");
        let segment = self.segment_mut(segment).expect("written segments exist");
        segment.mark_dirty(bytes.clone());
        &mut segment.cached[bytes]
    }

    fn spare_bytes(&self) -> Option<u32> {
        (self.spares > 0).then_some(self.segment_bytes)
    }

    fn take_spare(&mut self) -> u32 {
        assert!(self.spares > 0, "spare_bytes said that there is a spare");
        self.spares -= 1;
        self.segments.push(MemorySegment::new(self.segment_bytes));
        let end = self.segments().end;
        self.open_from = self.open_from.max(end.saturating_sub(WARM_SEGMENTS));
        end - 1
    }

    fn drop_first(&mut self) {
        assert!(self.segments.len() > 1, "the segment that is being written stays");
        self.segments.remove(0);
        self.first += 1;
    }

    fn secure(&mut self, SegmentStatus { marked_durable, end, .. }: SegmentStatus) -> Result<(), StorageError> {
        self.open_from = end.segment();
        for (number, segment) in (self.first..).zip(&mut self.segments) {
            let length = segment.cached.len();
            let offset_of = |position: Position| match number.cmp(&position.segment()) {
                Ordering::Less => length,
                Ordering::Equal => position.offset() as usize,
                Ordering::Greater => 0,
            };
            let end = offset_of(end);
            segment.mark_dirty(offset_of(marked_durable).min(end)..end);
            for at in end..length {
                if std::mem::take(&mut segment.cached[at]) != 0 {
                    segment.mark_dirty(at..at + 1);
                }
            }
        }
        let (first, last) = (self.first, self.segments().end);
        self.try_sync(Batch { from: Position::new(first, 0), to: Position::new(last, 0) })
    }
}
