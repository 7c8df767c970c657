//! One shard's segments as they stand at one moment, to be read while a server may be at work on them.
//!
//! Owned by an audit. The segment that grows is read into memory, those before it are mapped: they are written no more.
//! Nothing is locked or changed.

use crate::log::Segments;
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
    /// Every segment that has been begun.
    pub fn take(log: &LiveLog, segment_bytes: u32) -> Result<Self, StartError> {
        let begun = log.begun()?;
        let mut segments = Vec::with_capacity(begun);
        for (index, file) in log.segments.iter().enumerate().take(begun) {
            let held =
                if index + 1 == begun { read(file, segment_bytes).map(HeldSegments::Growing) } else { map(file) };
            let path = segment::path(&log.directory, log.number(index));
            segments.push(held.map_err(|error| StartError::disk("read", &path, &error))?);
        }
        Ok(Self { first: log.first, segments })
    }

    /// Reads the newest segment once more.
    pub fn catch_up(&mut self, log: &LiveLog) -> Result<(), StartError> {
        let Some(index) = self.segments.len().checked_sub(1) else { return Ok(()) };
        let path = segment::path(&log.directory, log.number(index));
        let HeldSegments::Growing(bytes) = &mut self.segments[index] else { return Ok(()) };
        log.segments[index].read_exact_at(bytes, 0).map_err(|error| StartError::disk("read", &path, &error))
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
    // SAFETY: a segment that another one follows is never written again, and segments are unlinked but never shortened:
    // what is mapped stays as it is for as long as the file is open.
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
        self.segments().end.saturating_sub(1).max(self.first)
    }

    fn is_readable(&self, segment: u32, bytes: Range<usize>) -> bool {
        let HeldSegments::Closed(map) = self.held(segment) else { return true };
        let end = bytes.end.min(map.len());
        let start = bytes.start / PAGE_BYTES * PAGE_BYTES;
        start >= end || map.advise_range(Advice::PopulateRead, start, end - start).is_ok()
    }
}
