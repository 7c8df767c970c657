//! The helper thread that makes segments ahead of need and removes those that retention drops, so that no turn ever
//! creates, fills, syncs or removes a file.
//!
//! One for all shards, off their cores where a core is left. When the disk is full, but for a reserve that is left to
//! checkpoints and the end, it tries again every second.

use super::segment::{self, Segment};
use super::{errands, files};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub enum Job {
    Prepare(Order),
    /// Remove this segment's file. Segments go in order, each for good before the next: a gap is never left.
    Discard {
        directory: PathBuf,
        segment: Segment,
    },
}

/// Make this segment and send it there.
#[derive(Debug)]
pub struct Order {
    pub directory: PathBuf,
    pub number: u32,
    pub bytes: u32,
    pub ready: Sender<Segment>,
    /// Whether there is no room for it, as far as is known.
    pub is_full: Arc<AtomicBool>,
}

/// Ends when all senders of jobs are gone. `reserve_bytes` of the disk are left free. Orders are bounded by their makers:
/// each shard has one out.
pub fn start(core: Option<usize>, reserve_bytes: u64, jobs: Receiver<Job>) -> io::Result<JoinHandle<()>> {
    errands::spawn("mushan-segments", core, move || run(&jobs, reserve_bytes))
}

fn run(jobs: &Receiver<Job>, reserve_bytes: u64) {
    let mut open: Vec<Order> = Vec::new();
    let mut is_failing = false;
    loop {
        let patience = if open.is_empty() { Duration::from_secs(3_600) } else { RETRY };
        match jobs.recv_timeout(patience) {
            Ok(Job::Prepare(order)) => open.push(order),
            Ok(Job::Discard { directory, segment }) => discard(&directory, segment),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let before = open.len();
        open.retain(|order| !fill(order, reserve_bytes, &mut is_failing));
        if is_failing && open.len() < before && open.is_empty() {
            is_failing = false;
            tracing::info!("segments can be prepared again");
        }
    }
}

/// A file that stays is found at the next start, and dropped once more.
fn discard(directory: &Path, segment: Segment) {
    let path = segment::path(directory, segment.number);
    let removed = std::fs::remove_file(&path).and_then(|()| files::sync_directory(directory));
    match removed {
        Ok(()) => tracing::info!(path = %path.display(), "segment dropped by retention"),
        Err(error) => tracing::warn!(path = %path.display(), %error, "a dropped segment cannot be removed"),
    }
}

/// Whether the order is done with.
fn fill(order: &Order, reserve_bytes: u64, is_failing: &mut bool) -> bool {
    match Segment::prepare(&order.directory, order.number, order.bytes, reserve_bytes) {
        Ok(segment) => {
            tracing::debug!(directory = %order.directory.display(), number = order.number, "segment prepared");
            order.is_full.store(false, Ordering::Relaxed);
            !matches!(order.ready.try_send(segment), Err(TrySendError::Full(_)))
        }
        Err(error) => {
            order.is_full.store(true, Ordering::Relaxed);
            if !*is_failing {
                *is_failing = true;
                tracing::warn!(directory = %order.directory.display(), %error, "there is no room for the next segment: new messages are refused until there is; it is tried again all the time");
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{bounded, unbounded};

    #[test]
    fn a_segment_that_cannot_be_made_is_tried_again_until_it_can() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = temporary.path().join("not there yet");
        let (jobs, received) = unbounded();
        let thread = start(None, 0, received).expect("a thread");
        let (ready, made) = bounded(1);
        let is_full = Arc::new(AtomicBool::default());
        let order = Order { directory: directory.clone(), number: 7, bytes: 65_536, ready, is_full: is_full.clone() };
        jobs.send(Job::Prepare(order)).expect("the preparer listens");
        assert!(made.recv_timeout(Duration::from_millis(100)).is_err(), "there is nowhere to make it");
        assert!(is_full.load(Ordering::Relaxed), "and whoever waits knows");
        std::fs::create_dir(&directory).expect("made");
        let segment = made.recv_timeout(Duration::from_secs(30)).expect("tried again");
        assert_eq!((segment.number, segment.bytes().len(), segment.is_blank()), (7, 65_536, true));
        assert!(!is_full.load(Ordering::Relaxed));
        jobs.send(Job::Discard { directory: directory.clone(), segment }).expect("the preparer listens");
        drop(jobs);
        thread.join().expect("it ends with its orders");
        assert!(!segment::path(&directory, 7).exists());
    }
}
