//! Copies of blocks of cold segments, so that a turn can read history that is in the page cache without touching a map:
//! a page that the kernel evicts at that moment would stop the core until the disk has answered.
//!
//! Owned by one shard. Invariants: the number of blocks is fixed, however long the log; a block that was returned does
//! not change until the next turn begins; cold segments do not change, so a block is never stale.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::cell::{Cell, OnceCell, RefCell};

pub const BLOCK_BYTES: usize = 16 << 10;
/// 32 MiB once that many different blocks have been read: several concurrent readers each need the blocks that one page
/// of history spans.
const BLOCKS: usize = 2_048;
/// Blocks read in one turn, at one to two microseconds each.
pub const LOADS_A_TURN_MAX: usize = 512;

/// Where a block begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockName {
    pub segment: u32,
    pub offset: u32,
}

#[derive(Debug)]
struct Block {
    name: BlockName,
    bytes: Box<[u8]>,
    /// Bytes of the segment in this block; fewer than `BLOCK_BYTES` at the segment's end.
    length: usize,
}

#[derive(Debug)]
pub struct BlockCache {
    /// A ring buffer: a new block replaces the oldest one.
    blocks: Box<[OnceCell<Block>]>,
    places: RefCell<HashMap<BlockName, usize, FixedState>>,
    next: Cell<usize>,
    /// The number of empty places from `next` on.
    free: Cell<usize>,
    buffers: RefCell<Vec<Box<[u8]>>>,
}

impl BlockCache {
    pub fn new() -> Self {
        Self::with_blocks(BLOCKS)
    }

    fn with_blocks(blocks: usize) -> Self {
        Self {
            blocks: (0..blocks).map(|_| OnceCell::new()).collect(),
            places: RefCell::default(),
            next: Cell::new(0),
            free: Cell::new(blocks.min(LOADS_A_TURN_MAX)),
            buffers: RefCell::default(),
        }
    }

    /// No block of the last turn is referenced any more, so the oldest ones may be replaced in this turn.
    pub fn begin_turn(&mut self) {
        let loads_max = self.blocks.len().min(LOADS_A_TURN_MAX);
        let places = self.places.get_mut();
        for ahead in self.free.get()..loads_max {
            let place = (self.next.get() + ahead) % self.blocks.len();
            if let Some(block) = self.blocks[place].take() {
                places.remove(&block.name);
                self.buffers.get_mut().push(block.bytes);
            }
        }
        self.free.set(loads_max);
    }

    pub fn find(&self, name: BlockName) -> Option<&[u8]> {
        let place = *self.places.borrow().get(&name)?;
        let block = self.blocks[place].get().expect("a place that is listed is taken");
        Some(&block.bytes[..block.length])
    }

    /// Reads a block that is not in the cache. `fill` returns the number of bytes that it could read, or `None`. A turn
    /// that has already read `LOADS_A_TURN_MAX` blocks gets `None` without a call of `fill`.
    pub fn load(&self, name: BlockName, fill: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<&[u8]> {
        let free = self.free.get().checked_sub(1)?;
        let mut bytes = self.buffers.borrow_mut().pop().unwrap_or_else(|| vec![0; BLOCK_BYTES].into());
        let Some(length) = fill(&mut bytes) else {
            self.buffers.borrow_mut().push(bytes);
            return None;
        };
        let place = self.next.get();
        self.free.set(free);
        self.next.set((place + 1) % self.blocks.len());
        self.places.borrow_mut().insert(name, place);
        let block = self.blocks[place].get_or_init(|| Block { name, bytes, length });
        assert!(block.name == name, "a place that is counted as free is empty");
        Some(&block.bytes[..block.length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> BlockName {
        BlockName { segment: 1, offset: (number * BLOCK_BYTES) as u32 }
    }

    /// Reads a block that begins with its number.
    fn load(cache: &BlockCache, number: usize) -> Option<&[u8]> {
        cache.load(name(number), |bytes| {
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            Some(8)
        })
    }

    #[test]
    fn a_block_stays_through_its_turn_and_the_oldest_makes_room_in_a_later_one() {
        let mut cache = BlockCache::with_blocks(LOADS_A_TURN_MAX + 1);
        for number in 0..LOADS_A_TURN_MAX {
            assert_eq!(load(&cache, number), Some(&number.to_le_bytes()[..]));
        }
        assert_eq!(load(&cache, 1_000), None, "this turn has read enough");
        (0..LOADS_A_TURN_MAX).for_each(|number| assert_eq!(cache.find(name(number)), Some(&number.to_le_bytes()[..])));
        cache.begin_turn();
        assert_eq!(cache.find(name(LOADS_A_TURN_MAX - 1)), Some(&(LOADS_A_TURN_MAX - 1).to_le_bytes()[..]));
        assert_eq!(cache.find(name(LOADS_A_TURN_MAX - 2)), None, "room for a whole turn");
        assert_eq!(load(&cache, 1_000), Some(&1_000_usize.to_le_bytes()[..]));
        assert_eq!(cache.find(name(1_000)).map(<[u8]>::len), Some(8));
    }

    #[test]
    fn what_could_not_be_read_takes_no_place_and_is_tried_again() {
        let cache = BlockCache::with_blocks(2);
        assert_eq!(cache.load(name(1), |_bytes| None), None);
        assert_eq!(cache.find(name(1)), None);
        assert!(load(&cache, 1).is_some() && load(&cache, 2).is_some() && load(&cache, 3).is_none());
    }
}
