//! The free space of a data directory's disk, shared out between segments and checkpoints.
//!
//! Invariants: a segment leaves room for the next checkpoints, as large as the last ones were and with as much again to
//! grow by, beside the configured reserve: retention goes by checkpoints, so a full disk gets room again only where they
//! can be written. Whoever looks at what is free takes it before another one looks.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is left free for each shard: its last checkpoint so many times.
const CHECKPOINTS_LEFT: u64 = 2;

#[derive(Debug, Default)]
pub struct Space {
    reserve_bytes: u64,
    claims: Mutex<Claims>,
}

#[derive(Debug, Default)]
struct Claims {
    /// The newest checkpoint of each shard's directory.
    checkpoints: HashMap<PathBuf, u64>,
    /// Blocks of the checkpoint that is being written: no longer free, and part of what is left for checkpoints.
    being_written: u64,
}

impl Space {
    pub fn new(reserve_bytes: u64) -> Self {
        Self { reserve_bytes, claims: Mutex::default() }
    }

    /// The newest checkpoint of a shard has so many bytes.
    pub fn note_checkpoint(&self, directory: &Path, bytes: u64) {
        let mut claims = self.claims();
        claims.being_written = 0;
        claims.checkpoints.insert(directory.to_owned(), bytes);
    }

    /// No checkpoint came of it.
    pub fn give_up_checkpoint(&self) {
        self.claims().being_written = 0;
    }

    /// Gives a segment its blocks, unless that would leave less free than is left to checkpoints and to the end.
    pub fn allocate_segment<T>(
        &self,
        directory: &Path,
        bytes: u32,
        allocate: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let claims = self.claims();
        let left = self.left_free(&claims);
        let found = rustix::fs::statvfs(directory)?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        if free < u64::from(bytes).saturating_add(left) {
            let what = format!("{free} bytes are free, a segment takes {bytes}, and {left} are left to checkpoints");
            return Err(io::Error::new(io::ErrorKind::StorageFull, what));
        }
        let allocated = allocate();
        drop(claims);
        allocated
    }

    /// Gives the checkpoint that is about to be written its blocks.
    pub fn allocate_checkpoint<T>(&self, bytes: u64, allocate: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut claims = self.claims();
        let allocated = allocate()?;
        claims.being_written = bytes;
        Ok(allocated)
    }

    fn left_free(&self, claims: &Claims) -> u64 {
        let for_checkpoints = CHECKPOINTS_LEFT * claims.checkpoints.values().sum::<u64>();
        self.reserve_bytes.saturating_add(for_checkpoints.saturating_sub(claims.being_written))
    }

    /// Nothing is half done where a holder of it has panicked.
    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_free(space: &Space) -> u64 {
        space.left_free(&space.claims())
    }

    #[test]
    fn what_is_left_free_follows_the_checkpoints() {
        let space = Space::new(100);
        assert_eq!(left_free(&space), 100);
        space.note_checkpoint(Path::new("shard-000"), 30);
        space.note_checkpoint(Path::new("shard-001"), 5);
        assert_eq!(left_free(&space), 170);
        space.allocate_checkpoint(40, || Ok(())).expect("there is room");
        assert_eq!(left_free(&space), 130, "what a checkpoint has taken is not asked for twice");
        space.note_checkpoint(Path::new("shard-000"), 40);
        assert_eq!(left_free(&space), 190);
        space.allocate_checkpoint(40, || Ok(())).expect("there is room");
        space.give_up_checkpoint();
        assert_eq!(left_free(&space), 190);
    }

    #[test]
    fn a_segment_that_would_take_the_room_of_a_checkpoint_is_refused() {
        let temporary = tempfile::tempdir().expect("a directory");
        let space = Space::new(0);
        space.allocate_segment(temporary.path(), 1, || Ok(())).expect("a byte is free");
        space.note_checkpoint(temporary.path(), u64::MAX / 4);
        let refused = space.allocate_segment(temporary.path(), 1, || Ok(())).expect_err("no disk has so many");
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    }
}
