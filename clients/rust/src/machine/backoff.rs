//! Pauses that grow, with jitter, so that clients that lost the same server do not come back together.

/// One source of chance: the same numbers for the same seed (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`; 0 for 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).checked_rem(bound).unwrap_or(0)
    }
}

pub struct Backoff {
    first_ms: u64,
    max_ms: u64,
    failures: u32,
}

impl Backoff {
    pub fn new(first_ms: u64, max_ms: u64) -> Self {
        Self { first_ms, max_ms, failures: 0 }
    }

    /// The next pause: between half of the current bound and all of it, and at least `least_ms`.
    pub fn next(&mut self, least_ms: u64, chance: &mut Chance) -> u64 {
        let bound = self.first_ms.saturating_mul(1 << self.failures.min(20)).min(self.max_ms);
        self.failures += 1;
        least_ms.max(bound / 2 + chance.below(bound / 2 + 1))
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}
