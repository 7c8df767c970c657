//! What a session is told: replies to what it asked, and events that it did not ask for.

use super::{Conversation, ConversationName, ConversationSeq, Entry, Message, MessageId, Millis, Refused, Seq, UserId};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The session is open; `max_seq` is its inbox's newest seq (PROTOCOL 2.2).
    Welcome {
        max_seq: Seq,
    },
    /// The session has a fresh token.
    Reauthenticated {
        max_seq: Seq,
    },
    /// Stored to the configured durability; every recipient will have it exactly once (PROTOCOL 2.4). `seq` is the
    /// author's inbox seq. Both seqs are 0 for what is not to be stored.
    Sent {
        message_id: MessageId,
        seq: Seq,
        conversation_seq: ConversationSeq,
        server_time: Millis,
    },
    Synced {
        entries: Vec<Entry>,
        server_max_seq: Seq,
        has_more: bool,
    },
    /// `Entry::seq` is 0: history goes by conversation seqs.
    History {
        messages: Vec<Entry>,
        /// Where this page ends: go on from here. 0 when it is empty.
        reached: ConversationSeq,
        newest_seq: ConversationSeq,
        has_more: bool,
    },
    Conversations {
        rows: Vec<ConversationRow>,
        has_more: bool,
    },
    Presence(Vec<PresenceState>),
    /// Done, with nothing to say.
    Done,
    Refused(Refused),
}

/// One of a user's conversations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationRow {
    pub conversation: Conversation,
    pub name: Option<ConversationName>,
    /// The newest message that the user may see; `None` when retention has dropped it or nobody has written yet.
    pub last: Option<Entry>,
    /// Where the list is sorted by: the place of the newest entry in the user's inbox.
    pub last_seq: Seq,
    pub unread: u64,
    pub read_through: ConversationSeq,
    pub newest_seq: ConversationSeq,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceState {
    pub user: UserId,
    pub is_online: bool,
    /// When its last session ended; 0: never seen, or online.
    pub last_seen: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new inbox entry (202, 207, 502; `recv`, `revoked`, `receipt`, `group`).
    Entry(Entry),
    /// A message that is pushed and never stored (PROTOCOL 3.10): seq 0.
    Transient(Arc<Message>, Option<ConversationName>),
    /// Apart: it is the largest, and rare.
    Typing(Box<TypingNotice>),
    Presence(PresenceState),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypingNotice {
    pub conversation: Conversation,
    /// What the one who is told calls it.
    pub name: Option<ConversationName>,
    pub user: UserId,
    pub status: i32,
}
