//! What the kit's tests share: chance, a server in memory, and a session under test; and a real server.

// Each test program uses its own part of this.
#![allow(dead_code)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test lives in the world")]

pub mod fake_server;
pub mod rig;
pub mod server;

/// One source of chance: the same numbers for the same seed (SplitMix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}
