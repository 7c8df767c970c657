//! One segment file, mapped by a thread that only reads it, while its shard may append to the same file.
//!
//! Invariant: no slice covers a byte that the shard may still write.

use crate::server::disk::segment;
use memmap2::{Advice, MmapOptions, MmapRaw};
use std::io;
use std::ops::Range;
use std::path::Path;

/// A read-only map that is not a slice: only the bytes that are never written again are handed out.
#[derive(Debug)]
pub struct SegmentReader {
    map: MmapRaw,
}

impl SegmentReader {
    /// Opens an existing segment, which must be `bytes` long.
    pub fn open(directory: &Path, number: u32, bytes: u32) -> io::Result<Self> {
        let file = segment::open_file(directory, number, bytes)?;
        Ok(Self { map: MmapOptions::new().map_raw_read_only(&file)? })
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// The bytes before offset `written_end`, at most the whole segment. The shard must have told the caller that its
    /// log ends there or later.
    pub fn bytes(&self, written_end: usize) -> &[u8] {
        let length = written_end.min(self.map.len());
        // SAFETY: `length` bytes lie in the map, which lives as long as `self`. Other maps of the file are the shard's
        // (`Segment`), which stores only after the log's end, and a concurrent audit's (`FrozenLog`), which only reads.
        // The shard sent or published its log's end after it had stored everything before that end: those bytes
        // are visible here and never written again. Retention unlinks the file and never shortens it: the directory is
        // ours alone (locked, mode 0700).
        unsafe { std::slice::from_raw_parts(self.map.as_ptr(), length) }
    }

    /// Makes these bytes resident, as far as they are inside the segment. Fails where the disk cannot read them:
    /// touching them would then end the process with SIGBUS.
    pub fn populate(&self, bytes: Range<usize>) -> io::Result<()> {
        let Range { start, end } = segment::pages_of(bytes, self.map.len());
        if start >= end { Ok(()) } else { self.map.advise_range(Advice::PopulateRead, start, end - start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::disk::segment::Segment;
    use crate::server::disk::space::Space;

    #[test]
    fn a_reader_sees_what_was_written_before_the_end_that_it_was_told_and_no_more() {
        let temporary = tempfile::tempdir().expect("a directory");
        let mut written = Segment::prepare(temporary.path(), 4, 65_536, &Space::default()).expect("made");
        let reader = SegmentReader::open(temporary.path(), 4, 65_536).expect("opened");
        written.writable_bytes()[..5].copy_from_slice(b"first");
        assert_eq!(reader.bytes(5), b"first");
        written.writable_bytes()[5..11].copy_from_slice(b"second");
        assert_eq!(reader.bytes(5), b"first", "what is appended changes nothing before it");
        assert_eq!(reader.bytes(11), b"firstsecond");
        assert_eq!((reader.bytes(usize::MAX).len(), reader.len()), (65_536, 65_536));
        assert!(reader.populate(60_000..70_000).is_ok(), "a range may reach past the end");
        assert!(SegmentReader::open(temporary.path(), 4, 4_096).is_err(), "it has another length");
    }
}
