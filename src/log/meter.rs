//! Counters of the work of reading and appending. They let a shard bound a turn by the work done instead of the work
//! requested.

use std::cell::Cell;

/// Counts records and their bytes. Views of the journal count here too.
#[derive(Debug, Default)]
pub struct Meter {
    records: Cell<u32>,
    bytes: Cell<u32>,
}

impl Meter {
    /// Counts one record that was read or appended.
    #[inline]
    pub(super) fn count_record(&self) {
        self.records.set(self.records.get().saturating_add(1));
    }

    /// Counts bytes that were checked, copied or written.
    #[inline]
    pub(super) fn count_bytes(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX)));
    }

    /// Records and bytes since the last `reset`.
    pub fn read(&self) -> (u32, u32) {
        (self.records.get(), self.bytes.get())
    }

    /// Sets both counters to 0.
    pub fn reset(&self) {
        self.records.set(0);
        self.bytes.set(0);
    }
}
