//! What a log remembers.

use super::{body, envelope};
use crate::model::{ConversationSeq, DeviceKey, Entry, Message, MessageId, Millis, Position, Seq, ShardId, UserId};
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

/// At most one link of each side; the author's comes first.
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
    Device { user: UserId, device: DeviceKey, position: Seq },
    /// A message in inboxes of this shard, as a rewriting of the whole directory found it.
    Carried { message: Arc<Message>, links: Links },
    /// This inbox has got to `seq`; of what is missing up to there nothing comes any more.
    Inbox { user: UserId, seq: Seq },
    /// A conversation of this shard, by its fingerprint, has got to `seq`, and message ids to `message`. Where `seq` is
    /// 0 it is no conversation, and only says how far message ids have got.
    Conversation { fingerprint: [u64; 2], seq: ConversationSeq, message: MessageId },
}

impl Record {
    /// Bytes that this record takes in a segment: envelope, body and padding.
    pub fn encoded_bytes(&self) -> usize {
        envelope::record_bytes(body::body_bytes(self))
    }

    /// The message that this record put into inboxes, and where; `None` for every other kind of record.
    pub fn message(&self) -> Option<(&Arc<Message>, &Links)> {
        match self {
            Self::Posted { message, links, .. }
            | Self::Delivered { message, links, .. }
            | Self::Carried { message, links } => Some((message, links)),
            _ => None,
        }
    }

    /// The entry that this record is in `user`'s inbox, if it is one.
    pub fn entry_of(&self, user: &UserId) -> Option<Entry> {
        let (message, links) = self.message()?;
        let side = if message.author == *user {
            Side::Author
        } else if message.peer_of(&message.author) == Some(user) {
            Side::Peer
        } else {
            return None;
        };
        let link = links.iter().find(|link| link.side == side)?;
        Some(Entry { seq: link.seq, message: Arc::clone(message) })
    }
}
