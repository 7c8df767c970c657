//! The vocabulary that both protocols share: messages, entries of the inbox, requests, and what the server says.
//!
//! Times are Unix milliseconds. A conversation is named by the other user or by the group, never by a protocol's own id.

mod request;

pub use request::{Answer, HistoryPage, JoinAnswer, PageStart, PresenceAction, RefusalKind, Refused, Request, Sent};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The other side of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// A person, by its id.
    User(String),
    /// A group, by its id.
    Group(String),
}

impl Target {
    /// A person.
    pub fn user(id: impl Into<String>) -> Self {
        Self::User(id.into())
    }

    /// A group.
    pub fn group(id: impl Into<String>) -> Self {
        Self::Group(id.into())
    }
}

/// One chunk of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamChunk {
    /// The author's name for the stream.
    pub no: String,
    /// Counts from 1.
    pub chunk: u32,
    /// This chunk ends the stream.
    pub is_last: bool,
}

/// A message as its readers have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The server's id, a decimal string.
    pub id: String,
    /// The author's id, by which repetitions are recognised.
    pub client_id: String,
    /// Where it was written.
    pub conversation: Target,
    /// The author.
    pub from: String,
    /// 1 text, 2 image, 3 voice, 4 video, 5 file; others are the application's own.
    pub message_type: i32,
    /// The content, as the author sent it.
    pub content: Bytes,
    /// When the server accepted it; of JSON-RPC in whole seconds.
    pub time_ms: i64,
    /// The seq in this user's inbox; 0: never stored, or not read from the inbox.
    pub seq: u64,
    /// The seq in the conversation, where the protocol tells it.
    pub conversation_seq: Option<u64>,
    /// The author's key-value pairs.
    pub extra: BTreeMap<String, String>,
    /// It was taken back: its content is empty.
    pub is_revoked: bool,
    /// The author asks for read receipts (JSON-RPC only).
    pub wants_receipt: bool,
    /// The topic (JSON-RPC only).
    pub topic: Option<String>,
    /// Seconds after which it is no longer shown (JSON-RPC only).
    pub expire_seconds: Option<u32>,
    /// Which chunk of which stream it is.
    pub stream: Option<StreamChunk>,
}

/// A message was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Revoked {
    pub conversation: Target,
    pub message_id: String,
    pub by: String,
    pub time_ms: i64,
}

/// Messages of this user were read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Receipt {
    pub conversation: Target,
    pub message_ids: Vec<String>,
    pub by: String,
    pub time_ms: i64,
}

/// A group changed (`proto/jsonrpc.md`, `group`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GroupChange {
    /// What changed: `created`, `added`, `removed`, `changed`, `profile`, `dissolved`, `joinRequested`, `joinDeclined`.
    pub change: String,
    /// The group.
    pub group: String,
    /// Who did it.
    pub by: String,
    /// At most 50 of the users concerned.
    pub members: Vec<String>,
    /// How many users are concerned.
    pub count: u64,
    /// When.
    #[serde(rename = "time")]
    pub time_ms: i64,
    /// What else the change says.
    #[serde(flatten)]
    pub more: BTreeMap<String, serde_json::Value>,
}

/// This user has cleared a conversation for itself, on this device or another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleared {
    /// The conversation.
    pub conversation: Target,
    /// Whether it has left the list of conversations, too.
    pub extent: ClearExtent,
    /// The conversation's seq up to which messages are hidden.
    pub through: u64,
    /// When.
    pub time_ms: i64,
}

/// How much a clearing takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearExtent {
    /// The messages.
    History,
    /// The messages, and the conversation's row in the list until a newer message comes.
    Conversation,
}

/// One entry of the inbox. With seq 0 its place is unknown, or it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The seq in the inbox.
    pub seq: u64,
    /// The id of the message or of the fact.
    pub id: String,
    /// What it is.
    pub body: EntryBody,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryBody {
    /// A message, also one of this user's own.
    Message(Message),
    /// A message was taken back.
    Revoked(Revoked),
    /// Messages of this user were read.
    Receipt(Receipt),
    /// A group changed.
    Group(GroupChange),
    /// This user has cleared a conversation.
    Cleared(Cleared),
}

/// Somebody types, or stopped typing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Typing {
    pub conversation: Target,
    pub user: String,
    pub state: TypingState,
}

/// Whether a user types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum TypingState {
    Stopped,
    Typing,
}

/// Whether a user has a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceState {
    /// The user.
    pub user: String,
    /// It has a session.
    pub is_online: bool,
    /// When the last one ended; 0: never seen, or online.
    pub last_seen_ms: i64,
}

/// A row of the user's list of conversations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationRow {
    /// The conversation.
    pub conversation: Target,
    /// Its newest entry that this user may see.
    pub last: Option<Entry>,
    /// The inbox seq of the newest entry.
    pub last_seq: u64,
    /// Messages of others after `read_through`.
    pub unread: u64,
    /// The conversation's seq up to which this user has read.
    pub read_through: u64,
    /// The conversation's newest seq.
    pub newest_seq: u64,
}

/// How a user or a group presents itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Profile {
    pub name: String,
    pub avatar: String,
    pub attributes: BTreeMap<String, String>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The user.
    pub user: String,
    /// `member`, `admin` or `owner`.
    pub role: String,
    /// May not send until then; 0: not muted.
    pub muted_until_ms: i64,
}

/// A group and a page of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct GroupInfo {
    pub group: String,
    pub owner: String,
    pub created_ms: i64,
    pub member_count: u64,
    pub newest_seq: u64,
    pub profile: Profile,
    /// `closed`, `request` or `open`.
    pub join: String,
    pub members: Vec<GroupMember>,
}

/// Who asks to join a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct JoinRequest {
    pub user: String,
    pub time_ms: i64,
}

/// A message on its way out: plain data, so that a store can keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outgoing {
    /// The author's id: the same id with the same content is stored once.
    pub client_id: String,
    /// Where it goes.
    pub to: Target,
    /// As in [`Message`].
    pub message_type: i32,
    /// The content, at most 64 KiB.
    #[serde(with = "crate::wire::text::base64_bytes")]
    pub content: Bytes,
    /// The author's clock.
    pub send_time_ms: i64,
    /// Carried unchanged.
    #[serde(default)]
    pub extra: BTreeMap<String, String>,
    /// Asks for read receipts (JSON-RPC only).
    #[serde(default)]
    pub wants_receipt: bool,
    /// Pushed to who is online, and never stored (JSON-RPC only).
    #[serde(default)]
    pub is_unstored: bool,
    /// The topic (JSON-RPC only).
    #[serde(default)]
    pub topic: Option<String>,
    /// Seconds after which it is no longer shown (JSON-RPC only).
    #[serde(default)]
    pub expire_seconds: Option<u32>,
    /// Which chunk of which stream it is.
    #[serde(default)]
    pub stream: Option<StreamChunk>,
}

impl Outgoing {
    /// A message with an id of the caller's. Sent again under this id, it is stored once.
    pub fn new(client_id: impl Into<String>, to: Target, content: Bytes) -> Self {
        Self {
            client_id: client_id.into(),
            to,
            message_type: 1,
            content,
            send_time_ms: 0,
            extra: BTreeMap::new(),
            wants_receipt: false,
            is_unstored: false,
            topic: None,
            expire_seconds: None,
            stream: None,
        }
    }
}
