//! Digests of records: two directories with equal contents have equal digests.

use crate::model::ShardId;

/// A count and a sum over records: equal for two directories with equal contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// The number of records.
    pub count: u64,
    sum: u64,
}

impl Digest {
    pub(in crate::shard) fn add(&mut self, shard: ShardId, kind: u8, bytes: &[u8]) {
        let seed = u64::from(shard.0) << 8 | u64::from(kind);
        self.count += 1;
        self.sum = self.sum.wrapping_add(xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed));
    }

    /// Adds another digest.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}
