//! What a log remembers, and its bytes.

use crate::model::{DeviceKey, Message, Millis, Position, Seq, ShardId};
use smallvec::SmallVec;
use std::sync::Arc;

/// Whose inbox a link belongs to. A message to oneself has one link, the author's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Author,
    Peer,
}

/// One inbox's place in a record: its seq, and where to go from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub side: Side,
    pub seq: Seq,
    /// The record of `seq - 1`.
    pub previous: Position,
    /// A record much further back (see `index`).
    pub skip: Position,
}

pub type Links = SmallVec<[Link; 2]>;

/// A message owed to another shard: the `number`-th that this shard sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub target: ShardId,
    pub number: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A process took this log over.
    Start { epoch: u64, time: Millis },
    /// Everything before `durable` was on stable storage when this was written.
    Mark { durable: Position },
    /// A conversation of this shard took a message: the commit point.
    Posted { message: Arc<Message>, deliveries: SmallVec<[Delivery; 2]>, links: Links },
    /// The `number`-th delivery of shard `source`, taken into inboxes of this shard.
    Delivered { source: ShardId, number: u64, message: Arc<Message>, links: Links },
    /// Shard `target` has all deliveries up to and including `through`.
    Confirmed { target: ShardId, through: u64 },
    /// A device's delivered position.
    Device { user: crate::model::UserId, device: DeviceKey, position: Seq },
}
