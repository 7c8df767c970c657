//! Settings of the allocator and of huge pages, applied once before the first shard starts.
//!
//! mimalloc reads its options from the environment at its first allocation, before the configuration is read; it reads
//! the options that are set here each time.

use crate::server::config::options::{HugePages, Options};
use std::ffi::{c_int, c_long};
use std::sync::Arc;

// Links the C library with the functions below, whichever allocator this program uses.
use mimalloc as _;

/// The index of the option in mimalloc's list; a test checks its default.
const PURGE_DELAY: c_int = 15;

// SAFETY: as mimalloc.h declares it.
unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
    fn mi_collect(is_forced: bool);
}

/// Returns freed memory of this thread to the kernel: the allocator does that on its own only during allocations.
pub fn give_back() {
    // SAFETY: passes no pointer, and affects only free memory of the calling thread's heap.
    unsafe { mi_collect(true) };
}

pub fn prepare(options: &Options) {
    let purge_ms = c_long::try_from(options.allocator_purge_ms).unwrap_or(c_long::MAX);
    // SAFETY: stores a number atomically in a table that exists for as long as the process.
    unsafe { mi_option_set(PURGE_DELAY, purge_ms) };
    if options.huge_pages == HugePages::Never
        && let Err(error) = forgo_huge_pages()
    {
        tracing::warn!(%error, "huge pages stay as the host is configured");
    }
}

/// While a value exists, the kernel gives this process no new huge pages.
///
/// Memory that is registered with an io_uring counts as locked by its whole page: 64 KiB in a huge page count as 2 MiB.
pub struct SmallPages(());

impl SmallPages {
    /// `None` if nothing was changed.
    pub fn begin(options: &Options) -> Option<Arc<Self>> {
        let is_temporary = options.huge_pages != HugePages::Never && forgo_huge_pages().is_ok();
        is_temporary.then(|| Arc::new(Self(())))
    }
}

impl Drop for SmallPages {
    fn drop(&mut self) {
        // The flag could be set, so it can be cleared.
        let _ = set_forgone(0);
    }
}

fn forgo_huge_pages() -> std::io::Result<()> {
    set_forgone(1)
}

fn set_forgone(is_forgone: libc::c_ulong) -> std::io::Result<()> {
    const UNUSED: libc::c_ulong = 0;
    // SAFETY: sets a flag of this process; no pointer is passed.
    let refused = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, is_forgone, UNUSED, UNUSED, UNUSED) };
    if refused == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        fn mi_option_get(option: c_int) -> c_long;
    }

    #[test]
    fn the_allocator_is_told_how_long_to_keep_what_is_free() {
        // SAFETY: reads a number from a table that exists for as long as the process.
        let purge_ms = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(purge_ms(), 1_000, "mimalloc's default: this is the option that we mean");
        prepare(&Options { allocator_purge_ms: 77, ..Options::default() });
        assert_eq!(purge_ms(), 77);
        prepare(&Options::default());
        assert_eq!(purge_ms(), 1_000);
    }
}
