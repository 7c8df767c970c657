//! What shards tell each other at a start, and send again after it.

use crate::shard::peers::outbound::Unconfirmed;

/// What a shard says first after a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Greeting {
    pub taken: u64,
    pub newest: u64,
}

/// What is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Resent {
    Delivery(Unconfirmed),
    /// Up to this number there is nothing that could be sent.
    Forgone(u64),
}
