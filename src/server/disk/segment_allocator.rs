//! The thread that allocates segments ahead and removes those that retention drops, so that no turn creates, fills,
//! syncs or removes a file.
//!
//! One for all shards, off their cores where a core is left. Invariants: a directory's segments are created in order
//! and removed in order, each durably before the next, so there is never a gap; a failed job is repeated every second,
//! from its beginning. On a full disk a reserve is left for checkpoints and the end of the run (`Space`).

use crate::server::base::files;
use crate::server::base::helper_thread::spawn;
use crate::server::disk::reply::ReplySender;
use crate::server::disk::segment::{self, Segment};
use crate::server::disk::space::Space;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub enum AllocatorJob {
    Prepare(SegmentOrder),
    /// Remove this segment's file.
    Discard {
        directory: PathBuf,
        segment: Segment,
    },
}

/// An order to create this segment and to send it to `ready`.
#[derive(Debug)]
pub struct SegmentOrder {
    pub directory: PathBuf,
    pub number: u32,
    /// The newest closed segment.
    pub closed: u32,
    pub bytes: u32,
    pub since: Instant,
    pub ready: Sender<Spare>,
    pub room: Arc<Headroom>,
    /// Wakes the shard when the segment is ready.
    pub reply_sender: Option<ReplySender>,
}

/// Whether a shard's directory has room for segments, as far as is known.
#[derive(Debug, Default)]
pub struct Headroom {
    /// There is no room for another segment.
    pub is_full: AtomicBool,
    /// There is no room beyond the segments that are already allocated.
    pub is_scarce: AtomicBool,
}

impl Headroom {
    pub fn note_refusal(&self, error: &io::Error) {
        self.is_full.store(is_want_of_space(error), Ordering::Relaxed);
        self.is_scarce.store(is_want_of_space(error), Ordering::Relaxed);
    }
}

/// A segment of zeros, and the time from its order until it was ready.
#[derive(Debug)]
pub struct Spare {
    pub segment: Segment,
    pub took: Duration,
}

/// The thread ends when all senders of jobs are gone. Each shard has only a few orders under way.
pub fn start(core: Option<usize>, space: Arc<Space>, jobs: Receiver<AllocatorJob>) -> io::Result<JoinHandle<()>> {
    spawn("mushan-segments", core, move || SegmentAllocator { space, ..SegmentAllocator::default() }.run(&jobs))
}

#[derive(Default)]
struct SegmentAllocator {
    space: Arc<Space>,
    orders: Vec<SegmentOrder>,
    discards: Vec<(PathBuf, u32)>,
    /// Set while orders fail, so that the failure is logged once.
    is_order_failing: bool,
    is_discard_failing: bool,
}

impl SegmentAllocator {
    fn run(mut self, jobs: &Receiver<AllocatorJob>) {
        loop {
            let is_idle = self.orders.is_empty() && self.discards.is_empty();
            let timeout = if is_idle { Duration::from_secs(3_600) } else { RETRY };
            match jobs.recv_timeout(timeout) {
                Ok(AllocatorJob::Prepare(order)) => self.orders.push(order),
                // Unmapped at once: a file's blocks are free only when nobody maps it.
                Ok(AllocatorJob::Discard { directory, segment }) => self.discards.push((directory, segment.number)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.discard();
            self.prepare();
        }
    }

    /// Segments that are left when the server ends are dropped again after the next start.
    fn discard(&mut self) {
        let mut stuck = HashSet::new();
        let Self { discards, is_discard_failing, .. } = self;
        discards.retain(|(directory, number)| {
            let is_left = stuck.contains(directory) || !remove(directory, *number, is_discard_failing);
            if is_left {
                stuck.insert(directory.clone());
            }
            is_left
        });
        *is_discard_failing &= !stuck.is_empty();
    }

    fn prepare(&mut self) {
        let before = self.orders.len();
        let mut stuck = HashSet::new();
        let Self { space, orders, is_order_failing, .. } = self;
        orders.retain(|order| {
            let is_left = stuck.contains(&order.directory) || !fill(order, space, is_order_failing);
            if is_left {
                stuck.insert(order.directory.clone());
            }
            is_left
        });
        if self.is_order_failing && self.orders.len() < before && self.orders.is_empty() {
            self.is_order_failing = false;
            tracing::info!("segments can be prepared again");
        }
    }
}

/// Removes a segment's file. Returns whether it is gone for good.
fn remove(directory: &Path, number: u32, is_failing: &mut bool) -> bool {
    let path = segment::path(directory, number);
    let removed = match std::fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    match removed.and_then(|()| files::sync_directory(directory)) {
        Ok(()) => tracing::info!(path = %path.display(), "segment dropped by retention"),
        Err(error) => {
            if !std::mem::replace(is_failing, true) {
                tracing::warn!(path = %path.display(), %error, "a dropped segment cannot be removed; trying again every second");
            }
            return false;
        }
    }
    true
}

/// Returns whether the order is finished.
fn fill(order: &SegmentOrder, space: &Space, is_failing: &mut bool) -> bool {
    let SegmentOrder { directory, number, closed, bytes, .. } = order;
    let made = space.expect_covered(directory, *bytes, *closed);
    match made.and_then(|()| Segment::prepare(directory, *number, *bytes, space)) {
        Ok(segment) => {
            let took = order.since.elapsed();
            tracing::debug!(directory = %directory.display(), number, took_ms = took.as_millis() as u64, "segment prepared");
            order.room.is_full.store(false, Ordering::Relaxed);
            order.room.is_scarce.store(!space.has_room(directory, *bytes), Ordering::Relaxed);
            // The send fails if the shard has ended.
            if order.ready.send(Spare { segment, took }).is_ok()
                && let Some(reply_sender) = &order.reply_sender
            {
                reply_sender.wake();
            }
            true
        }
        Err(error) => {
            order.room.note_refusal(&error);
            if !std::mem::replace(is_failing, true) {
                complain(directory, &error);
            }
            false
        }
    }
}

/// Logs that a segment cannot be created: once, until it works again.
pub fn complain(directory: &Path, error: &io::Error) {
    let directory = directory.display();
    if is_want_of_space(error) {
        tracing::warn!(%directory, %error, "there is no room for the next segment: new messages are refused until there is; trying again every second");
    } else {
        tracing::warn!(%directory, %error, "the next segment cannot be made: new messages are refused until it can; trying again every second");
    }
}

/// Whether the error means a lack of space. A lack of descriptors or memory does not: clients are not told then that
/// the storage is full.
pub fn is_want_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::unbounded;

    #[test]
    fn a_segment_that_cannot_be_made_is_tried_again_until_it_can() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = temporary.path().join("not there yet");
        let (jobs, received) = unbounded();
        let thread = start(None, Arc::default(), received).expect("a thread");
        let (ready, made) = unbounded();
        let room = Arc::new(Headroom::default());
        for number in [7, 8] {
            let order = SegmentOrder {
                directory: directory.clone(),
                number,
                closed: number - 2,
                bytes: 65_536,
                since: Instant::now(),
                ready: ready.clone(),
                room: room.clone(),
                reply_sender: None,
            };
            jobs.send(AllocatorJob::Prepare(order)).expect("the allocator listens");
        }
        assert!(made.recv_timeout(Duration::from_millis(100)).is_err(), "there is nowhere to make it");
        assert!(!room.is_full.load(Ordering::Relaxed), "and that is no want of space");
        std::fs::create_dir(&directory).expect("made");
        for number in [7, 8] {
            let Spare { segment, .. } = made.recv_timeout(Duration::from_secs(30)).expect("tried again");
            assert_eq!((segment.number, segment.bytes().len(), segment.is_blank()), (number, 65_536, true));
            jobs.send(AllocatorJob::Discard { directory: directory.clone(), segment }).expect("the allocator listens");
        }
        drop(jobs);
        thread.join().expect("it ends with its orders");
        assert!(!segment::path(&directory, 7).exists() && !segment::path(&directory, 8).exists());
    }

    #[test]
    fn a_segment_that_cannot_be_removed_keeps_those_behind_it_and_is_tried_again() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = temporary.path().to_owned();
        let mut allocator = SegmentAllocator::default();
        for number in [1, 2] {
            drop(Segment::prepare(&directory, number, 4_096, &Space::default()).expect("made"));
            allocator.discards.push((directory.clone(), number));
        }
        // A non-empty directory with the segment's name cannot be removed as a file, even by root.
        let first = segment::path(&directory, 1);
        std::fs::remove_file(&first).expect("removed");
        std::fs::create_dir_all(first.join("held")).expect("made");
        allocator.discard();
        assert!(segment::path(&directory, 2).exists(), "to remove it would leave a gap");
        std::fs::remove_dir_all(&first).expect("removed");
        allocator.discard();
        assert!(!segment::path(&directory, 2).exists() && allocator.discards.is_empty());
    }
}
