//! One segment's bytes, or the first of them, read into memory at one moment.

use crate::log::Segments;
use std::ops::Range;

pub struct OneSegment<'a> {
    pub number: u32,
    pub bytes: &'a [u8],
}

impl Segments for OneSegment<'_> {
    fn segments(&self) -> Range<u32> {
        self.number..self.number + 1
    }

    fn bytes(&self, _segment: u32) -> &[u8] {
        self.bytes
    }
}
