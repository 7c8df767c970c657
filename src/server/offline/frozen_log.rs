//! One shard's segments as they are at one moment, to be read while a server may be using them.
//!
//! Owned by an audit. Segments before the newest durable position that a mark states are mapped: nobody writes to them
//! any more, not even a server that starts meanwhile. The others are read into memory. Nothing is locked or changed.

use crate::log::Segments;
use crate::model::Position;
use crate::server::StartError;
use crate::server::backup::source::LiveLog;
use crate::server::disk::segment;
use memmap2::{Advice, Mmap};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

const PAGE_BYTES: usize = 4_096;

pub struct FrozenLog {
    first: u32,
    segments: Vec<HeldSegments>,
}

enum HeldSegments {
    Closed(Mmap),
    Growing(Vec<u8>),
}

impl HeldSegments {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Closed(map) => map,
            Self::Growing(bytes) => bytes,
        }
    }
}

impl FrozenLog {
    /// Takes every segment that has been begun.
    pub fn take(log: &LiveLog, segment_bytes: u32) -> Result<Self, StartError> {
        let begun = log.begun()?;
        let (mut newest_first, mut durable) = (Vec::with_capacity(begun), None::<Position>);
        for (index, file) in log.segments.iter().enumerate().take(begun).rev() {
            let number = log.number(index);
            let is_closed = durable.is_some_and(|durable| number < durable.segment());
            let held = if is_closed { map(file) } else { read(file, segment_bytes).map(HeldSegments::Growing) };
            let path = segment::path(&log.directory, number);
            let held = held.map_err(|error| StartError::disk("read", &path, error))?;
            if let HeldSegments::Growing(bytes) = &held {
                durable = durable.or_else(|| log.durable_by(number, bytes));
            }
            newest_first.push(held);
        }
        newest_first.reverse();
        Ok(Self { first: log.first, segments: newest_first })
    }

    /// Reads the segments again that may have grown.
    pub fn catch_up(&mut self, log: &LiveLog) -> Result<(), StartError> {
        for (index, held) in self.segments.iter_mut().enumerate() {
            let HeldSegments::Growing(bytes) = held else { continue };
            let path = segment::path(&log.directory, log.number(index));
            log.segments[index].read_exact_at(bytes, 0).map_err(|error| StartError::disk("read", &path, error))?;
        }
        Ok(())
    }

    fn held(&self, segment: u32) -> &HeldSegments {
        &self.segments[(segment - self.first) as usize]
    }
}

fn read(file: &File, segment_bytes: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; segment_bytes as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn map(file: &File) -> io::Result<HeldSegments> {
    // SAFETY: the segment lies before a position that a mark states to be durable. A server that appends writes after
    // that position; one that starts refuses a log that ends before it and otherwise writes from there on
    // (`Storage::secure`). Segments are unlinked, never shortened. Other maps of the file are the server's: its shard's
    // (`Segment`), which is read-only for such a segment, and its threads' (`SegmentReader`).
    let map = unsafe { Mmap::map(file)? };
    Ok(HeldSegments::Closed(map))
}

impl Segments for FrozenLog {
    fn segments(&self) -> Range<u32> {
        let count = u32::try_from(self.segments.len()).expect("segments are numbered in 32 bits");
        self.first..self.first + count
    }

    fn bytes(&self, segment: u32) -> &[u8] {
        self.held(segment).bytes()
    }

    fn warm_from(&self) -> u32 {
        let growing = self.segments.iter().rev().take_while(|held| matches!(held, HeldSegments::Growing(_))).count();
        self.segments().end - u32::try_from(growing).expect("segments are numbered in 32 bits")
    }

    fn is_readable(&self, segment: u32, bytes: Range<usize>) -> bool {
        let HeldSegments::Closed(map) = self.held(segment) else { return true };
        let end = bytes.end.min(map.len());
        let start = bytes.start / PAGE_BYTES * PAGE_BYTES;
        start >= end || map.advise_range(Advice::PopulateRead, start, end - start).is_ok()
    }
}
