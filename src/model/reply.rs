//! What a session receives: replies to its requests, and events that it did not request.

use super::{
    Conversation, ConversationName, ConversationSeq, Denial, Entry, GroupState, JoinRequests, Message, MessageId,
    Millis, Profile, PushDevice, Refused, Seq, UserId,
};
use std::sync::Arc;

/// The reply to one request, under the request's tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The session is open.
    Welcome {
        /// The newest inbox seq (PROTOCOL 2.2).
        max_seq: Seq,
    },
    /// The session goes on with its fresh token.
    Reauthenticated {
        /// The newest inbox seq.
        max_seq: Seq,
    },
    /// The message is stored to the configured durability, and every recipient receives it exactly once (PROTOCOL 2.4).
    /// Both seqs are 0 for a message that is not to be stored.
    Sent {
        /// The server's id of the message.
        message_id: MessageId,
        /// The author's inbox seq.
        seq: Seq,
        /// The position in the conversation.
        conversation_seq: ConversationSeq,
        /// The wall-clock time at which the message was accepted.
        server_time: Millis,
    },
    /// A page of the inbox (PROTOCOL 2.5).
    Synced {
        /// The entries, ascending by seq.
        entries: Vec<Entry>,
        /// The newest inbox seq.
        server_max_seq: Seq,
        /// More entries exist in the direction of the sync.
        has_more: bool,
    },
    /// A page of one conversation (PROTOCOL 3.16).
    History {
        /// The messages, ascending by conversation seq. `Entry::seq` is 0.
        messages: Vec<Entry>,
        /// The conversation seq at which this page ends and the next one begins; 0 when the conversation is empty.
        reached: ConversationSeq,
        /// The newest conversation seq.
        newest_seq: ConversationSeq,
        /// More messages exist in the direction of the request.
        has_more: bool,
    },
    /// A page of the user's conversations.
    Conversations {
        /// The conversations, those with the newest entries first.
        rows: Vec<ConversationRow>,
        /// More conversations follow.
        has_more: bool,
    },
    /// The presence of each user of the request.
    Presence(Vec<PresenceState>),
    /// A group and a page of its members.
    Group(Box<GroupState>),
    /// The requests to join a group.
    JoinRequests(Box<JoinRequests>),
    /// A user's profile; an empty one where the user has none.
    Profile(Box<UserProfile>),
    /// The user's devices that push services wake, the latest registered last.
    Devices(Vec<PushDevice>),
    /// Executed; the reply carries nothing else.
    Done,
    /// Refused. Where a request stores something, nothing was stored.
    Refused(Refused),
    /// The operator's hook has denied the message. Boxed: it has a text, and is rare.
    Denied(Box<Denial>),
}

/// One row of a user's list of conversations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationRow {
    /// The conversation.
    pub conversation: Conversation,
    /// The user's own name for the conversation, where the user gave one.
    pub name: Option<ConversationName>,
    /// The newest message that the user may see; `None` when the conversation has no message or retention has dropped
    /// it.
    pub last: Option<Entry>,
    /// The inbox seq of the newest entry, by which the list is sorted.
    pub last_seq: Seq,
    /// Messages of other users after `read_through`.
    pub unread: u64,
    /// The conversation seq up to which the user has read.
    pub read_through: ConversationSeq,
    /// The newest conversation seq.
    pub newest_seq: ConversationSeq,
}

/// The profile of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserProfile {
    /// The user.
    pub user: UserId,
    /// The profile.
    pub profile: Profile,
}

/// The presence of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceState {
    /// The user.
    pub user: UserId,
    /// The user has a session.
    pub is_online: bool,
    /// The wall-clock time at which the last session ended; 0: online, or never seen.
    pub last_seen: Millis,
}

/// Something that is pushed to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new inbox entry (pushes 202, 207 and 502; notifications `recv`, `revoked`, `receipt` and `group`).
    Entry(Entry),
    /// A message that is pushed and never stored, with the user's name for the conversation (PROTOCOL 3.10). Its seq is
    /// 0.
    Transient(Arc<Message>, Option<ConversationName>),
    /// A typing notice. Boxed: the variant would be the largest, and it is rare.
    Typing(Box<TypingNotice>),
    /// The presence of a watched user changed.
    Presence(PresenceState),
}

/// A user started or stopped typing (PROTOCOL 2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypingNotice {
    /// The conversation in which the user types.
    pub conversation: Conversation,
    /// The receiver's own name for the conversation, where the receiver gave one.
    pub name: Option<ConversationName>,
    /// The user who types.
    pub user: UserId,
    /// 0 stopped, 1 typing; the server passes other numbers on.
    pub status: i32,
}
