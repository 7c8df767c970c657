//! The cost of one input, counted where the work is done: a turn is bounded by this count, not by the size of the
//! request.
//!
//! Invariant: no input at default limits costs more than `Cost::BUDGET`; longer work continues in later turns. Tests
//! and the simulator check every input, and the metrics show the maximum since the start.

use crate::log::Meter;
use std::cell::Cell;

/// The work of one input, or the maximum of each part over many inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Records of the log that were read or appended.
    pub records: u32,
    /// Bytes of records that were checked, copied or written.
    pub bytes: u32,
    /// Rows in memory that were visited: seats of a group, watchers of a user, conversations of a list.
    pub rows: u32,
    /// Effects; each is encoded for a session or sent to a shard.
    pub effects: u32,
}

impl Cost {
    /// The most that an input may cost at default limits: any part of it takes less than a millisecond of one core, and
    /// `cargo bench --bench longest` shows that no input does.
    pub const BUDGET: Self = Self { records: 4_096, bytes: 3 << 20, rows: 12_288, effects: 2_560 };

    /// An input that has spent any part of this leaves deferrable work to a later turn or to the threads that fetch.
    /// The last step may exceed it by as much again. Rows do not count: walks over many rows have bounds of their own.
    pub const SHARE: Self = Self { records: 512, bytes: 1 << 20, rows: u32::MAX, effects: 1_024 };

    /// Whether no part exceeds `budget`.
    pub fn is_within(self, budget: Self) -> bool {
        self.records <= budget.records
            && self.bytes <= budget.bytes
            && self.rows <= budget.rows
            && self.effects <= budget.effects
    }

    /// The maximum of each part.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            records: self.records.max(other.records),
            bytes: self.bytes.max(other.bytes),
            rows: self.rows.max(other.rows),
            effects: self.effects.max(other.effects),
        }
    }
}

/// Counts the rows that an input visits. Shared, so that readers count too.
#[derive(Debug, Default)]
pub(in crate::shard) struct RowMeter(Cell<u32>);

impl RowMeter {
    #[inline]
    pub fn count(&self, rows: usize) {
        self.0.set(self.0.get().saturating_add(u32::try_from(rows).unwrap_or(u32::MAX)));
    }

    pub fn so_far(&self) -> u32 {
        self.0.get()
    }

    fn reset(&self) {
        self.0.set(0);
    }
}

/// Resets the counters before an input.
pub(in crate::shard) fn begin(rows: &RowMeter, log: &Meter) {
    rows.reset();
    log.reset();
}

/// The cost of the current input so far, effects excluded.
pub(in crate::shard) fn so_far(rows: &RowMeter, log: &Meter) -> Cost {
    let (records, bytes) = log.read();
    Cost { records, bytes, rows: rows.so_far(), effects: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_over_its_budget_is_over_the_budget() {
        let budget = Cost { records: 1, bytes: 10, rows: 2, effects: 3 };
        assert!(budget.is_within(budget));
        for dear in [
            Cost { records: 2, ..budget },
            Cost { bytes: 11, ..budget },
            Cost { rows: 3, ..budget },
            Cost { effects: 4, ..budget },
        ] {
            assert!(!dear.is_within(budget));
            assert_eq!(dear.max(budget), dear);
        }
    }

    #[test]
    fn a_count_stops_at_its_largest_number() {
        let rows = RowMeter::default();
        rows.count(usize::MAX);
        rows.count(1);
        assert_eq!(rows.so_far(), u32::MAX);
    }
}
