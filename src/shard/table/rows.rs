//! Rows that do not move: memory is allocated in chunks, so that no turn copies millions of rows.

use std::num::NonZeroU32;

/// The most bytes of a chunk.
const CHUNK_BYTES: usize = 256 << 10;

/// The index of an optional row: with a NonZeroU32, `Option<RowIndex>` is not larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct RowIndex(NonZeroU32);

impl RowIndex {
    pub fn of(number: u32) -> Self {
        Self(NonZeroU32::MIN.checked_add(number).expect("rows are fewer than their numbers"))
    }

    pub fn number(self) -> u32 {
        self.0.get() - 1
    }
}

/// Rows by number; a row's number never changes.
#[derive(Debug)]
pub(in crate::shard) struct Rows<T> {
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Rows<T> {
    /// A power of two, so that a number is split by a shift.
    const CHUNK_ROWS: usize = 1 << (CHUNK_BYTES / size_of::<T>()).ilog2();

    pub fn at(&self, number: u32) -> &T {
        &self.chunks[number as usize / Self::CHUNK_ROWS][number as usize % Self::CHUNK_ROWS]
    }

    pub fn at_mut(&mut self, number: u32) -> &mut T {
        &mut self.chunks[number as usize / Self::CHUNK_ROWS][number as usize % Self::CHUNK_ROWS]
    }

    pub fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * Self::CHUNK_ROWS;
        full + self.chunks.last().map_or(0, Vec::len)
    }

    pub fn push(&mut self, row: T) -> u32 {
        let number = u32::try_from(self.len()).expect("a shard has fewer rows than a number of 32 bits counts");
        if self.chunks.last().is_none_or(|chunk| chunk.len() == Self::CHUNK_ROWS) {
            self.chunks.push(Vec::with_capacity(Self::CHUNK_ROWS));
        }
        self.chunks.last_mut().expect("pushed above").push(row);
        number
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}
