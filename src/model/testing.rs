//! What unit tests of every floor share: ids from text, and one source of random numbers.

use super::{GroupId, UserId};

/// A user id that the test spells itself.
pub(crate) fn user(id: &str) -> UserId {
    UserId::new(id).expect("a well-formed user id")
}

/// A group id that the test spells itself.
pub(crate) fn group(id: &str) -> GroupId {
    GroupId::new(id).expect("a well-formed group id")
}

/// SplitMix64: the same numbers for the same seed, on every machine.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `bound - 1`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in `count` calls on average.
    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}
