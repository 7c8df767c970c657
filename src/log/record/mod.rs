//! What a log remembers.

pub(super) mod body;
pub(crate) mod bytes;
pub(super) mod envelope;
pub(crate) mod fact;
pub(super) mod message;
pub(super) mod snapshot;

use crate::log::record::snapshot::SnapshotRecord;
use crate::model::{
    AccountState, BlockState, Conversation, ConversationSeq, DeviceKey, Message, MessageId, Millis, Position, Seq,
    ShardId, UserId,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// Which thread a link belongs to: an inbox, or the messages of a conversation that this log has. A message to oneself
/// has no peer's link; members of a group other than the author have theirs in `Record::Fanned`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Author,
    Peer,
    Conversation,
}

/// A thread that links lead through, from its newest record to its oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread<'a> {
    Inbox(&'a UserId),
    /// Seqs are the conversation's; some may be missing where this log had no business with it.
    Conversation(&'a Conversation),
}

/// One thread's place in a record: its seq, and where to go from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadLink {
    pub side: Side,
    pub seq: Seq,
    /// The record of `seq - 1`.
    pub previous: Position,
    /// A record much further back (see `index`).
    pub skip: Position,
}

/// At most one link of each side, in the order of `Side`.
pub type ThreadLinks = SmallVec<[ThreadLink; 3]>;

/// The place of a group's entry in one member's inbox. Its link's side is `Peer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberLink {
    pub user: UserId,
    pub link: ThreadLink,
}

/// So many members' links one `Fanned` record has at most: finding one is a short walk.
pub const FANNED_LINKS_MAX: usize = 64;

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
    Posted { message: Arc<Message>, deliveries: SmallVec<[Delivery; 2]>, links: ThreadLinks },
    /// The `number`-th delivery of shard `source`, taken into inboxes of this shard.
    Delivered { source: ShardId, number: u64, message: Arc<Message>, links: ThreadLinks },
    /// Shard `target` has all deliveries up to and including `through`, which may be more than this log has of them.
    Confirmed { target: ShardId, through: u64 },
    /// Of shard `source`'s deliveries up to and including `through`, those that were not taken are gone for good.
    Forgone { source: ShardId, through: u64 },
    /// A device's delivered position.
    Device { user: UserId, device: DeviceKey, position: Seq },
    /// A message in inboxes of this shard, as a rewriting of the whole directory found it.
    Carried { message: Arc<Message>, links: ThreadLinks },
    /// This inbox has got to `seq`; of what is missing up to there nothing comes any more.
    Inbox { user: UserId, seq: Seq },
    /// A conversation of this shard has got to `seq`, and message ids to `message`.
    Conversation { conversation: Conversation, seq: ConversationSeq, message: MessageId },
    /// New message ids are above this one.
    Issued { message: MessageId },
    /// The entry at `of`, in inboxes of members of its group. Many entries, one body.
    Fanned { of: Position, links: Vec<MemberLink> },
    /// A user has read a conversation up to and including `through`; so many messages of others stand behind it.
    Read { user: UserId, conversation: Conversation, through: ConversationSeq, unread: u32 },
    /// One device of a user has acknowledged a `syncOnce` message, for all.
    Consumed { user: UserId, message: MessageId },
    /// Whether `by` wants messages of `other`. In the log of the pair.
    Block { by: UserId, other: UserId, state: BlockState },
    /// A user is known to the server, and was here last at `last_seen` (0: never).
    Seen { user: UserId, last_seen: Millis },
    /// What an operator has said of a user's account: all of it, each time. Tokens issued before `tokens_from` (0: never)
    /// are revoked.
    Account { user: UserId, state: AccountState, tokens_from: Millis },
    /// What a rewriting of the directory found, beside messages.
    Kept(SnapshotRecord),
}

impl Record {
    /// Bytes that this record takes in a segment: envelope, body and padding.
    pub fn encoded_bytes(&self) -> usize {
        envelope::record_bytes(body::body_bytes(self))
    }

    /// Its kind and its body.
    pub fn plain(&self) -> (u8, Vec<u8>) {
        (body::kind_of(self), body::plain(self))
    }

    /// The message that this record put into inboxes, and where; `None` for every other kind of record.
    pub fn message(&self) -> Option<(&Arc<Message>, &ThreadLinks)> {
        match self {
            Self::Posted { message, links, .. }
            | Self::Delivered { message, links, .. }
            | Self::Carried { message, links } => Some((message, links)),
            _ => None,
        }
    }

    /// `user`'s place in this record, if it is an entry of that inbox.
    pub fn link_of(&self, user: &UserId) -> Option<ThreadLink> {
        if let Self::Fanned { links, .. } = self {
            return links.iter().find(|member| member.user == *user).map(|member| member.link);
        }
        let (message, links) = self.message()?;
        let side = if message.author == *user {
            Side::Author
        } else if message.peer_of(&message.author) == Some(user) {
            Side::Peer
        } else {
            return None;
        };
        links.iter().find(|link| link.side == side).copied()
    }
}
