//! Marks whose records are not acknowledged yet, so that a crash could undo them.
//!
//! Invariants: records come in the order of the log; what is acknowledged is removed in parts, and no insertion leaves
//! more of it behind.

use crate::model::Position;
use std::collections::BTreeMap;

/// The most marks that one acknowledgement removes.
const REMOVED_MAX: usize = 512;

#[derive(Debug)]
pub(in crate::shard) struct FreshMarks<K> {
    records: BTreeMap<K, Position>,
    marks: BTreeMap<Position, K>,
    acknowledged: Position,
}

impl<K> Default for FreshMarks<K> {
    fn default() -> Self {
        Self { records: BTreeMap::new(), marks: BTreeMap::new(), acknowledged: Position::NONE }
    }
}

impl<K: Ord + Clone> FreshMarks<K> {
    /// The record sets the mark.
    pub fn insert(&mut self, mark: K, record: Position) {
        self.remove_acknowledged(2);
        self.marks.insert(record, mark.clone());
        self.records.insert(mark, record);
    }

    /// Marks of records before `end` may be shown.
    #[inline]
    pub fn acknowledged(&mut self, end: Position) {
        self.acknowledged = self.acknowledged.max(end);
        if !self.marks.is_empty() {
            self.remove_acknowledged(REMOVED_MAX);
        }
    }

    pub fn contains(&self, mark: &K) -> bool {
        self.records.get(mark).is_some_and(|record| *record >= self.acknowledged)
    }

    /// The newest record that is not acknowledged, or none.
    pub fn newest_record(&self) -> Position {
        let newest = self.marks.keys().next_back().filter(|record| **record >= self.acknowledged);
        newest.copied().unwrap_or(Position::NONE)
    }

    fn remove_acknowledged(&mut self, count: usize) {
        for _mark in 0..count {
            let Some(oldest) = self.marks.first_entry().filter(|oldest| *oldest.key() < self.acknowledged) else {
                return;
            };
            let (record, mark) = oldest.remove_entry();
            // A later record may have set the mark again.
            if self.records.get(&mark) == Some(&record) {
                self.records.remove(&mark);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u32) -> Position {
        Position::new(1, 64 + 8 * number)
    }

    #[test]
    fn a_mark_is_fresh_until_its_record_is_acknowledged_however_many_are_to_be_removed() {
        let mut fresh = FreshMarks::default();
        let many = 3 * REMOVED_MAX as u32;
        (0..many).for_each(|mark| fresh.insert(mark, record(mark)));
        assert_eq!(fresh.newest_record(), record(many - 1));
        fresh.acknowledged(record(many - 1));
        let known: Vec<u32> = (0..many).filter(|mark| fresh.contains(mark)).collect();
        assert_eq!(known, [many - 1]);
        assert!(fresh.marks.len() > REMOVED_MAX, "an acknowledgement removes a part");
        fresh.acknowledged(record(many));
        assert_eq!(fresh.newest_record(), Position::NONE);
        (many..2 * many).for_each(|mark| {
            fresh.insert(mark, record(mark));
            fresh.acknowledged = record(mark + 1);
        });
        assert!(fresh.marks.len() <= 2 && fresh.records.len() <= 2, "insertions remove what is acknowledged");
    }

    #[test]
    fn a_mark_that_is_set_again_is_as_fresh_as_its_newest_record() {
        let mut fresh = FreshMarks::default();
        fresh.insert("a", record(1));
        fresh.insert("a", record(3));
        fresh.acknowledged(record(2));
        assert!(fresh.contains(&"a"));
        fresh.acknowledged(record(4));
        assert!(!fresh.contains(&"a") && fresh.records.is_empty());
    }
}
