//! A storage in memory that can lose power: for tests, benches and the simulator. A page cache in front of a device.
//!
//! Invariants: everybody reads what is in the cache, and a power cut leaves what is on the device. A dirty sector gets
//! there with a sync, or by itself at any time: a power cut keeps it or not, as chance has it. After a sync that has
//! failed no sector is dirty, whatever the device has got: another sync writes nothing.

use super::{Batch, SegmentStatus, Segments, Storage, StorageError};
use crate::model::Position;
use std::cmp::Ordering;
use std::ops::Range;

const SECTOR_BYTES: usize = 512;
const FIRST_SEGMENT: u32 = 1;
const WARM_SEGMENTS: u32 = 2;

/// What a power cut does to a sector that was written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TornTail {
    /// It is there whole, or it is not.
    Sectors,
    /// Or it is there in part, or filled with rubbish.
    Garbled,
}

#[derive(Clone, Debug)]
struct MemorySegment {
    cached: Vec<u8>,
    device: Vec<u8>,
    /// Sector by sector, whether a sync writes it.
    is_dirty: Vec<bool>,
}

impl MemorySegment {
    fn new(bytes: u32) -> Self {
        let (zeros, sectors) = (vec![0; bytes as usize], (bytes as usize).div_ceil(SECTOR_BYTES));
        Self { cached: zeros.clone(), device: zeros, is_dirty: vec![false; sectors] }
    }

    fn soil(&mut self, bytes: Range<usize>) {
        if !bytes.is_empty() {
            self.is_dirty[bytes.start / SECTOR_BYTES..bytes.end.div_ceil(SECTOR_BYTES)].fill(true);
        }
    }

    /// The dirty sectors that these bytes touch are clean from here on; those that `is_written` accepts have reached the
    /// device.
    fn write_back(&mut self, bytes: Range<usize>, mut is_written: impl FnMut() -> bool) {
        for sector in bytes.start / SECTOR_BYTES..bytes.end.div_ceil(SECTOR_BYTES) {
            if std::mem::take(&mut self.is_dirty[sector]) && is_written() {
                let range = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(self.cached.len());
                self.device[range.clone()].copy_from_slice(&self.cached[range]);
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct MemoryStorage {
    segment_bytes: u32,
    /// Segments that can still be taken before the disk is full.
    spares: u32,
    /// The number of the first segment that is left.
    first: u32,
    segments: Vec<MemorySegment>,
    /// Segments before this one are written no more.
    open_from: u32,
    /// What is written no more is treated as cold, as on a disk.
    has_cold_segments: bool,
    /// Which cold segments are in memory all the same.
    is_resident: fn(u32) -> bool,
    unreadable: Option<u32>,
    /// The next sync fails; which sectors reach the device all the same, these bits say, over and over.
    failing: Option<u64>,
}

impl MemoryStorage {
    /// `segment_bytes` is a multiple of 8.
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

    /// Makes room, or takes it away.
    pub fn set_spares(&mut self, spares: u32) {
        self.spares = spares;
    }

    /// From here on only the two newest segments are said to be in memory.
    pub fn with_cold_segments(mut self) -> Self {
        self.has_cold_segments = true;
        self
    }

    /// Of the cold segments these are found in memory all the same.
    pub fn with_residents(mut self, is_resident: fn(u32) -> bool) -> Self {
        self.is_resident = is_resident;
        self
    }

    /// A segment that its disk does not give back any more.
    pub fn lose(&mut self, segment: u32) {
        self.unreadable = Some(segment);
    }

    /// What is written so far of `batch` becomes durable, whole sectors at a time. Not where a sync is to fail.
    pub fn sync(&mut self, batch: Batch) {
        self.try_sync(batch).expect("no sync is to fail");
    }

    /// The same, or it fails as `fail_next_sync` wants it.
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
            Some(_) => Err(StorageError { what: "the device has failed to write".into() }),
        }
    }

    /// The next sync fails. Of the sectors that it was to write, those with a set bit in `written` reach the device.
    pub fn fail_next_sync(&mut self, written: u64) {
        self.failing = Some(written);
    }

    /// The power goes: of what no sync was tried for, `chance` decides sector by sector. The rest of the world starts
    /// anew with this storage.
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

    /// Flips the bits of `mask` in one byte, on the disk and in what is read: rot.
    pub fn flip(&mut self, position: Position, mask: u8) {
        let offset = position.offset() as usize;
        if let Some(segment) = self.segment_mut(position.segment()) {
            segment.cached[offset] ^= mask;
            segment.device[offset] ^= mask;
        }
    }

    /// Puts other bytes there, on the disk and in what is read: rot.
    pub fn spoil(&mut self, segment: u32, offset: u32, bytes: &[u8]) {
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

/// Decides what is left of one sector: `now` is what was written, `device` what stood there at the last sync.
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
    fn write(&mut self, segment: u32, offset: u32, bytes: &[u8]) {
        assert!(segment >= self.open_from, "segment {segment} is closed");
        let start = offset as usize;
        let segment = self.segment_mut(segment).expect("written segments exist");
        segment.cached[start..start + bytes.len()].copy_from_slice(bytes);
        segment.soil(start..start + bytes.len());
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

    fn secure(&mut self, SegmentStatus { vouched, end, .. }: SegmentStatus) -> Result<(), StorageError> {
        self.open_from = end.segment();
        for (number, segment) in (self.first..).zip(&mut self.segments) {
            let length = segment.cached.len();
            let offset_of = |position: Position| match number.cmp(&position.segment()) {
                Ordering::Less => length,
                Ordering::Equal => position.offset() as usize,
                Ordering::Greater => 0,
            };
            let end = offset_of(end);
            segment.soil(offset_of(vouched).min(end)..end);
            for at in end..length {
                if std::mem::take(&mut segment.cached[at]) != 0 {
                    segment.soil(at..at + 1);
                }
            }
        }
        let (first, last) = (self.first, self.segments().end);
        self.try_sync(Batch { from: Position::new(first, 0), to: Position::new(last, 0) })
    }
}
