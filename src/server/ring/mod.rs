//! A shard's own io_uring: submissions, completions, and every byte that the kernel may touch while an operation is in
//! flight.
//!
//! Owned by one reactor, used on one thread. Invariants: memory that the kernel reads or writes belongs to the `Ring`
//! until its completion is taken; an operation's socket or file stays open until then, which the caller ensures; a ring
//! that is dropped with operations in flight leaks their memory instead of freeing it.

pub(super) mod buffers;
pub(super) mod operation;

use crate::server::ring::buffers::Buffers;

use super::HugePages;
pub use crate::server::ring::buffers::ReceivedBuffer;
use crate::server::ring::operation::{Operation, SocketIndex};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use std::collections::VecDeque;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// A send of `bytes`, of which the kernel has taken the first `sent`.
#[derive(Debug)]
pub struct SendInFlight {
    pub bytes: Vec<u8>,
    pub sent: usize,
}

/// Whether the operation will produce more completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    More,
    Ended,
}

#[derive(Debug)]
pub enum Completion {
    Accepted {
        result: io::Result<OwnedFd>,
        next: Next,
    },
    /// `Ok(None)`: the peer has shut down its write side.
    Received {
        place: SocketIndex,
        result: io::Result<Option<ReceivedBuffer>>,
        next: Next,
    },
    ReceiveCancelled {
        place: SocketIndex,
        result: io::Result<()>,
    },
    Sent {
        place: SocketIndex,
        result: io::Result<usize>,
        send: SendInFlight,
    },
    Synced {
        result: io::Result<()>,
    },
    /// Somebody has written the eventfd: `await_waker` again.
    Woken,
    /// A completion that needs no handling.
    Chore,
}

pub struct Ring {
    uring: ManuallyDrop<IoUring>,
    memory: ManuallyDrop<KernelMemory>,
    /// Submissions that wait because the queue was full.
    held: VecDeque<squeue::Entry>,
    in_flight: usize,
}

/// Memory that the kernel reads and writes.
struct KernelMemory {
    buffers: Buffers,
    /// By link key; a link has at most one send in flight.
    sends: Vec<Option<SendInFlight>>,
    /// What a read of the eventfd returns.
    wakes: Box<u64>,
}

pub struct RingOptions {
    pub entries: u32,
    pub receive_buffers: u16,
    pub receive_buffer_bytes: u32,
    pub huge_pages: HugePages,
}

impl Ring {
    pub fn new(options: &RingOptions) -> io::Result<Self> {
        let uring = build(options.entries)?;
        let buffers =
            Buffers::register(&uring, options.receive_buffers, options.receive_buffer_bytes, options.huge_pages)?;
        let memory = KernelMemory { buffers, sends: Vec::new(), wakes: Box::new(0) };
        Ok(Self {
            uring: ManuallyDrop::new(uring),
            memory: ManuallyDrop::new(memory),
            held: VecDeque::new(),
            in_flight: 0,
        })
    }

    /// Whether this kernel supports such a ring.
    pub fn probe() -> io::Result<()> {
        let uring = build(8)?;
        Buffers::register(&uring, 16, 4_096, HugePages::Host).map(drop)
    }

    pub fn accept(&mut self, listener: BorrowedFd<'_>) {
        let accept = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC);
        self.push(accept.build(), Operation::Accept);
    }

    pub fn cancel_accept(&mut self) {
        self.push(opcode::AsyncCancel::new(Operation::Accept.pack()).build(), Operation::CancelAccept);
    }

    /// Cancels every operation that can be cancelled. For the end of the loop.
    pub fn cancel_all(&mut self) {
        let any = opcode::AsyncCancel2::new(types::CancelBuilder::any());
        self.push(any.build(), Operation::CancelAll);
    }

    /// Receives until the operation is cancelled, the peer stops, or buffers run out (`ENOBUFS`).
    pub fn receive(&mut self, place: SocketIndex, socket: BorrowedFd<'_>) {
        let receive = opcode::RecvMulti::new(types::Fd(socket.as_raw_fd()), buffers::GROUP);
        self.push(receive.build(), Operation::Receive(place));
    }

    pub fn cancel_receive(&mut self, place: SocketIndex) {
        let cancel = opcode::AsyncCancel::new(Operation::Receive(place).pack());
        self.push(cancel.build(), Operation::CancelReceive(place));
    }

    /// Sends the rest of `send`, or a part of it. A link has at most one send at a time.
    pub fn send(&mut self, place: SocketIndex, socket: BorrowedFd<'_>, send: SendInFlight) {
        let index = place.key.0 as usize;
        if self.memory.sends.len() <= index {
            self.memory.sends.resize_with(index + 1, || None);
        }
        let rest = &send.bytes[send.sent..];
        let bytes = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(types::Fd(socket.as_raw_fd()), rest.as_ptr(), bytes).flags(libc::MSG_NOSIGNAL);
        let before = self.memory.sends[index].replace(send);
        assert!(before.is_none(), "one send in flight for each link");
        self.push(entry.build(), Operation::Send(place));
    }

    /// Makes a file's bytes durable.
    pub fn sync(&mut self, file: BorrowedFd<'_>) {
        let sync = opcode::Fsync::new(types::Fd(file.as_raw_fd())).flags(types::FsyncFlags::DATASYNC);
        self.push(sync.build(), Operation::Sync);
    }

    /// Completes as `Woken` when the eventfd is written, also when that was before. One of it at a time.
    pub fn await_waker(&mut self, eventfd: BorrowedFd<'_>) {
        let wakes: *mut u64 = &raw mut *self.memory.wakes;
        let read = opcode::Read::new(types::Fd(eventfd.as_raw_fd()), wakes.cast(), size_of::<u64>() as u32);
        self.push(read.build(), Operation::Wake);
    }

    pub fn bytes_mut(&mut self, buffer: &ReceivedBuffer) -> &mut [u8] {
        self.memory.buffers.bytes_mut(buffer)
    }

    pub fn give_back(&mut self, buffer: ReceivedBuffer) {
        self.memory.buffers.give_back(buffer);
    }

    /// Submits the queue and lets the kernel run its deferred work: at most one system call.
    pub fn enter(&mut self) -> io::Result<()> {
        self.release_held();
        let queue = self.uring.submission();
        let queued = u32::try_from(queue.len()).expect("the queue's size is a u32");
        if queued == 0 && !queue.taskrun() && !queue.cq_overflow() {
            return Ok(());
        }
        drop(queue);
        self.enter_kernel(queued)
    }

    /// Submits the queue and sleeps until there is a completion, for `longest` at most.
    pub fn sleep(&mut self, longest: Duration) -> io::Result<()> {
        self.release_held();
        let longest = types::Timespec::from(longest);
        let arguments = types::SubmitArgs::new().timespec(&longest);
        ignore_interruption(self.uring.submitter().submit_with_args(1, &arguments))
    }

    /// Whether `enter` or `next` would do anything.
    pub fn has_work(&mut self) -> bool {
        let queue = self.uring.submission();
        let submits = !queue.is_empty() || queue.taskrun() || queue.cq_overflow();
        drop(queue);
        submits || !self.held.is_empty() || !self.uring.completion().is_empty()
    }

    /// The number of operations whose last completion has not been taken.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub fn next(&mut self) -> Option<Completion> {
        let entry = self.uring.completion().next()?;
        let next = if cqueue::more(entry.flags()) { Next::More } else { Next::Ended };
        if next == Next::Ended {
            self.in_flight -= 1;
        }
        Some(self.complete(&entry, next))
    }

    fn complete(&mut self, entry: &cqueue::Entry, next: Next) -> Completion {
        let result = match entry.result() {
            negative if negative < 0 => Err(io::Error::from_raw_os_error(-negative)),
            result => Ok(result.unsigned_abs()),
        };
        match Operation::unpack(entry.user_data()) {
            // SAFETY: a successful accept's result is a descriptor that nobody else owns yet.
            Operation::Accept => Completion::Accepted {
                result: result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd.cast_signed()) }),
                next,
            },
            Operation::Receive(place) => {
                let buffer = cqueue::buffer_select(entry.flags());
                let result = result.map(|bytes| buffer.map(|id| self.memory.buffers.take(id, bytes as usize)));
                Completion::Received { place, result: self.drop_empty(result), next }
            }
            Operation::CancelReceive(place) => {
                Completion::ReceiveCancelled { place, result: result.map(|_cancelled| ()) }
            }
            Operation::Send(place) => {
                let send = self.memory.sends[place.key.0 as usize].take().expect("a send in flight has its bytes");
                Completion::Sent { place, result: result.map(|bytes| bytes as usize), send }
            }
            Operation::Sync => Completion::Synced { result: result.map(|_zero| ()) },
            Operation::Wake => Completion::Woken,
            Operation::CancelAccept | Operation::CancelAll => Completion::Chore,
        }
    }

    /// Gives back a buffer without bytes, which the kernel picks for the end of a stream.
    fn drop_empty(&mut self, result: io::Result<Option<ReceivedBuffer>>) -> io::Result<Option<ReceivedBuffer>> {
        let Ok(Some(buffer)) = result else { return result };
        if !self.memory.buffers.bytes_mut(&buffer).is_empty() {
            return Ok(Some(buffer));
        }
        self.memory.buffers.give_back(buffer);
        Ok(None)
    }

    fn push(&mut self, entry: squeue::Entry, operation: Operation) {
        self.in_flight += 1;
        let entry = entry.user_data(operation.pack());
        if !self.held.is_empty() || !self.try_push(&entry) {
            self.held.push_back(entry);
        }
    }

    fn release_held(&mut self) {
        while let Some(entry) = self.held.pop_front() {
            if self.try_push(&entry) {
                continue;
            }
            self.held.push_front(entry);
            let queued = u32::try_from(self.uring.submission().len()).expect("the queue's size is a u32");
            if self.enter_kernel(queued).is_err() || self.uring.submission().is_full() {
                return;
            }
        }
    }

    fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the memory to which the entry points belongs to `self.memory` (or there is none) and is neither moved
        // nor freed before the completion is taken: sends keep their heap block, the count of wakes is boxed, buffers
        // are mapped.
        unsafe { self.uring.submission().push(entry) }.is_ok()
    }

    fn enter_kernel(&mut self, queued: u32) -> io::Result<()> {
        const GETEVENTS: u32 = 1;
        // SAFETY: does not wait and passes no argument; `queued` entries are in the queue.
        ignore_interruption(unsafe { self.uring.submitter().enter::<libc::sigset_t>(queued, 0, GETEVENTS, None) })
    }
}

/// What is not submitted because of an interruption, of completions that must be taken first, or of the end of a sleep, the
/// next turn submits.
fn ignore_interruption(entered: io::Result<usize>) -> io::Result<()> {
    match entered {
        Ok(_submitted) => Ok(()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ETIME)) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let is_quiet = self.in_flight == 0;
        // SAFETY: dropped here, once; neither is used afterwards. The ring is dropped first: then the kernel does not
        // use the memory any more, unless operations are still in flight; in that case their memory is leaked.
        unsafe {
            ManuallyDrop::drop(&mut self.uring);
            if is_quiet {
                ManuallyDrop::drop(&mut self.memory);
            }
        }
    }
}

fn build(entries: u32) -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_cqsize(4 * entries)
        .setup_clamp()
        .dontfork()
        .build(entries)
}

#[cfg(test)]
mod tests;
