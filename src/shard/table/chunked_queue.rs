//! A queue that grows in chunks: however long it is, no insertion moves what is in it.
//!
//! Invariants: the first chunk is empty only if the queue is; all later chunks but the last are full.

use std::collections::VecDeque;

/// Items of one chunk.
const CHUNK_ITEMS: usize = 1_024;

#[derive(Debug)]
pub(in crate::shard) struct ChunkedQueue<T> {
    /// The only chunk, as long as the queue is short.
    first: VecDeque<T>,
    later: VecDeque<VecDeque<T>>,
}

impl<T> Default for ChunkedQueue<T> {
    fn default() -> Self {
        Self { first: VecDeque::new(), later: VecDeque::new() }
    }
}

impl<T> ChunkedQueue<T> {
    #[inline]
    pub fn push_back(&mut self, item: T) {
        // The rare parts do not take the item along: it would be copied for them each time.
        if self.last().len() >= CHUNK_ITEMS {
            self.begin_chunk();
        }
        self.later.back_mut().unwrap_or(&mut self.first).push_back(item);
    }

    #[inline]
    pub fn pop_front(&mut self) -> Option<T> {
        let item = self.first.pop_front();
        if self.first.is_empty() && !self.later.is_empty() {
            self.end_chunk();
        }
        item
    }

    #[cold]
    fn begin_chunk(&mut self) {
        self.later.push_back(VecDeque::with_capacity(CHUNK_ITEMS));
    }

    #[cold]
    fn end_chunk(&mut self) {
        self.first = self.later.pop_front().unwrap_or_default();
    }

    #[inline]
    fn last(&self) -> &VecDeque<T> {
        self.later.back().unwrap_or(&self.first)
    }

    #[inline]
    pub fn front(&self) -> Option<&T> {
        self.first.front()
    }

    #[inline]
    pub fn back(&self) -> Option<&T> {
        self.last().back()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    pub fn len(&self) -> usize {
        let full = self.later.len().saturating_sub(1) * CHUNK_ITEMS;
        self.first.len() + full + self.later.back().map_or(0, VecDeque::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_out_in_their_order_however_many_there_are() {
        let (mut queue, mut expected) = (ChunkedQueue::default(), VecDeque::new());
        for round in 0..6 * CHUNK_ITEMS {
            // Longer for a while, then shorter.
            let (pushed, popped) = if round < 3 * CHUNK_ITEMS { (3, 1) } else { (1, 4) };
            for item in 0..pushed {
                queue.push_back((round, item));
                expected.push_back((round, item));
            }
            for _item in 0..popped {
                assert_eq!(queue.pop_front(), expected.pop_front());
            }
            assert_eq!((queue.front(), queue.back()), (expected.front(), expected.back()));
            assert_eq!((queue.len(), queue.is_empty()), (expected.len(), expected.is_empty()));
        }
        assert!(queue.is_empty() && queue.later.is_empty());
    }

    #[test]
    fn an_insertion_moves_no_more_than_a_chunk() {
        let mut queue = ChunkedQueue::default();
        (0..10 * CHUNK_ITEMS).for_each(|item| queue.push_back(item));
        assert!(queue.first.len() <= CHUNK_ITEMS && queue.later.iter().all(|chunk| chunk.len() <= CHUNK_ITEMS));
    }
}
