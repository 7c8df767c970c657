//! The free space of a data directory's disk, divided between segments and checkpoints.
//!
//! Invariants: a new segment leaves room for the next checkpoints, as large as the last ones or as the shards' state
//! now, twice, beside the configured reserve: retention drops only what checkpoints cover, so a full disk recovers only
//! if they can be written. "Now" is when the segment is ordered; what the shard comes to know while it fills the
//! segments that it has by then may be as much again, or as much as the configured reserve. Where segments are dropped,
//! the last segment with room is created only when a checkpoint covers those before it. Free space is claimed before
//! another caller looks.

use crate::shard::Upkeep;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The space that is left free for each shard: this many times its last checkpoint, or its next one if that is expected
/// to be larger.
const CHECKPOINTS_LEFT: u64 = 2;

#[derive(Debug, Default)]
pub struct Space {
    reserve_bytes: u64,
    drops_segments: bool,
    claims: Mutex<SpaceClaims>,
}

#[derive(Debug, Default)]
struct SpaceClaims {
    /// The checkpoints of each shard's directory.
    checkpoints: HashMap<PathBuf, CheckpointSizes>,
    /// Blocks of the checkpoint that is being written: not free any more, and part of what is reserved for checkpoints.
    being_written: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct CheckpointSizes {
    /// The last segment that the newest checkpoint covers, and its bytes.
    through: u32,
    newest: u64,
    /// The estimated size of the next checkpoint.
    expected: u64,
    /// The newest checkpoint covers every closed segment, so that one more is enough for segments to be dropped.
    is_up_to_date: bool,
}

impl CheckpointSizes {
    fn largest(self) -> u64 {
        self.newest.max(self.expected)
    }
}

impl Space {
    pub fn new(reserve_bytes: u64, upkeep: &Upkeep) -> Self {
        let drops_segments = upkeep.retention_ms > 0 || upkeep.retention_bytes > 0;
        Self { reserve_bytes, drops_segments, claims: Mutex::default() }
    }

    /// Records that the newest checkpoint of a shard ends with this segment and has this many bytes.
    pub fn note_checkpoint(&self, directory: &Path, through: u32, bytes: u64) {
        let mut claims = self.claims();
        claims.being_written = 0;
        let sizes = claims.sizes_of(directory);
        (sizes.through, sizes.newest) = (through, bytes);
    }

    /// The bytes of a shard's newest checkpoint; 0 if there is none.
    pub fn checkpoint_bytes(&self, directory: &Path) -> u64 {
        self.claims().sizes_of(directory).newest
    }

    /// Records the estimated bytes of a shard's next checkpoint.
    pub fn expect_checkpoint(&self, directory: &Path, bytes: u64) {
        self.claims().sizes_of(directory).expected = bytes;
    }

    /// The checkpoint for which blocks were allocated was not written.
    pub fn give_up_checkpoint(&self) {
        self.claims().being_written = 0;
    }

    /// Fails if the next segment may be the last one with room and no checkpoint covers the segments that are `closed`.
    pub fn expect_covered(&self, directory: &Path, bytes: u32, closed: u32) -> io::Result<()> {
        let mut claims = self.claims();
        let left = self.left_free(&claims);
        let sizes = claims.sizes_of(directory);
        sizes.is_up_to_date = self.drops_segments && sizes.through >= closed.max(1);
        let two_more = u64::from(bytes).saturating_mul(2).saturating_add(left);
        if !self.drops_segments || sizes.through >= closed || free_bytes(directory)? >= two_more {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::StorageFull,
            "the last segment that there is room for waits for a checkpoint",
        ))
    }

    /// Allocates a segment's blocks, unless less space would then be free than is left for checkpoints and the end of
    /// the run.
    pub fn allocate_segment<T>(
        &self,
        directory: &Path,
        bytes: u32,
        allocate: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut claims = self.claims();
        let own = *claims.sizes_of(directory);
        let spared = if own.is_up_to_date { own.largest() } else { 0 };
        let left = self.left_free(&claims).saturating_sub(spared);
        let free = free_bytes(directory)?;
        if free < u64::from(bytes).saturating_add(left) {
            let what =
                format!("{free} bytes are free, a segment takes {bytes}, and {left} are reserved for checkpoints");
            return Err(io::Error::new(io::ErrorKind::StorageFull, what));
        }
        let allocated = allocate();
        drop(claims);
        allocated
    }

    /// Whether there is room for one more segment. False if the free space cannot be read.
    pub fn has_room(&self, directory: &Path, bytes: u32) -> bool {
        let left = self.left_free(&self.claims());
        free_bytes(directory).is_ok_and(|free| free >= u64::from(bytes).saturating_add(left))
    }

    /// Allocates the blocks of the checkpoint that is about to be written.
    pub fn allocate_checkpoint<T>(&self, bytes: u64, allocate: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut claims = self.claims();
        let allocated = allocate()?;
        claims.being_written = bytes;
        Ok(allocated)
    }

    fn left_free(&self, claims: &SpaceClaims) -> u64 {
        let sizes = claims.checkpoints.values().map(|sizes| sizes.largest());
        let for_checkpoints = CHECKPOINTS_LEFT * sizes.sum::<u64>();
        self.reserve_bytes.saturating_add(for_checkpoints.saturating_sub(claims.being_written))
    }

    /// A panic of another holder leaves the claims consistent, so a poisoned lock is used.
    fn claims(&self) -> MutexGuard<'_, SpaceClaims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpaceClaims {
    fn sizes_of(&mut self, directory: &Path) -> &mut CheckpointSizes {
        if !self.checkpoints.contains_key(directory) {
            self.checkpoints.insert(directory.to_owned(), CheckpointSizes::default());
        }
        self.checkpoints.get_mut(directory).expect("it is there or was just made")
    }
}

/// The size of a file system, and what is free there for an ordinary user.
#[derive(Clone, Copy, Debug)]
pub struct DiskRoom {
    pub free_bytes: u64,
    pub total_bytes: u64,
}

impl DiskRoom {
    /// Of the file system of this file or directory.
    ///
    /// # Errors
    ///
    /// Those of `statvfs`.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self { free_bytes: bytes(found.f_bavail), total_bytes: bytes(found.f_blocks) })
    }
}

fn free_bytes(directory: &Path) -> io::Result<u64> {
    Ok(DiskRoom::of(directory)?.free_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_free(space: &Space) -> u64 {
        space.left_free(&space.claims())
    }

    #[test]
    fn what_is_left_free_follows_the_checkpoints() {
        let space = Space::new(100, &Upkeep::default());
        assert_eq!(left_free(&space), 100);
        space.note_checkpoint(Path::new("shard-000"), 1, 30);
        space.note_checkpoint(Path::new("shard-001"), 1, 5);
        assert_eq!(left_free(&space), 170);
        space.allocate_checkpoint(40, || Ok(())).expect("there is room");
        assert_eq!(left_free(&space), 130, "what a checkpoint has taken is not asked for twice");
        space.note_checkpoint(Path::new("shard-000"), 1, 40);
        assert_eq!(left_free(&space), 190);
        space.allocate_checkpoint(40, || Ok(())).expect("there is room");
        space.give_up_checkpoint();
        assert_eq!(left_free(&space), 190);
    }

    #[test]
    fn what_is_left_free_follows_what_shards_have_come_to_know() {
        let space = Space::new(100, &Upkeep::default());
        space.expect_checkpoint(Path::new("shard-000"), 30);
        assert_eq!(left_free(&space), 160, "there is none yet");
        space.note_checkpoint(Path::new("shard-000"), 1, 20);
        assert_eq!(left_free(&space), 160);
        space.expect_checkpoint(Path::new("shard-000"), 10);
        assert_eq!(left_free(&space), 140, "the last one may come again");
    }

    #[test]
    fn a_segment_that_would_take_the_room_of_a_checkpoint_is_refused() {
        let temporary = tempfile::tempdir().expect("a directory");
        let space = Space::new(0, &Upkeep::default());
        space.allocate_segment(temporary.path(), 1, || Ok(())).expect("a byte is free");
        space.note_checkpoint(temporary.path(), 1, u64::MAX / 4);
        let refused = space.allocate_segment(temporary.path(), 1, || Ok(())).expect_err("no disk has so many");
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn the_last_segment_waits_for_a_checkpoint_where_segments_are_dropped() {
        let temporary = tempfile::tempdir().expect("a directory");
        let (keeps, directory) = (Upkeep::default(), temporary.path());
        let drops = Upkeep { retention_bytes: 1, ..keeps };
        let is_made = |upkeep: &Upkeep, expected: u64, through: u32| {
            let space = Space::new(0, upkeep);
            space.note_checkpoint(directory, through, 0);
            space.expect_checkpoint(directory, expected);
            space.expect_covered(directory, 4_096, 7).is_ok()
        };
        let all_there_is = u64::MAX / 4;
        assert!(!is_made(&drops, all_there_is, 6) && is_made(&drops, all_there_is, 7));
        assert!(is_made(&drops, 0, 6), "there is room for more");
        assert!(is_made(&keeps, all_there_is, 6), "nothing is gained by waiting");
    }
}
