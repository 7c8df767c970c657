//! What a client may ask, and how it is answered or refused.

use super::{
    ClearExtent, ConversationRow, Entry, GroupInfo, JoinRequest, Message, Outgoing, PresenceState, Profile, Target,
    TypingState,
};
use std::collections::BTreeMap;

/// Where a page of history begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart {
    /// After this seq of the conversation, ascending.
    After(u64),
    /// Just before this seq; 0: the newest.
    Before(u64),
}

/// What a presence request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum PresenceAction {
    Query,
    Subscribe,
    Unsubscribe,
}

/// The answer to who asks to join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum JoinAnswer {
    Approve,
    Decline,
}

/// What a client may ask. `Login`, `Ack`, `Heartbeat`, `Sync` and `SyncNewest` are the session's own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "proto/im.proto describes each")]
pub enum Request {
    Login {
        user: String,
        token: String,
        device: String,
    },
    Heartbeat,
    Ack {
        seq: u64,
    },
    Send(Outgoing),
    Sync {
        after: u64,
        limit: u32,
    },
    SyncNewest,
    Reauth {
        token: String,
    },
    History {
        conversation: Target,
        start: PageStart,
        limit: u32,
        topic: Option<String>,
    },
    Conversations {
        before_seq: u64,
        limit: u32,
    },
    Revoke {
        conversation: Target,
        message_id: String,
    },
    Receipt {
        conversation: Target,
        message_ids: Vec<String>,
    },
    MarkRead {
        conversation: Target,
        through: u64,
    },
    /// For this user alone; `through` 0: up to the newest.
    Clear {
        conversation: Target,
        through: u64,
        extent: ClearExtent,
    },
    Typing {
        conversation: Target,
        state: TypingState,
    },
    Presence {
        users: Vec<String>,
        action: PresenceAction,
    },
    GroupInfo {
        group: String,
        after: String,
        limit: u32,
    },
    GroupMembers {
        group: String,
        add: Vec<String>,
        remove: Vec<String>,
    },
    GroupMember {
        group: String,
        user: String,
        role: Option<String>,
        muted_until_ms: Option<i64>,
    },
    GroupProfile {
        group: String,
        name: Option<String>,
        avatar: Option<String>,
        attributes: Option<BTreeMap<String, String>>,
        join: Option<String>,
    },
    LeaveGroup {
        group: String,
    },
    JoinGroup {
        group: String,
    },
    DissolveGroup {
        group: String,
    },
    GroupRequests {
        group: String,
        after: String,
        limit: u32,
    },
    GroupAnswer {
        group: String,
        user: String,
        answer: JoinAnswer,
    },
    Profile {
        user: String,
    },
    SetProfile(Profile),
}

/// A message that the server has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The server's id of it.
    pub id: String,
    /// Its seq in the author's inbox; 0: unstored.
    pub seq: u64,
    /// Its seq in the conversation, where the protocol tells it.
    pub conversation_seq: Option<u64>,
    /// When it was accepted, where the protocol tells it.
    pub time_ms: Option<i64>,
}

/// A page of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// Ascending.
    pub messages: Vec<Message>,
    /// The other entries of the page, such as changes of a group.
    pub facts: Vec<Entry>,
    /// The conversation's newest seq.
    pub newest_seq: u64,
    /// Where the next page begins.
    pub reached_seq: u64,
    /// More follow.
    pub has_more: bool,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "proto/im.proto describes each")]
pub enum Answer {
    Login {
        epoch: u64,
    },
    Sent(Sent),
    Page {
        entries: Vec<Entry>,
        server_max_seq: u64,
        has_more: bool,
    },
    History(HistoryPage),
    Conversations {
        rows: Vec<ConversationRow>,
        has_more: bool,
    },
    Presence(Vec<PresenceState>),
    Group(GroupInfo),
    JoinRequests {
        requests: Vec<JoinRequest>,
        has_more: bool,
    },
    Profile {
        user: String,
        profile: Profile,
    },
    /// Done; there is nothing to tell.
    Done,
}

/// Why a request is not answered, in the words of both protocols, and three of this client's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum RefusalKind {
    Invalid,
    Unauthenticated,
    TokenExpired,
    Denied,
    NoSuchUser,
    NoSuchConversation,
    TooLarge,
    TooFast,
    Unavailable,
    /// The operator's own no, with its code.
    Operator,
    Unknown,
    /// No answer in time.
    Timeout,
    /// The session has ended.
    Stopped,
    /// The protocol has no such thing.
    Unsupported,
    /// Too much waits in this client.
    Full,
}

/// A request that the server refused, that was given up, or that the connection cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} ({kind:?}, code {code})")]
pub struct Refused {
    /// Why.
    pub kind: RefusalKind,
    /// The protocol's own code; 0: this client's no.
    pub code: i64,
    /// The server's words.
    pub text: String,
}

impl Refused {
    /// A no of this client's own.
    pub fn own(kind: RefusalKind, text: impl Into<String>) -> Self {
        Self { kind, code: 0, text: text.into() }
    }

    /// Whether the same request may succeed later; nothing was stored.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, RefusalKind::TooFast | RefusalKind::Unavailable)
    }
}
