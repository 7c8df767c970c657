//! A data directory that a backup reads while a server may be using it. Every file is opened before the first is
//! copied, so that a file that is unlinked meanwhile can still be read.
//!
//! Owned by one backup. Nothing is written or locked. Files that grow are read and never mapped.

use crate::log::{Record, SEGMENT_HEADER_BYTES, inspect};
use crate::model::{Position, ShardId};
use crate::server::base::error::{ConfigurationError, DiskError};
use crate::server::data::directory::shard_path;
use crate::server::disk::one_segment::OneSegment;
use crate::server::disk::{checkpoints, numbers_in, segment};
use crate::server::{Manifest, StartError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Tries to list and open a shard's files while they keep changing.
const LISTINGS_MAX: u32 = 1_000;

pub struct Source {
    pub path: PathBuf,
    pub manifest: Manifest,
    /// `logs[n]` is shard n's.
    pub logs: Vec<LiveLog>,
}

/// One shard's files, opened; the newest segments may continue to grow.
pub struct LiveLog {
    pub shard: ShardId,
    pub directory: PathBuf,
    pub first: u32,
    pub segments: Vec<File>,
    /// Each with the last segment that it covers.
    pub checkpoints: Vec<(u32, File)>,
    segment_bytes: u32,
}

impl Source {
    pub fn open(data_dir: &Path) -> Result<Self, StartError> {
        let Some(manifest) = Manifest::load(data_dir)? else {
            return Err(ConfigurationError::no_data_directory(data_dir).into());
        };
        raise_files_limit();
        let open = |shard| {
            let shard = ShardId(shard);
            LiveLog::open(shard, shard_path(data_dir, shard), manifest.segment_bytes)
        };
        let logs = (0..manifest.shards).map(open).collect::<Result<_, _>>()?;
        Ok(Self { path: data_dir.to_owned(), manifest, logs })
    }
}

/// Raises the limit of open files as far as permitted: each segment is open twice, in the source and in the copy. If
/// the limit stays too low, opening fails with its own message.
fn raise_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

impl LiveLog {
    /// Lists, opens, and lists again: if both listings are equal, the opened files belong together.
    fn open(shard: ShardId, directory: PathBuf, segment_bytes: u32) -> Result<Self, StartError> {
        let list = || list(&directory).map_err(|error| StartError::disk("list", &directory, error));
        let mut before = list()?;
        for _ in 0..LISTINGS_MAX {
            let opened = before.open(&directory);
            let after = list()?;
            if before != after {
                before = after;
                continue;
            }
            let (checkpoints, segments) = opened?;
            let first = before.segments.first().copied().unwrap_or(1);
            let log = Self { shard, directory, first, segments, checkpoints, segment_bytes };
            log.check(&before.segments)?;
            return Ok(log);
        }
        Err(DiskError::unfit(&directory, "changes faster than it can be read").into())
    }

    fn check(&self, numbers: &[u32]) -> Result<(), StartError> {
        for ((expected, number), file) in (self.first..).zip(numbers).zip(&self.segments) {
            let path = segment::path(&self.directory, expected);
            if expected != *number {
                return Err(DiskError::unfit(&path, "is missing").into());
            }
            let bytes = file.metadata().map_err(|error| StartError::disk("use", &path, error))?.len();
            if bytes != u64::from(self.segment_bytes) {
                return Err(DiskError::Length { path, found: bytes, expected: self.segment_bytes.into() }.into());
            }
        }
        Ok(())
    }

    /// The number of segments that have been begun; those after them are spares.
    pub fn begun(&self) -> Result<usize, StartError> {
        for (index, file) in self.segments.iter().enumerate().rev() {
            let mut header = [0; SEGMENT_HEADER_BYTES];
            file.read_exact_at(&mut header, 0).map_err(|error| self.unreadable(index, error))?;
            if header != [0; SEGMENT_HEADER_BYTES] {
                return Ok(index + 1);
            }
        }
        Ok(0)
    }

    /// Where the log ends now. Reads the newest begun segment only.
    pub fn end_now(&self) -> Result<Position, StartError> {
        let Some(index) = self.begun()?.checked_sub(1) else { return Ok(Position::new(self.first, 0)) };
        let number = self.number(index);
        let mut bytes = vec![0; self.segment_bytes as usize];
        self.segments[index].read_exact_at(&mut bytes, 0).map_err(|error| self.unreadable(index, error))?;
        let inspected = inspect(&OneSegment { number, bytes: &bytes }, self.shard, |_, _| {});
        inspected
            .map(|inspection| inspection.end)
            .map_err(|error| DiskError::task("read the log in", &self.directory, error).into())
    }

    /// The position up to which the newest mark in this segment states the log to be durable; `None` if the segment has
    /// no mark or a record before it cannot be read. `bytes` are those of segment `number`.
    pub fn durable_by(&self, number: u32, bytes: &[u8]) -> Option<Position> {
        let mut durable = None;
        let note = |_, record| {
            if let Record::Mark { durable: claimed } = record {
                durable = Some(claimed);
            }
        };
        inspect(&OneSegment { number, bytes }, self.shard, note).ok()?;
        durable
    }

    pub fn number(&self, index: usize) -> u32 {
        self.first + u32::try_from(index).expect("segments are numbered in 32 bits")
    }

    fn unreadable(&self, index: usize, error: io::Error) -> StartError {
        StartError::disk("read", &segment::path(&self.directory, self.number(index)), error)
    }
}

/// The numbers of a shard's files, sorted.
#[derive(PartialEq, Eq)]
struct Listing {
    checkpoints: Vec<u32>,
    segments: Vec<u32>,
}

impl Listing {
    /// Opens checkpoints first: the segments that are opened after them reach at least as far.
    #[allow(clippy::type_complexity)]
    fn open(&self, directory: &Path) -> Result<(Vec<(u32, File)>, Vec<File>), StartError> {
        let open = |path: &Path| File::open(path).map_err(|error| StartError::disk("open", path, error));
        let mut opened = Vec::new();
        for through in &self.checkpoints {
            opened.push((*through, open(&checkpoints::path(directory, *through))?));
        }
        let segments = self.segments.iter().map(|number| open(&segment::path(directory, *number)));
        Ok((opened, segments.collect::<Result<_, _>>()?))
    }
}

fn list(directory: &Path) -> io::Result<Listing> {
    let segments = numbers_in(directory)?;
    Ok(Listing { checkpoints: checkpoints::list(directory)?, segments })
}
