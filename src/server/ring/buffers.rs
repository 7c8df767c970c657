//! The ring of provided buffers: the kernel picks one for each chunk that it receives, so an idle connection holds
//! none.
//!
//! Owned by one `Ring`. Invariant: a buffer is either the kernel's (listed in the ring) or ours (there is one
//! `ReceivedBuffer` for it), never both.

use crate::server::HugePages;
use io_uring::{IoUring, types::BufRingEntry};
use memmap2::{Advice, MmapMut};
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

pub const GROUP: u16 = 1;

/// A buffer that the kernel has filled. It must be given back; otherwise it is lost until the end.
#[derive(Debug)]
#[must_use]
pub struct ReceivedBuffer {
    id: u16,
    bytes: usize,
}

pub struct Buffers {
    /// `count` entries in the kernel's layout, which the kernel reads.
    entries: MmapMut,
    /// `count` buffers of `buffer_bytes` each; the kernel writes into those that it owns.
    memory: MmapMut,
    count: u16,
    buffer_bytes: u32,
    tail: u16,
}

impl Buffers {
    /// Registers the buffers. `count` must be a power of two.
    pub fn register(uring: &IoUring, count: u16, buffer_bytes: u32, huge_pages: HugePages) -> io::Result<Self> {
        assert!(count.is_power_of_two(), "the kernel masks indices");
        let entries = MmapMut::map_anon(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = MmapMut::map_anon(usize::from(count) * buffer_bytes as usize)?;
        if huge_pages == HugePages::Advise {
            // Huge pages are only an optimisation: an error is ignored.
            let _ = memory.advise(Advice::HugePage);
        }
        // SAFETY: the entries are page-aligned (a mapping of their own), large enough for `count`, and outlive the
        // registration: `Ring` drops its io_uring first, and leaks the buffers if operations may still be in flight.
        unsafe {
            uring.submitter().register_buf_ring_with_flags(entries.as_ptr() as u64, count, GROUP, 0)?;
        }
        let mut buffers = Self { entries, memory, count, buffer_bytes, tail: 0 };
        (0..count).for_each(|id| buffers.list(id));
        Ok(buffers)
    }

    /// The buffer that a completion names, with `bytes` of it filled.
    pub fn take(&self, id: u16, bytes: usize) -> ReceivedBuffer {
        self.expect_listed(id, bytes);
        ReceivedBuffer { id, bytes }
    }

    fn expect_listed(&self, id: u16, bytes: usize) {
        assert!(
            id < self.count && bytes <= self.buffer_bytes as usize,
            "the kernel fills only buffers that are listed"
        );
    }

    pub fn bytes_mut(&mut self, buffer: &ReceivedBuffer) -> &mut [u8] {
        self.expect_listed(buffer.id, buffer.bytes);
        let start = usize::from(buffer.id) * self.buffer_bytes as usize;
        // SAFETY: the range lies in the mapping, which has `count` buffers of `buffer_bytes` (checked here), and while
        // a `ReceivedBuffer` exists the kernel does not touch its bytes. The borrow of `self` prevents the buffer from
        // being given back. `entries` is another mapping, and no other slice of `memory` exists.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().add(start), buffer.bytes) }
    }

    pub fn give_back(&mut self, buffer: ReceivedBuffer) {
        self.expect_listed(buffer.id, buffer.bytes);
        self.list(buffer.id);
    }

    fn list(&mut self, id: u16) {
        let address = self.memory.as_ptr() as u64 + u64::from(id) * u64::from(self.buffer_bytes);
        let slot = usize::from(self.tail & (self.count - 1));
        let base = self.entries.as_mut_ptr().cast::<BufRingEntry>();
        // SAFETY: `slot` < `count`, so the entry lies in the mapping; the kernel reads the entry only once the tail
        // covers it, and the store below releases it. The tail shares the first entry's spare field, which no setter
        // touches.
        unsafe {
            let entry = &mut *base.add(slot);
            entry.set_addr(address);
            entry.set_len(self.buffer_bytes);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            (*BufRingEntry::tail(base).cast::<AtomicU16>()).store(self.tail, Ordering::Release);
        }
    }
}
