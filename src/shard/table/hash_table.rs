//! A map from fingerprints that grows in parts: a table of millions of rows is never moved within one turn.
//!
//! Owned by dedupe, marks and audits. Invariant: a row is in the part that its fingerprint determines. The last part
//! takes twice the rows of the first: parts double one after another, and the empty share of the whole stays constant.

use crate::log::record::bytes::{Put, Reader};
use crate::shard::table::fingerprint::Fingerprint;
use hashbrown::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The rows of one part are moved together: with ten million rows, 40 thousand.
pub(in crate::shard) const PARTS: usize = 256;
const CELLS: usize = 4_096;
static PART_OF_CELL: [u8; CELLS] = parts_of_cells();

/// Assigns the cells to parts so that part `p` has about `PARTS + p` shares of them.
const fn parts_of_cells() -> [u8; CELLS] {
    let shares = PARTS * PARTS + PARTS * (PARTS - 1) / 2;
    let mut cells = [0; CELLS];
    let (mut cell, mut part, mut dealt) = (0, 0, PARTS);
    while cell < CELLS {
        while cell * shares >= dealt * CELLS {
            part += 1;
            dealt += PARTS + part;
        }
        cells[cell] = part as u8;
        cell += 1;
    }
    cells
}

/// The part for these random bits.
pub(in crate::shard) fn part_of(bits: u64) -> usize {
    usize::from(PART_OF_CELL[bits as usize % CELLS])
}

/// A hasher for keys that are keyed hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::shard) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {}

    fn write_u64(&mut self, half: u64) {
        self.0 = half;
    }
}

type Part<V> = HashMap<Fingerprint, V, BuildHasherDefault<AsItIs>>;

#[derive(Debug)]
pub(in crate::shard) struct Table<V> {
    parts: Box<[Part<V>]>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Part::default()).collect() }
    }
}

impl<V: Copy> Table<V> {
    #[inline]
    pub fn find(&self, key: Fingerprint) -> Option<V> {
        self.parts[part_of_key(key)].get(&key).copied()
    }

    pub fn rows(&self) -> impl Iterator<Item = (Fingerprint, V)> + '_ {
        self.parts.iter().flatten().map(|(key, value)| (*key, *value))
    }

    pub fn insert(&mut self, key: Fingerprint, value: V) {
        self.parts[part_of_key(key)].insert(key, value);
    }

    pub fn remove(&mut self, key: Fingerprint) {
        self.parts[part_of_key(key)].remove(&key);
    }

    pub fn clear(&mut self) {
        self.parts.iter_mut().for_each(HashMap::clear);
    }

    /// Frees the memory of at most `count` parts that have any. Returns whether there may be more.
    pub fn drop_some(&mut self, count: usize) -> bool {
        let full = self.parts.iter_mut().filter(|part| part.capacity() > 0);
        full.take(count).map(|part| *part = Part::default()).count() == count
    }

    pub fn len(&self) -> usize {
        self.parts.iter().map(HashMap::len).sum()
    }

    /// Visits no more parts than up to the first one with a row.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(HashMap::is_empty)
    }

    /// Writes the number of rows, then each: its fingerprint and what `put_value` writes.
    pub fn put(&self, out: &mut Vec<u8>, put_value: impl Fn(V, &mut Vec<u8>)) {
        out.put_u64(self.len() as u64);
        for (key, value) in self.parts.iter().flatten() {
            key.put(out);
            put_value(*value, out);
        }
    }

    pub fn read(reader: &mut Reader<'_>, read_value: impl Fn(&mut Reader<'_>) -> Option<V>) -> Option<Self> {
        let rows = usize::try_from(reader.u64()?).ok()?;
        let mut table = Self::default();
        // A row is at least as long as its fingerprint, so a wrong count cannot request more memory than the file's
        // length.
        let rows_likely = rows.min(reader.rest().len() / size_of::<Fingerprint>());
        for (number, part) in table.parts.iter_mut().enumerate() {
            part.reserve(rows_likely * (PARTS + number) / (PARTS * PARTS * 3 / 2));
        }
        for _row in 0..rows {
            let key = Fingerprint::read(reader)?;
            let value = read_value(reader)?;
            table.insert(key, value);
        }
        Some(table)
    }
}

/// Uses other bits than the table inside a part, which uses the lowest and the highest ones.
fn part_of_key(key: Fingerprint) -> usize {
    part_of(key.random_bits() >> 40)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClientMessageId, UserId};
    use crate::shard::table::fingerprint::Fingerprints;

    fn key(number: u64) -> Fingerprint {
        let author = UserId::new("alice").expect("well formed");
        Fingerprints::new(7)
            .of_client_message(&author, &ClientMessageId::new(&number.to_string()).expect("well formed"))
    }

    #[test]
    fn a_table_reads_back_as_written_and_spreads_over_its_parts() {
        let mut table = Table::default();
        (0..20_000_u64).for_each(|number| table.insert(key(number), number));
        table.remove(key(7));
        let lengths: Vec<usize> = table.parts.iter().map(HashMap::len).collect();
        let (first, last): (usize, usize) = (lengths[..64].iter().sum(), lengths[PARTS - 64..].iter().sum());
        assert!((1.5..1.8).contains(&(last as f64 / first as f64)), "{first} in the first quarter, {last} in the last");
        assert!(lengths.iter().all(|rows| (20..200).contains(rows)), "{lengths:?}");
        let mut bytes = Vec::new();
        table.put(&mut bytes, |value, out| out.put_u64(value));
        let mut reader = Reader::new(&bytes);
        let read = Table::read(&mut reader, |reader| reader.u64()).expect("as written");
        assert!(reader.is_at_end());
        assert_eq!((read.len(), read.find(key(7))), (19_999, None));
        assert!((8..20_000).all(|number| read.find(key(number)) == Some(number)));
    }

    #[test]
    fn a_count_that_is_too_large_is_refused_and_asks_for_no_memory() {
        let mut bytes = Vec::new();
        bytes.put_u64(u64::MAX);
        assert!(Table::read(&mut Reader::new(&bytes), |reader| reader.u64()).is_none());
    }
}
