//! A log that a tool writes. It creates its own segments, because no turn waits for it.

use crate::log::{SegmentStatus, Segments, Storage, StorageError};
use crate::server::StartError;
use crate::server::disk::segment::Segment;
use crate::server::disk::space::Space;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub struct LogWriter {
    directory: PathBuf,
    segment_bytes: u32,
    segments: Vec<Segment>,
    spare: Option<Segment>,
}

impl LogWriter {
    pub fn new(directory: &Path, segment_bytes: u32) -> Result<Self, StartError> {
        let spare = Segment::prepare(directory, 1, segment_bytes, &Space::default());
        let spare = spare.map_err(|error| StartError::disk("fill", directory, error))?;
        Ok(Self { directory: directory.to_owned(), segment_bytes, segments: Vec::new(), spare: Some(spare) })
    }

    pub fn sync(&self) -> Result<(), StartError> {
        let synced = self.segments.iter().try_for_each(Segment::sync);
        synced.map_err(|error| StartError::disk("sync", &self.directory, error))
    }
}

impl Segments for LogWriter {
    fn segments(&self) -> Range<u32> {
        1..1 + u32::try_from(self.segments.len()).expect("segments are numbered in 32 bits")
    }

    fn bytes(&self, segment: u32) -> &[u8] {
        self.segments[segment as usize - 1].bytes()
    }
}

impl Storage for LogWriter {
    fn bytes_mut(&mut self, segment: u32, bytes: Range<usize>) -> &mut [u8] {
        &mut self.segments[segment as usize - 1].writable_bytes()[bytes]
    }

    fn spare_bytes(&self) -> Option<u32> {
        self.spare.as_ref().map(|_| self.segment_bytes)
    }

    fn take_spare(&mut self) -> u32 {
        let spare = self.spare.take().expect("spare_bytes said that there is one");
        let number = spare.number;
        self.segments.push(spare.writable());
        // The writer reports a full disk as a missing spare.
        self.spare = Segment::prepare(&self.directory, number + 1, self.segment_bytes, &Space::default()).ok();
        number
    }

    fn drop_first(&mut self) {
        unreachable!("a log being written drops nothing");
    }

    fn secure(&mut self, _standing: SegmentStatus) -> Result<(), StorageError> {
        Ok(())
    }
}
