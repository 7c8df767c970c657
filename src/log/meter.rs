//! What reading and appending has cost since somebody last asked: so that a turn's work can be bounded by what it did,
//! and not by what it was asked for.

use std::cell::Cell;

/// One count of records and of the bytes that they hold. Views of the journal count in it too.
#[derive(Debug, Default)]
pub struct Meter {
    records: Cell<u32>,
    bytes: Cell<u32>,
}

impl Meter {
    /// One record was looked at or appended.
    #[inline]
    pub(super) fn count_record(&self) {
        self.records.set(self.records.get().saturating_add(1));
    }

    /// So many of its bytes were checked, copied or written.
    #[inline]
    pub(super) fn count_bytes(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX)));
    }

    /// Records and bytes since the last `reset`.
    pub fn read(&self) -> (u32, u32) {
        (self.records.get(), self.bytes.get())
    }

    pub fn reset(&self) {
        self.records.set(0);
        self.bytes.set(0);
    }
}
