//! What is left of one shard's segments, for reading only: files may be missing, truncated or replaced.
//!
//! Invariant: a segment has its original length, or no bytes; bytes that are missing from its file read as zeros, which
//! are not a valid record.

use crate::log::Segments;
use crate::server::disk::numbers_in;
use crate::server::disk::segment::{self, Segment};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

#[derive(Debug)]
pub struct DamagedLog {
    numbers: Range<u32>,
    whole: BTreeMap<u32, Segment>,
    /// The bytes of incomplete segments, by number, padded with zeros.
    rests: BTreeMap<u32, Vec<u8>>,
    absences: Vec<MissingSegment>,
}

/// A segment that is missing or has another length than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MissingSegment {
    #[error("segment {segment} is missing")]
    Missing { segment: u32 },
    #[error("segment {segment} is {found} bytes long and should be {expected}: it was truncated or replaced")]
    OtherLength { segment: u32, found: u64, expected: u32 },
}

impl DamagedLog {
    pub fn open(directory: &Path, segment_bytes: u32) -> io::Result<Self> {
        let numbers = match numbers_in(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed?,
        };
        let range = match (numbers.first(), numbers.last()) {
            (Some(first), Some(last)) => *first..last + 1,
            _ => 1..1,
        };
        let (whole, rests, absences) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut remains = Self { numbers: range.clone(), whole, rests, absences };
        let mut present = numbers.into_iter().peekable();
        for segment in range {
            if present.next_if_eq(&segment).is_none() {
                remains.absences.push(MissingSegment::Missing { segment });
                continue;
            }
            remains.take(directory, segment, segment_bytes)?;
        }
        Ok(remains)
    }

    fn take(&mut self, directory: &Path, segment: u32, expected: u32) -> io::Result<()> {
        let path = segment::path(directory, segment);
        let found = fs::metadata(&path)?.len();
        if found == u64::from(expected) {
            self.whole.insert(segment, Segment::open(directory, segment, expected)?);
            return Ok(());
        }
        let mut rest = Vec::new();
        File::open(&path)?.take(u64::from(expected)).read_to_end(&mut rest)?;
        rest.resize(expected as usize, 0);
        self.rests.insert(segment, rest);
        self.absences.push(MissingSegment::OtherLength { segment, found, expected });
        Ok(())
    }

    /// Missing and incomplete segments, by number.
    pub fn absences(&self) -> &[MissingSegment] {
        &self.absences
    }
}

impl Segments for DamagedLog {
    fn segments(&self) -> Range<u32> {
        self.numbers.clone()
    }

    fn bytes(&self, segment: u32) -> &[u8] {
        let whole = self.whole.get(&segment).map(Segment::bytes);
        whole.or_else(|| self.rests.get(&segment).map(Vec::as_slice)).unwrap_or_default()
    }

    fn warm_from(&self) -> u32 {
        self.numbers.end
    }

    fn is_readable(&self, segment: u32, bytes: Range<usize>) -> bool {
        self.whole.get(&segment).is_none_or(|whole| whole.populate(bytes).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u32 = 8_192;

    #[test]
    fn what_is_missing_is_named_and_what_is_short_reads_as_zeros_behind_its_end() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = temporary.path();
        for (segment, length) in [(3, BYTES as usize), (5, 100), (6, 9_000)] {
            fs::write(segment::path(directory, segment), vec![7; length]).expect("written");
        }
        let remains = DamagedLog::open(directory, BYTES).expect("readable");
        assert_eq!(remains.segments(), 3..7);
        let told: Vec<String> = remains.absences().iter().map(MissingSegment::to_string).collect();
        assert!(told[0] == "segment 4 is missing" && told[1].contains("100") && told[2].contains("9000"), "{told:?}");
        let lengths = [3, 4, 5, 6].map(|segment| remains.bytes(segment).len());
        assert_eq!(lengths, [8_192, 0, 8_192, 8_192]);
        assert!(remains.bytes(5)[..100].iter().all(|it| *it == 7) && remains.bytes(5)[100..].iter().all(|it| *it == 0));
    }

    #[test]
    fn a_directory_that_is_gone_is_a_log_without_segments() {
        let temporary = tempfile::tempdir().expect("a directory");
        let remains = DamagedLog::open(&temporary.path().join("shard-000"), BYTES).expect("nothing to read");
        assert!(remains.segments().is_empty() && remains.absences().is_empty());
    }
}
