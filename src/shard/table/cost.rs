//! What one input costs a shard, counted where the work is done: the bound of a turn is on this, and not on what was asked.
//!
//! Invariant: no input at default limits costs more than `Cost::BUDGET`; what would, goes on from turn to turn. Tests and
//! the simulator hold every input against it, and the metrics show the dearest since the start.

use crate::log::Meter;
use std::cell::Cell;

/// The work of one input, or, field by field, of the dearest inputs so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Records of the log looked at or appended.
    pub records: u32,
    /// Bytes of them that were checked, copied or written.
    pub bytes: u32,
    /// Rows in memory visited one after another: seats of a group, watchers of a user, conversations of a list.
    pub rows: u32,
    /// Effects asked for; each is encoded for a session or sent to a shard.
    pub effects: u32,
}

impl Cost {
    /// About a millisecond of one core.
    pub const BUDGET: Self = Self { records: 8_192, bytes: 4 << 20, rows: 16_384, effects: 4_096 };

    /// Whether every part is within `budget`.
    pub fn is_within(self, budget: Self) -> bool {
        self.records <= budget.records
            && self.bytes <= budget.bytes
            && self.rows <= budget.rows
            && self.effects <= budget.effects
    }

    /// Each part as it is where it is larger.
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

/// Counts the rows that an input visits; what only reads counts too.
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

/// An input begins.
pub(in crate::shard) fn begin(rows: &RowMeter, log: &Meter) {
    rows.reset();
    log.reset();
}

/// What it has cost so far, but for its effects.
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
