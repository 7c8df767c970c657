//! Where a follower finds the segments of the log that it follows.

use crate::log::{SEGMENT_HEADER_BYTES, Segments, made_at};
use crate::model::{Millis, Position, ShardId};
use crate::server::data::directory::shard_path;
use crate::server::disk::cold_reader::OpenSegments;
use crate::server::disk::one_segment::OneSegment;
use crate::server::disk::{numbers_in, segment};
use crate::server::follow::FollowError;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A log that grows, and whose oldest segments retention drops, while it is followed.
pub trait FollowedLog {
    type Segments: Segments;

    /// The oldest segment that retention has left.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    fn oldest(&self) -> Result<u32, FollowError>;

    /// When the log was created; `None`: it has no record yet.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    fn created(&self, shard: ShardId) -> Result<Option<Millis>, FollowError>;

    /// From now on this segment can be read, up to `end` at most.
    fn show(&mut self, segment: u32, end: Position);

    /// The segment that was shown last, maybe with others.
    fn shown(&self) -> &Self::Segments;

    /// Another reader of the same log, to which nothing was shown.
    fn apart(&self) -> Self;
}

/// A shard's log in the files of a data directory.
pub struct LogFiles {
    directory: Arc<PathBuf>,
    segments: OpenSegments,
}

impl LogFiles {
    pub fn new(data_dir: &Path, shard: ShardId, segment_bytes: u32) -> Self {
        let directory = Arc::new(shard_path(data_dir, shard));
        Self { segments: OpenSegments::new(directory.clone(), segment_bytes), directory }
    }

    fn failed(&self, source: io::Error) -> FollowError {
        FollowError::Disk { path: self.directory.to_path_buf(), source }
    }
}

impl FollowedLog for LogFiles {
    type Segments = OpenSegments;

    fn oldest(&self) -> Result<u32, FollowError> {
        let segments = numbers_in(&self.directory).map_err(|source| self.failed(source))?;
        Ok(segments.into_iter().min().unwrap_or(1))
    }

    fn created(&self, shard: ShardId) -> Result<Option<Millis>, FollowError> {
        let number = self.oldest()?;
        let mut header = [0; SEGMENT_HEADER_BYTES];
        let file = File::open(segment::path(&self.directory, number));
        let read = file.and_then(|file| file.read_exact_at(&mut header, 0));
        read.map_err(|source| self.failed(source))?;
        Ok(made_at(&OneSegment { number, bytes: &header }, shard))
    }

    fn show(&mut self, segment: u32, end: Position) {
        self.segments.show(segment..segment + 1, end);
    }

    fn shown(&self) -> &OpenSegments {
        &self.segments
    }

    fn apart(&self) -> Self {
        let segments = OpenSegments::new(self.directory.clone(), self.segments.segment_bytes());
        Self { directory: self.directory.clone(), segments }
    }
}
