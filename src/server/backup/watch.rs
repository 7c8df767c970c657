//! Segments that report the progress of their reader.

use crate::log::Segments;
use std::cell::Cell;
use std::ops::Range;

/// Reports a segment's bytes to `advance` when the segment is first read. Readers go from old segments to new ones.
pub struct Watched<'a, S> {
    log: &'a S,
    /// The newest segment that was read.
    reached: Cell<u32>,
    advance: &'a dyn Fn(u64),
}

impl<'a, S: Segments> Watched<'a, S> {
    pub fn new(log: &'a S, advance: &'a dyn Fn(u64)) -> Self {
        Self { log, reached: Cell::new(0), advance }
    }
}

impl<S: Segments> Segments for Watched<'_, S> {
    fn segments(&self) -> Range<u32> {
        self.log.segments()
    }

    fn bytes(&self, segment: u32) -> &[u8] {
        let bytes = self.log.bytes(segment);
        if segment > self.reached.replace(segment.max(self.reached.get())) {
            (self.advance)(bytes.len() as u64);
        }
        bytes
    }

    fn warm_from(&self) -> u32 {
        self.log.warm_from()
    }

    fn is_readable(&self, segment: u32, bytes: Range<usize>) -> bool {
        self.log.is_readable(segment, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{MemoryStorage, Storage};

    #[test]
    fn each_segment_counts_once() {
        let mut log = MemoryStorage::new(4_096, 3);
        for _ in 0..3 {
            log.take_spare();
        }
        let seen = Cell::new(0);
        let advance = |bytes| seen.set(seen.get() + bytes);
        let watched = Watched::new(&log, &advance);
        for segment in [1, 2, 2, 3, 1, 3] {
            watched.bytes(segment);
        }
        assert_eq!(seen.get(), 3 * 4_096);
    }
}
