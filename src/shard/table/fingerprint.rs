//! Fingerprints: 128-bit hashes of long keys, so that a table's row is small and of fixed size whatever clients put
//! into the key.
//!
//! Two different keys share a fingerprint with a probability of about 2^-58; the seed is a secret of the data
//! directory, so nobody can search for such a pair, and checkpoints can contain fingerprints.

use crate::log::record::bytes::{Put, Reader};
use crate::model::{ClientMessageId, Conversation, ShardId, Slot, UserId};
use crate::shard::table::placement::{Placement, SLOTS};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// The lowest ten bits are the slot of the key, so that a reshard can divide fingerprints without their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint([u64; 2]);

const SLOT_BITS: u64 = SLOTS as u64 - 1;

/// Two ids as short as most are, and the byte between them.
const SHORT_BYTES_MAX: usize = 64;

impl std::hash::Hash for Fingerprint {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.random_bits());
    }
}

impl Fingerprint {
    pub(in crate::shard) fn of_digest(slot: Slot, digest: u128) -> Self {
        Self([digest as u64 & !SLOT_BITS | u64::from(slot.0), (digest >> 64) as u64])
    }

    /// Uniformly distributed bits.
    pub fn random_bits(self) -> u64 {
        self.0[1]
    }

    pub fn slot(self) -> Slot {
        Slot((self.0[0] & SLOT_BITS) as u16)
    }

    /// The two halves, for a record.
    pub fn halves(self) -> [u64; 2] {
        self.0
    }

    pub fn of_halves(halves: [u64; 2]) -> Self {
        Self(halves)
    }

    pub fn put(self, out: &mut Vec<u8>) {
        self.0.into_iter().for_each(|half| out.put_u64(half));
    }

    pub(in crate::shard) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self([reader.u64()?, reader.u64()?]))
    }
}

/// Makes fingerprints. Those of different seeds cannot be compared.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct Fingerprints {
    seed: u64,
}

impl Fingerprints {
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    pub fn seed(self) -> u64 {
        self.seed
    }

    /// A reader in a conversation: the key of the receipts that were sent for it.
    pub fn of_reader(self, conversation: &Conversation, reader: &UserId) -> Fingerprint {
        self.of_two(self.of_conversation(conversation), reader.as_str())
    }

    /// A client message id of an author: the key of the dedupe.
    pub fn of_client_message(self, author: &UserId, id: &ClientMessageId) -> Fingerprint {
        self.of_client_message_in(Placement::slot(author), author, id)
    }

    /// The same, if the author's slot is known.
    pub fn of_client_message_in(self, slot: Slot, author: &UserId, id: &ClientMessageId) -> Fingerprint {
        self.of_parts(slot, author.as_str(), id.as_str())
    }

    pub fn of_conversation(self, conversation: &Conversation) -> Fingerprint {
        self.of_conversation_in(Placement::slot_of_conversation(conversation), conversation)
    }

    /// The same for a conversation of `user`, whose slot is known.
    pub fn of_conversation_of(self, user: &UserId, slot: Slot, conversation: &Conversation) -> Fingerprint {
        match conversation {
            Conversation::Pair(smaller, _) if smaller == user => self.of_conversation_in(slot, conversation),
            _ => self.of_conversation(conversation),
        }
    }

    fn of_conversation_in(self, slot: Slot, conversation: &Conversation) -> Fingerprint {
        match conversation {
            Conversation::Pair(a, b) => self.of_parts(slot, a.as_str(), b.as_str()),
            Conversation::Group(id) => self.of_parts(slot, "", id.as_str()),
        }
    }

    /// A unique key for a pending request.
    pub fn of_request(self, by: &UserId, number: u64) -> Fingerprint {
        self.of_parts(Placement::slot(by), by.as_str(), &compact_str::format_compact!("\u{2}{number}"))
    }

    /// A part of another key, by its text.
    pub fn of_two(self, whole: Fingerprint, part: &str) -> Fingerprint {
        let [first, second] = whole.halves().map(u64::to_le_bytes);
        let digest = xxh3_128_with_seed(&[&first, &second, part.as_bytes()].concat(), self.seed);
        Fingerprint::of_digest(whole.slot(), digest)
    }

    /// Ids contain no control characters, so a zero byte between two of them cannot be part of either.
    fn of_parts(self, slot: Slot, first: &str, second: &str) -> Fingerprint {
        let digest = match first.len() + 1 + second.len() {
            // Most ids are short. A small buffer is cleared by a few stores.
            ..=SHORT_BYTES_MAX => self.digest_in([0; SHORT_BYTES_MAX], first, second),
            _ => self.digest_in([0; UserId::BYTES_MAX + 1 + ClientMessageId::BYTES_MAX], first, second),
        };
        Fingerprint::of_digest(slot, digest)
    }

    /// The digest of two texts with a zero byte between them, put together in `bytes`, which are zeros.
    #[inline]
    fn digest_in<const N: usize>(self, mut bytes: [u8; N], first: &str, second: &str) -> u128 {
        let length = first.len() + 1 + second.len();
        bytes[..first.len()].copy_from_slice(first.as_bytes());
        bytes[first.len() + 1..length].copy_from_slice(second.as_bytes());
        xxh3_128_with_seed(&bytes[..length], self.seed)
    }
}

impl Placement {
    /// The shard that owns the conversation with this fingerprint.
    pub(in crate::shard) fn owner_of_key(self, conversation: Fingerprint) -> ShardId {
        self.owner_of_slot(conversation.slot())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_between_two_parts_counts() {
        let fingerprints = Fingerprints::new(1);
        assert_ne!(fingerprints.of_parts(Slot(1), "ab", "c"), fingerprints.of_parts(Slot(1), "a", "bc"));
        let same = |slot| fingerprints.of_parts(slot, "a", "b");
        assert_ne!(same(Slot(1)), same(Slot(2)));
        assert_ne!(fingerprints.of_parts(Slot(1), "a", "b"), Fingerprints::new(2).of_parts(Slot(1), "a", "b"));
    }
}
