//! The ring that a shard's syncs go through, apart from its sockets: so that it can wait for a sync, and for nothing else,
//! while what comes to its sockets comes together.
//!
//! Owned by one shard's `Ring`, used on its thread. Invariant: a file stays open until its sync's completion is taken (the
//! caller's part); the kernel touches no memory of ours but the ring.

use io_uring::{IoUring, opcode, squeue, types};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// A batch has one sync for each segment that it spans.
const ENTRIES: u32 = 16;

pub struct SyncRing {
    uring: IoUring,
    /// Submissions that found the queue full.
    held: VecDeque<squeue::Entry>,
    in_flight: usize,
}

impl SyncRing {
    /// What completes is told through `eventfd`.
    pub fn new(eventfd: BorrowedFd<'_>) -> io::Result<Self> {
        let uring = super::ring::build(ENTRIES)?;
        uring.submitter().register_eventfd(eventfd.as_raw_fd())?;
        Ok(Self { uring, held: VecDeque::new(), in_flight: 0 })
    }

    /// Makes a file's bytes durable; `enter` or `wait` begins with it.
    pub fn sync(&mut self, file: BorrowedFd<'_>) {
        let sync = opcode::Fsync::new(types::Fd(file.as_raw_fd())).flags(types::FsyncFlags::DATASYNC);
        self.in_flight += 1;
        self.held.push_back(sync.build());
    }

    /// Syncs whose completion has not been taken.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub fn next(&mut self) -> Option<io::Result<()>> {
        let entry = self.uring.completion().next()?;
        self.in_flight -= 1;
        let error = entry.result();
        Some(if error < 0 { Err(io::Error::from_raw_os_error(-error)) } else { Ok(()) })
    }

    /// Whether `enter` or `next` would have something to do.
    pub fn has_work(&mut self) -> bool {
        let queue = self.uring.submission();
        let submits = !queue.is_empty() || queue.taskrun() || queue.cq_overflow();
        drop(queue);
        submits || !self.held.is_empty() || !self.uring.completion().is_empty()
    }

    /// Submits what is queued, and lets the kernel finish what it has deferred to us.
    pub fn enter(&mut self) -> io::Result<()> {
        let queued = self.release_held();
        let queue = self.uring.submission();
        if queued == 0 && !queue.taskrun() && !queue.cq_overflow() {
            return Ok(());
        }
        drop(queue);
        const GETEVENTS: u32 = 1;
        // SAFETY: waits for nothing and passes no argument; `queued` entries are in the queue.
        unsent(unsafe { self.uring.submitter().enter::<libc::sigset_t>(queued, 0, GETEVENTS, None) })
    }

    /// The same, and waits until a sync is done, no longer than `patience`.
    pub fn wait(&mut self, patience: Duration) -> io::Result<()> {
        self.release_held();
        let patience = types::Timespec::from(patience);
        unsent(self.uring.submitter().submit_with_args(1, &types::SubmitArgs::new().timespec(&patience)))
    }

    /// How many entries are in the queue then.
    fn release_held(&mut self) -> u32 {
        let mut queue = self.uring.submission();
        while let Some(entry) = self.held.pop_front() {
            // SAFETY: an fsync points to nothing, and its file stays open (the caller's part).
            if unsafe { queue.push(&entry) }.is_err() {
                self.held.push_front(entry);
                break;
            }
        }
        u32::try_from(queue.len()).expect("the queue's size is a u32")
    }
}

/// Interrupted, out of time, or completions must be taken first: the next turn submits the rest.
fn unsent(entered: io::Result<usize>) -> io::Result<()> {
    match entered {
        Err(error) if !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ETIME)) => {
            Err(error)
        }
        _ => Ok(()),
    }
}
