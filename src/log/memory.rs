//! A storage in memory that can lose power: for tests, benches and the simulator.
//!
//! Invariant: `durable` is what a power cut leaves for certain; what was written since survives sector by sector as
//! chance has it, in any order.

use super::{Batch, Segments, Storage, StorageError};
use crate::model::Position;
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
struct Segment {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct MemoryStorage {
    segment_bytes: u32,
    /// Segments that can still be taken before the disk is full.
    spares: u32,
    /// The number of the first segment that is left.
    first: u32,
    segments: Vec<Segment>,
    /// What is written no more is treated as cold, as on a disk.
    has_cold_segments: bool,
    /// Which cold segments are in memory all the same.
    is_resident: fn(u32) -> bool,
    unreadable: Option<u32>,
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
            has_cold_segments: false,
            is_resident,
            unreadable: None,
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

    /// What is written so far of `batch` becomes durable, whole sectors at a time.
    pub fn sync(&mut self, batch: Batch) {
        for number in batch.from.segment()..=batch.to.segment() {
            let Some(segment) = self.segment_mut(number) else { continue };
            let length = segment.bytes.len();
            let from = if number == batch.from.segment() { batch.from.offset() as usize } else { 0 };
            let to = if number == batch.to.segment() { batch.to.offset() as usize } else { length };
            let sectors = from / SECTOR_BYTES * SECTOR_BYTES..to.next_multiple_of(SECTOR_BYTES).min(length);
            segment.durable[sectors.clone()].copy_from_slice(&segment.bytes[sectors]);
        }
    }

    /// The power goes: of what was not synced, `chance` decides sector by sector. The rest of the world starts anew
    /// with this storage.
    pub fn crash(&mut self, torn_tail: TornTail, mut chance: impl FnMut() -> u64) {
        for segment in &mut self.segments {
            for (now, durable) in segment.bytes.chunks_mut(SECTOR_BYTES).zip(segment.durable.chunks_mut(SECTOR_BYTES)) {
                if now != durable {
                    tear(now, durable, torn_tail, &mut chance);
                    durable.copy_from_slice(now);
                }
            }
        }
    }

    /// Flips the bits of `mask` in one byte, on the disk and in what is read: rot.
    pub fn flip(&mut self, position: Position, mask: u8) {
        let offset = position.offset() as usize;
        if let Some(segment) = self.segment_mut(position.segment()) {
            segment.bytes[offset] ^= mask;
            segment.durable[offset] ^= mask;
        }
    }

    fn segment_mut(&mut self, number: u32) -> Option<&mut Segment> {
        self.segments.get_mut(number.checked_sub(self.first)? as usize)
    }

    fn segment(&self, number: u32) -> &Segment {
        &self.segments[(number - self.first) as usize]
    }
}

/// Decides what is left of one sector: `now` is what was written, `durable` what stood there at the last sync.
fn tear(now: &mut [u8], durable: &[u8], torn_tail: TornTail, chance: &mut impl FnMut() -> u64) {
    let outcomes = match torn_tail {
        TornTail::Sectors => 2,
        TornTail::Garbled => 4,
    };
    let first_change = now.iter().zip(durable).position(|(one, other)| one != other).unwrap_or_default();
    match chance() % outcomes {
        0 => {}
        1 => now.copy_from_slice(durable),
        2 => {
            let kept = first_change + chance() as usize % (now.len() - first_change);
            now[kept..].copy_from_slice(&durable[kept..]);
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
        &self.segment(segment).bytes
    }
}

impl Storage for MemoryStorage {
    fn write(&mut self, segment: u32, offset: u32, bytes: &[u8]) {
        let start = offset as usize;
        let segment = self.segment_mut(segment).expect("written segments exist");
        segment.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }

    fn spare_bytes(&self) -> Option<u32> {
        (self.spares > 0).then_some(self.segment_bytes)
    }

    fn take_spare(&mut self) -> u32 {
        assert!(self.spares > 0, "spare_bytes said that there is a spare");
        self.spares -= 1;
        let zeros = || vec![0; self.segment_bytes as usize];
        self.segments.push(Segment { bytes: zeros(), durable: zeros() });
        self.segments().end - 1
    }

    fn drop_first(&mut self) {
        assert!(self.segments.len() > 1, "the segment that is being written stays");
        self.segments.remove(0);
        self.first += 1;
    }

    fn clear_from(&mut self, from: Position) -> Result<(), StorageError> {
        for (number, segment) in (self.first..).zip(&mut self.segments) {
            let start = match number.cmp(&from.segment()) {
                std::cmp::Ordering::Less => segment.bytes.len(),
                std::cmp::Ordering::Equal => from.offset() as usize,
                std::cmp::Ordering::Greater => 0,
            };
            segment.bytes[start..].fill(0);
            segment.durable.copy_from_slice(&segment.bytes);
        }
        Ok(())
    }
}
