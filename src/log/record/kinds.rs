//! The kinds of records in a log, and the links that lead from one to another.

use crate::log::record::snapshot::SnapshotRecord;
use crate::model::{
    AccountState, BlockState, Conversation, ConversationSeq, DeviceKey, Message, MessageId, Millis, Position, Profile,
    PushRegistration, Seq, ShardId, UserId,
};
use compact_str::CompactString;
use smallvec::SmallVec;
use std::sync::Arc;

/// The thread to which a link belongs: an inbox, or the messages of a conversation in this log. A message to oneself
/// has no `Peer` link; members of a group other than the author have their links in `Record::Fanned`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The author's inbox.
    Author,
    /// The recipient's inbox.
    Peer,
    /// The conversation.
    Conversation,
}

/// A chain of links through the log, from its newest record to its oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread<'a> {
    /// The entries of a user.
    Inbox(&'a UserId),
    /// The messages of a conversation. Seqs are the conversation's; some may be missing in this log.
    Conversation(&'a Conversation),
}

/// One thread's link in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadLink {
    /// The thread.
    pub side: Side,
    /// The seq of this record in the thread.
    pub seq: Seq,
    /// The position of the record of `seq - 1`.
    pub previous: Position,
    /// The position of a record much further back: see `index`.
    pub skip: Position,
    /// In the link of a recipient's inbox: the recipient had no session when the message was put there. Never set for
    /// facts.
    pub is_away: bool,
}

/// At most one link of each side, in the order of `Side`.
pub type ThreadLinks = SmallVec<[ThreadLink; 3]>;

/// The link of a group's entry in one member's inbox. The link's side is `Peer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberLink {
    /// The member.
    pub user: UserId,
    /// The link.
    pub link: ThreadLink,
}

/// The most links in one `Fanned` record, which bounds the search for one of them.
pub const FANNED_LINKS_MAX: usize = 64;

/// A delivery to another shard that is not confirmed: the `number`-th from this shard to `target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The shard that is to receive the message.
    pub target: ShardId,
    /// The number of the delivery among those of this pair of shards, from 1.
    pub number: u64,
}

/// One record of a log. docs/FORMAT.md has the bytes of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A process opened this log.
    Start {
        /// The number of the run, from 1.
        epoch: u64,
        /// The wall-clock time of the opening.
        time: Millis,
    },
    /// The durable position at the time of writing.
    Mark {
        /// Everything before this position was on stable storage.
        durable: Position,
    },
    /// A conversation of this shard accepted a message: the commit point.
    Posted {
        /// The message or the fact.
        message: Arc<Message>,
        /// Deliveries to other shards that follow from it.
        deliveries: SmallVec<[Delivery; 2]>,
        /// The links of inboxes and conversation in this log.
        links: ThreadLinks,
    },
    /// A delivery from another shard was put into inboxes of this shard.
    Delivered {
        /// The shard that sent it.
        source: ShardId,
        /// The number of the delivery.
        number: u64,
        /// The message or the fact.
        message: Arc<Message>,
        /// The links of inboxes and conversation in this log.
        links: ThreadLinks,
    },
    /// Another shard has confirmed deliveries of this shard, maybe more than this log has.
    Confirmed {
        /// The shard that confirmed.
        target: ShardId,
        /// The number of the last confirmed delivery.
        through: u64,
    },
    /// Deliveries of another shard are lost for good, unless they were received.
    Forgone {
        /// The shard that has lost them.
        source: ShardId,
        /// The number of the last of them.
        through: u64,
    },
    /// A device's delivered position.
    Device {
        /// The user of the device.
        user: UserId,
        /// The device.
        device: DeviceKey,
        /// The inbox seq up to which the device has acknowledged.
        position: Seq,
    },
    /// A message in inboxes of this shard, copied by a rewrite of the data directory.
    Carried {
        /// The message or the fact.
        message: Arc<Message>,
        /// The links of inboxes and conversation in this log.
        links: ThreadLinks,
    },
    /// An inbox's newest seq. Entries that are missing up to there never come.
    Inbox {
        /// The user of the inbox.
        user: UserId,
        /// The newest seq.
        seq: Seq,
    },
    /// A conversation's newest seq and the newest message id. Messages that are missing up to there never come.
    Conversation {
        /// The conversation.
        conversation: Conversation,
        /// The newest seq.
        seq: ConversationSeq,
        /// The newest message id.
        message: MessageId,
    },
    /// The newest message id of this shard: new ids are above it.
    Issued {
        /// The id.
        message: MessageId,
    },
    /// A group's entry in the inboxes of some members: many entries, one body.
    Fanned {
        /// The position of the record with the message.
        of: Position,
        /// The members' links, at most `FANNED_LINKS_MAX`.
        links: Vec<MemberLink>,
    },
    /// A user has read a conversation.
    Read {
        /// The reader.
        user: UserId,
        /// The conversation.
        conversation: Conversation,
        /// The conversation seq up to which the user has read.
        through: ConversationSeq,
        /// Messages of other users after `through`.
        unread: u32,
    },
    /// One device of a user has acknowledged a `syncOnce` message, for all of them.
    Consumed {
        /// The user.
        user: UserId,
        /// The message.
        message: MessageId,
    },
    /// A user refuses another user's messages, or accepts them again. In the log of the pair's owner.
    Block {
        /// The user who blocks.
        by: UserId,
        /// The user who is blocked.
        other: UserId,
        /// Blocked or allowed.
        state: BlockState,
    },
    /// A user is in the directory.
    Seen {
        /// The user.
        user: UserId,
        /// The wall-clock time at which the last session ended; 0: never.
        last_seen: Millis,
    },
    /// A user has a session, and is in the directory: until a `Seen` with a time, or the next `Start`.
    Online {
        /// The user.
        user: UserId,
        /// The wall-clock time from which it has one.
        since: Millis,
    },
    /// The wall-clock time, logged regularly while users have sessions, and whenever that clock has jumped.
    Clock {
        /// The time; all sessions are still open at this time.
        time: Millis,
        /// How far the clock has just been set ahead, in milliseconds; back where negative, 0 where it was not.
        jumped_ms: i64,
    },
    /// The whole state of a user's account.
    Account {
        /// The user.
        user: UserId,
        /// Whether the user may have sessions.
        state: AccountState,
        /// Tokens issued before this wall-clock time are revoked; 0: none is.
        tokens_from: Millis,
    },
    /// The operator has erased a user. In the logs of all shards.
    Erased {
        /// The user.
        user: UserId,
        /// The wall-clock time of the order.
        time: Millis,
    },
    /// A user's profile from now on.
    Profile {
        /// The user.
        user: UserId,
        /// The profile.
        profile: Box<Profile>,
    },
    /// A device that a push service wakes from now on; `None`: it does no more.
    PushDevice {
        /// The user of the device.
        user: UserId,
        /// The device.
        device: CompactString,
        /// How it is woken.
        registration: Option<Box<PushRegistration>>,
    },
    /// State beside messages, as a rewrite of the data directory found it.
    Kept(SnapshotRecord),
}

impl Record {
    /// The message that this record put into inboxes, and its links; `None` for every other kind of record.
    pub fn message(&self) -> Option<(&Arc<Message>, &ThreadLinks)> {
        match self {
            Self::Posted { message, links, .. }
            | Self::Delivered { message, links, .. }
            | Self::Carried { message, links } => Some((message, links)),
            _ => None,
        }
    }

    /// `user`'s link in this record, if the record is an entry of that inbox.
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
