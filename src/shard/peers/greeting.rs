//! What shards tell each other at a start, and what they send again after it.

use crate::model::Position;

/// What a shard says first after a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Greeting {
    pub taken: u64,
    pub newest: u64,
}

/// A delivery that the other shard may not have yet: its number, and the record that owes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Unconfirmed {
    pub number: u64,
    pub record: Position,
    /// Of its message; 0 where a checkpoint has it, which does not say.
    pub bytes: u32,
}

/// What is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Resent {
    Delivery(Unconfirmed),
    /// Up to this number there is nothing that could be sent.
    Forgone(u64),
}
