//! 128-bit names of long keys, so that a table's row is small and of one size whatever strangers put into the key.
//!
//! Two different keys share a name once in 2^64 or so; the seed is the edge's, so nobody can look for such a pair.

use crate::model::{ClientMessageId, Conversation, UserId};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128_with_seed;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u64; 2]);

/// Makes fingerprints; those of different seeds do not compare.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fingerprints {
    seed: u64,
}

impl Fingerprints {
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// An author's own id of a message: the key of the dedupe.
    pub fn of_client_message(self, author: &UserId, id: &ClientMessageId) -> Fingerprint {
        self.of_parts(author.as_str(), id.as_str())
    }

    pub fn of_conversation(self, conversation: &Conversation) -> Fingerprint {
        match conversation {
            Conversation::Pair(a, b) => self.of_parts(a.as_str(), b.as_str()),
            Conversation::Group(id) => self.of_parts("", id.as_str()),
        }
    }

    /// Ids hold no control characters, so a zero byte between two of them cannot be part of either.
    fn of_parts(self, first: &str, second: &str) -> Fingerprint {
        // Long enough for any two ids.
        let mut bytes: SmallVec<[u8; UserId::BYTES_MAX + ClientMessageId::BYTES_MAX + 1]> = SmallVec::new();
        bytes.extend_from_slice(first.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(second.as_bytes());
        let digest = xxh3_128_with_seed(&bytes, self.seed);
        Fingerprint([digest as u64, (digest >> 64) as u64])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_between_two_parts_counts() {
        let fingerprints = Fingerprints::new(1);
        assert_ne!(fingerprints.of_parts("ab", "c"), fingerprints.of_parts("a", "bc"));
        assert_ne!(fingerprints.of_parts("a", "b"), Fingerprints::new(2).of_parts("a", "b"));
    }
}
