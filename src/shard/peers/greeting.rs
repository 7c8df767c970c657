//! The first message between two shards after a start, and the deliveries that are sent again.

use crate::model::Position;

/// A shard's view of the deliveries between it and another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Greeting {
    pub taken: u64,
    pub newest: u64,
}

/// A delivery that the other shard may lack: its number, and the position of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Unconfirmed {
    pub number: u64,
    pub record: Position,
    /// Bytes of the message; 0 where a checkpoint, which does not record them, has the delivery.
    pub bytes: u32,
}

/// A delivery that is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Resent {
    Delivery(Unconfirmed),
    /// Up to this number nothing remains that could be sent.
    Forgone(u64),
}
