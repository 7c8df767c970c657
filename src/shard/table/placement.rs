//! The mapping of users to shards: a user id is hashed into one of 1,024 slots, and a shard owns a range of slots.

use crate::model::{Conversation, ShardId, Slot, UserId};
use xxhash_rust::xxh3::xxh3_64;

/// The number of slots. A constant of the data directory's format.
pub const SLOTS: u16 = 1_024;

/// The division of the slots among a data directory's shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    shards: u16,
}

impl Placement {
    /// The division among `shards` shards.
    ///
    /// # Panics
    ///
    /// `shards` is not 1 to `SLOTS`.
    pub fn new(shards: u16) -> Self {
        assert!((1..=SLOTS).contains(&shards), "a data directory has 1 to {SLOTS} shards");
        Self { shards }
    }

    /// The number of shards.
    pub fn shards(self) -> u16 {
        self.shards
    }

    /// Every shard, ascending.
    pub fn all(self) -> impl Iterator<Item = ShardId> {
        (0..self.shards).map(ShardId)
    }

    /// The slot of a user.
    pub fn slot(user: &UserId) -> Slot {
        Slot::of_hash(xxh3_64(user.as_str().as_bytes()))
    }

    /// The shard that owns a slot.
    pub fn owner_of_slot(self, slot: Slot) -> ShardId {
        let shard = u32::from(slot.0) * u32::from(self.shards) / u32::from(SLOTS);
        ShardId(u16::try_from(shard).expect("slot < SLOTS, so the shard is below the count"))
    }

    /// The shard that owns a user.
    pub fn owner_of(self, user: &UserId) -> ShardId {
        self.owner_of_slot(Self::slot(user))
    }

    /// The shard that owns a conversation. A pair belongs to the shard of its smaller id, so half of all sends need no
    /// other shard.
    pub fn owner_of_conversation(self, conversation: &Conversation) -> ShardId {
        self.owner_of_slot(Self::slot_of_conversation(conversation))
    }

    /// The slot that determines a conversation's owner.
    pub fn slot_of_conversation(conversation: &Conversation) -> Slot {
        match conversation {
            Conversation::Pair(smaller, _) => Self::slot(smaller),
            Conversation::Group(id) => Slot::of_hash(xxh3_64(id.as_str().as_bytes())),
        }
    }
}

impl Slot {
    fn of_hash(hash: u64) -> Self {
        Self(u16::try_from(hash % u64::from(SLOTS)).expect("SLOTS fits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_one_owner_and_every_shard_an_even_range() {
        for shards in [1, 2, 3, 7, 64, SLOTS] {
            let placement = Placement::new(shards);
            let mut owned = vec![0_u32; usize::from(shards)];
            let mut last = ShardId(0);
            for slot in 0..SLOTS {
                let owner = placement.owner_of_slot(Slot(slot));
                assert!(owner >= last, "ranges are contiguous");
                owned[usize::from(owner.0)] += 1;
                last = owner;
            }
            let (least, most) = (owned.iter().min().expect("some"), owned.iter().max().expect("some"));
            assert!(most - least <= 1, "{shards} shards own {least} to {most} slots");
        }
    }

    #[test]
    fn the_hash_of_a_user_is_part_of_the_format_and_never_changes() {
        let slots = ["alice", "bob", "小明"].map(|id| Placement::slot(&UserId::new(id).expect("well formed")).0);
        assert_eq!(slots, [688, 229, 102]);
    }
}
