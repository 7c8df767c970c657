//! Finds rows by random bits of their keys, with eight bytes for each row: the rows themselves decide whether they
//! match.
//!
//! Owned by the conversations. Invariant: an entry is in the part that its bits determine, so that the index grows in
//! parts (as `hash_table` does), and growing reads no row.

use crate::shard::table::hash_table::{PARTS, part_of};
use hashbrown::HashTable;

#[derive(Clone, Copy, Debug)]
struct IndexEntry {
    tag: u32,
    row: u32,
}

impl IndexEntry {
    /// The table inside a part uses the lowest bits and compares the highest; with fewer than 2^25 entries these do not
    /// overlap.
    fn hash(tag: u32) -> u64 {
        u64::from(tag) << 32 | u64::from(tag)
    }
}

#[derive(Debug)]
pub(in crate::shard) struct Index {
    parts: Box<[HashTable<IndexEntry>]>,
}

impl Default for Index {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| HashTable::new()).collect() }
    }
}

impl Index {
    /// The row for which `is_meant` holds, among those whose keys may have these bits.
    #[inline]
    pub fn find(&self, bits: u64, is_meant: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = bits as u32;
        let is_it = |entry: &IndexEntry| entry.tag == tag && is_meant(entry.row);
        self.parts[part_of(bits >> 40)].find(IndexEntry::hash(tag), is_it).map(|entry| entry.row)
    }

    /// Adds a row that is not in the index.
    pub fn insert(&mut self, bits: u64, row: u32) {
        let tag = bits as u32;
        self.parts[part_of(bits >> 40)]
            .insert_unique(IndexEntry::hash(tag), IndexEntry { tag, row }, |it| IndexEntry::hash(it.tag));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_the_same_bits_are_told_apart_by_themselves() {
        assert_eq!(size_of::<IndexEntry>(), 8);
        let mut index = Index::default();
        let bits = |row: u32| u64::from(row / 3).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..30_000).for_each(|row| index.insert(bits(row), row));
        assert!((0..30_000).all(|row| index.find(bits(row), |found| found == row) == Some(row)));
        assert_eq!(index.find(bits(1), |found| found > 2), None);
    }
}
