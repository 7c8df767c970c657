//! Messages between two shards, one way on a lane. No shard waits for another one.

use crate::model::{
    Authority, ClearExtent, Conversation, ConversationSeq, GroupRequest, Message, MessageId, PresenceAction,
    PresenceState, ReadMessage, Refusal, Reply, TypingNotice, UnsequencedMessage, UserId,
};
use crate::shard::table::fingerprint::Fingerprint;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A message from one shard to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardMessage {
    /// The first message after a start: the sender's view of the deliveries from the receiver. The two compare their
    /// views, and what one log has lost is restored from the other (`heal`).
    Hello {
        /// The number of the last delivery of the receiver that the sender has in its log.
        taken: u64,
        /// The number of the last delivery that the sender knows the receiver to have made.
        newest: u64,
    },
    /// The sender's log has lost its deliveries after `after`, which the receiver has. Sent again for each part of the
    /// answer.
    GiveBack {
        /// The number of the last delivery that the sender still has.
        after: u64,
    },
    /// One part of the answer to `GiveBack`.
    GivenBack(Box<GivenBack>),
    /// Of the sender's deliveries, those up to `through` that the receiver lacks are lost for good.
    Forgone {
        /// The number of the last lost delivery.
        through: u64,
    },
    /// All deliveries that were unconfirmed at the start precede this message.
    Replayed,
    /// A request to the conversation's owner. Answered by a `Deliver` to the author's inbox, or by `Answered`.
    Request(ConversationRequest),
    /// The owner's answer to a request that causes no delivery to the author.
    Answered {
        /// The key of the request.
        key: Fingerprint,
        /// The reply for the author.
        reply: Reply,
    },
    /// A message from the conversation's owner for inboxes of the receiving shard.
    Deliver {
        /// The number of the delivery among those of this pair of shards, from 1.
        number: u64,
        /// The message or the fact.
        message: Arc<Message>,
    },
    /// The receiver's deliveries up to `through` are durable at the sender.
    Confirm {
        /// The number of the last of them.
        through: u64,
    },
    /// The sender has no room for the next delivery. It sends `ResendAfter` when it has.
    NoRoom,
    /// The sender has room again: deliveries after `through` are to be sent once more.
    ResendAfter {
        /// The number of the last delivery that the sender has.
        through: u64,
    },
    /// A message for users who are online, never stored (PROTOCOL 3.10). May be lost.
    Transient {
        /// The message.
        message: Arc<Message>,
    },
    /// A typing notice: from a member's shard to the conversation's owner, and from there to the shards of the members.
    /// May be lost.
    Typing {
        /// The notice.
        notice: Box<TypingNotice>,
    },
    /// In a closed directory, the owner of a pair asks the shard of its other user whether that user exists. One
    /// question at a time for each pair.
    IsKnown {
        /// The user.
        user: UserId,
        /// The fingerprint of the pair.
        pair: Fingerprint,
    },
    /// A group's owner asks the shard of some users whether they may become members. One question at a time from each
    /// shard.
    AskAdmission {
        /// The fingerprint of the group.
        group: Fingerprint,
        /// The users, none of whom is a member.
        users: Vec<UserId>,
    },
    /// The answer to `AskAdmission`.
    Admission {
        /// Why one of the users may not; `None`: all may.
        refusal: Option<Refusal>,
    },
    /// The answer to `IsKnown`.
    Known {
        /// The fingerprint of the pair.
        pair: Fingerprint,
        /// Whether the user exists.
        standing: UserStatus,
    },
    /// A question to the shard of some users. Answered by `TellPresence` with the same number.
    AskPresence(Box<PresenceQuestion>),
    /// The answer to `AskPresence`.
    TellPresence {
        /// The number of the question.
        number: u64,
        /// The users in the order of the question.
        seen: Vec<VisiblePresence>,
    },
    /// Changes of presence of users of the sending shard. One at a time: `Ack` permits the next.
    PresenceNews {
        /// The states from now on.
        states: Vec<PresenceState>,
    },
    /// No session of the sending shard watches these users any more. One at a time, as `PresenceNews`.
    Unwatch {
        /// The users.
        users: Vec<UserId>,
    },
    /// To the shard of the second user of each pair: the first user has blocked the second, whose sessions must not
    /// watch it any more. One at a time, as `PresenceNews`.
    Hide {
        /// Blocker and blocked user.
        pairs: Vec<(UserId, UserId)>,
    },
    /// The receipt of a message that is sent one at a time.
    Ack(AckedKind),
    /// The first message after a start to a group's owner: the messages of its groups that are on their way to members
    /// at the sender.
    FanningOut {
        /// Groups, by fingerprint, and their load.
        groups: Vec<(Fingerprint, JobLoad)>,
    },
    /// To a group's owner: messages that have reached all members at the sender. One at a time, as `PresenceNews`.
    FannedOut {
        /// Groups, by fingerprint, and the load that is done.
        groups: Vec<(Fingerprint, JobLoad)>,
    },
}

/// Messages of a group that are on their way to its members on one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobLoad {
    /// The number of messages.
    pub count: u32,
    /// Their bytes.
    pub bytes: u64,
}

/// Whether a user exists in a closed directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserStatus {
    /// The user exists.
    Known,
    /// The user does not exist.
    Stranger,
}

/// A question about the presence of users, and whether later changes are to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceQuestion {
    /// The asking shard's number of the question.
    pub number: u64,
    /// The user who asks.
    pub by: UserId,
    /// Query, subscribe or unsubscribe.
    pub action: PresenceAction,
    /// The users in question.
    pub users: Vec<UserId>,
}

/// The presence of a user as another user may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VisiblePresence {
    /// The state.
    As(PresenceState),
    /// This user has blocked the one who asks.
    Hidden(UserId),
}

/// Deliveries that a shard has and their source has lost, ascending by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenBack {
    /// Number and message of each.
    pub deliveries: Vec<(u64, Arc<Message>)>,
    /// The newest seqs of conversations whose messages are gone. In the first part only.
    pub reached: Vec<(Conversation, ConversationSeq)>,
    /// An upper bound of all message ids that the source has assigned.
    pub ids_below: MessageId,
    /// Another part follows if the source asks for it.
    pub has_more: bool,
}

/// The kinds of messages that are sent one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckedKind {
    /// `ShardMessage::PresenceNews`.
    News,
    /// `ShardMessage::Unwatch`.
    Unwatch,
    /// `ShardMessage::Hide`.
    Hide,
    /// `ShardMessage::FannedOut`.
    FannedOut,
}

impl ShardMessage {
    /// Whether the message may be dropped instead of waiting in a full lane.
    pub fn is_volatile(&self) -> bool {
        matches!(self, Self::Transient { .. } | Self::Typing { .. })
    }

    /// The message or the fact that is on its way to its conversation or to a member.
    pub fn written(&self) -> Option<&Message> {
        match self {
            Self::Request(ConversationRequest { ask: RequestKind::Send(message, _), .. }) => Some(message),
            Self::Deliver { message, .. } | Self::Transient { message } => Some(message),
            _ => None,
        }
    }
}

/// A user's request to a conversation, on its way to the conversation's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationRequest {
    /// The fingerprint of the conversation.
    pub conversation_key: Fingerprint,
    /// The key under which the author's shard waits; for a send also the key of the dedupe.
    pub key: Fingerprint,
    /// The request itself.
    pub ask: RequestKind,
}

/// What a request does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Sends a message, as whose permissions allow.
    Send(UnsequencedMessage, Authority),
    /// Revokes a message.
    Revoke(Box<Asker>, MessageId),
    /// Tells each author which of its messages the user has read.
    Receipt(Box<Asker>, BTreeMap<UserId, Vec<ReadMessage>>),
    /// Reads or changes a group.
    Group(Box<Asker>, Box<GroupRequest>),
    /// Clears the conversation for the user, up to this message.
    Clear(Box<Asker>, ConversationSeq, ClearExtent),
    /// Reads the profile of the pair's other user: to that user's shard, whoever owns the pair.
    Profile(Box<Asker>),
}

/// The user who makes a request, and the conversation. A message names both itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The user.
    pub user: UserId,
    /// The conversation.
    pub conversation: Conversation,
    /// Whose permissions count.
    pub authority: Authority,
}

impl JobLoad {
    /// Adds another load.
    pub fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    /// Subtracts a load that is done; never below 0, whatever another shard sent.
    pub fn take_off(&mut self, done: Self) {
        self.count = self.count.saturating_sub(done.count);
        self.bytes = if self.count == 0 { 0 } else { self.bytes.saturating_sub(done.bytes) };
    }
}

impl ConversationRequest {
    /// The user who makes the request.
    pub fn author(&self) -> &UserId {
        match &self.ask {
            RequestKind::Send(message, _) => &message.author,
            RequestKind::Revoke(asker, _)
            | RequestKind::Receipt(asker, _)
            | RequestKind::Group(asker, _)
            | RequestKind::Clear(asker, ..)
            | RequestKind::Profile(asker) => &asker.user,
        }
    }

    /// The conversation to which the request is made.
    pub fn conversation(&self) -> &Conversation {
        match &self.ask {
            RequestKind::Send(message, _) => &message.conversation,
            RequestKind::Revoke(asker, _)
            | RequestKind::Receipt(asker, _)
            | RequestKind::Group(asker, _)
            | RequestKind::Clear(asker, ..)
            | RequestKind::Profile(asker) => &asker.conversation,
        }
    }

    /// An estimate of the bytes of memory that the request occupies while it is under way.
    pub fn bytes(&self) -> usize {
        match &self.ask {
            RequestKind::Send(message, _) => message.content.len() + message.extra.bytes(),
            RequestKind::Revoke(..) | RequestKind::Clear(..) | RequestKind::Profile(_) => 0,
            RequestKind::Group(_, request) => request.held_bytes(),
            RequestKind::Receipt(_, read) => {
                read.values().map(|messages| messages.len() * size_of::<ReadMessage>()).sum()
            }
        }
    }
}

/// Unanswered questions about presence to one shard.
pub(in crate::shard) const PRESENCE_QUESTIONS_MAX: usize = 256;

/// Bounds of the requests and deliveries under way between two shards. Lanes are sized by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Unanswered requests to one shard.
    pub requests_max: usize,
    /// Unconfirmed deliveries to one shard.
    pub deliveries_max: usize,
    /// Bytes of requests, and of deliveries, to one shard; above it no further one is sent.
    pub bytes_max: usize,
    /// Held requests that go on with one input, and paused sessions, so that a turn is short however much room the
    /// input made.
    pub held_per_input_max: usize,
}

impl Windows {
    /// An upper bound of the messages in one lane at once: requests, deliveries, and the same deliveries again after an
    /// `ResendAfter`; an answer to each request and a confirmation of each delivery in the other direction; the three
    /// messages of a start, a question after lost deliveries and its answer, one `NoRoom` and one `ResendAfter`; two
    /// questions of a closed directory for each request; one question about members and its answer; questions about presence and their answers, and one of each
    /// message that is sent one at a time; fan-outs; and as many again for volatile messages.
    pub fn lane_messages_max(self) -> usize {
        let presence = 2 * PRESENCE_QUESTIONS_MAX + 6;
        let fanned = 3;
        let admissions = 2;
        2 * (4 * self.requests_max + 3 * self.deliveries_max + 7 + presence + fanned + admissions)
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self { requests_max: 4_096, deliveries_max: 4_096, bytes_max: 4 << 20, held_per_input_max: 256 }
    }
}
