//! What a session can ask of its shard, in the words of neither protocol.

use super::{
    Annotations, ClientMessageId, ConversationName, ConversationSeq, Extra, MessageId, Recipient, Seq, UserId, Verb,
};
use bytes::Bytes;
use compact_str::CompactString;

/// The client's own mark on a request, echoed in the reply and otherwise opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestTag {
    /// A notification: there is no reply.
    None,
    /// The binary protocol's `sequence` and the verb of the request: each verb's response, refused or not, has a command code
    /// of its own.
    Sequence(u32, Verb),
    /// A JSON-RPC id that came as a number, in the digits it came in.
    Number(CompactString),
    /// A JSON-RPC id that came as a string.
    Text(CompactString),
}

/// What tells a user's devices apart (PROTOCOL 3.14, 4). The binary protocol has only a platform, which is then the id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceKey {
    /// The JSON-RPC protocol's deviceFlag; 0 in the binary protocol.
    pub flag: u8,
    /// The JSON-RPC protocol's deviceId or the binary protocol's platform: at most 128 bytes without control characters; may be
    /// empty.
    pub id: CompactString,
}

impl DeviceKey {
    pub const ID_BYTES_MAX: usize = 128;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Send(Send),
    Sync(Sync),
    Ack(Ack),
    Revoke(Revoke),
    Receipt(Receipt),
    Typing(Typing),
    History(History),
    Conversations(Conversations),
    MarkRead(MarkRead),
    Presence(Presence),
    /// The session has shown a fresh token, and it is good: all that is left is to say so, with the inbox's newest seq.
    Reauthenticate,
}

impl Command {
    pub fn verb(&self) -> Verb {
        match self {
            Self::Send(_) => Verb::Send,
            Self::Sync(_) => Verb::Sync,
            Self::Ack(_) => Verb::Ack,
            Self::Revoke(_) => Verb::Revoke,
            Self::Receipt(_) => Verb::Receipt,
            Self::Typing(_) => Verb::Typing,
            Self::History(_) => Verb::History,
            Self::Conversations(_) => Verb::Conversations,
            Self::MarkRead(_) => Verb::MarkRead,
            Self::Presence(_) => Verb::Presence,
            Self::Reauthenticate => Verb::Reauthenticate,
        }
    }
}

/// How a client names one of its conversations: the binary protocol by a name, the client's own or the server's; the JSON-RPC
/// protocol by the peer or the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConversationRef {
    Named(ConversationName),
    With(Recipient),
}

/// PROTOCOL 2.4 and 3.4. The author is the session's user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    pub client_message_id: ClientMessageId,
    pub recipient: Recipient,
    pub conversation_name: Option<ConversationName>,
    /// ≥ 1.
    pub message_type: i32,
    pub content: Bytes,
    pub send_time: i64,
    pub extra: Extra,
    pub annotations: Option<Box<Annotations>>,
}

/// Which way a sync reads (PROTOCOL 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncDirection {
    /// Entries with a seq above this one, ascending.
    After(Seq),
    /// The entries just below this one, ascending; `Seq(0)` means from the newest.
    Before(Seq),
}

/// PROTOCOL 2.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sync {
    pub direction: SyncDirection,
    /// 1–1000.
    pub limit: u32,
}

/// A device has a message (PROTOCOL 2.6). It moves the device's delivered position, which never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// Every entry of the inbox up to and including this seq (the binary protocol).
    Through(Seq),
    /// This one message (the JSON-RPC protocol, whose messageSeq is the conversation's).
    Message(MessageId),
}

/// Takes a message back for everybody (PROTOCOL 2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoke {
    pub message: MessageId,
    pub conversation: ConversationRef,
}

/// "I have read these" (PROTOCOL 2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// 1–`Receipt::MESSAGES_MAX`.
    pub messages: Vec<MessageId>,
    pub conversation: ConversationRef,
}

impl Receipt {
    pub const MESSAGES_MAX: usize = 100;
}

/// PROTOCOL 2.6: 0 stopped, 1 typing; other numbers pass through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typing {
    pub conversation: ConversationRef,
    pub status: i32,
}

/// Messages of one conversation by its own seq (PROTOCOL 3.16), those that this user may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub conversation: ConversationRef,
    pub direction: HistoryDirection,
    /// 1–1000.
    pub limit: u32,
    /// Only messages of this topic (PROTOCOL 3.11).
    pub topic: Option<CompactString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryDirection {
    /// Messages with a conversation seq above this one, ascending.
    After(ConversationSeq),
    /// The messages just below this one, ascending; `ConversationSeq(0)` means from the newest.
    Before(ConversationSeq),
}

/// The user's conversations, those with the newest entries first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversations {
    /// Those whose newest entry stands below this place of the inbox; `Seq(0)`: from the newest.
    pub before: Seq,
    /// 1–`Conversations::LIMIT_MAX`.
    pub limit: u32,
}

impl Conversations {
    pub const LIMIT_MAX: u32 = 200;
    pub const LIMIT_DEFAULT: u32 = 100;
}

/// The user has read the conversation up to and including `through`. It never goes back; nobody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkRead {
    pub conversation: ConversationRef,
    pub through: ConversationSeq,
}

/// Who is online (codes 400–402). Each request is answered with the states as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    pub action: PresenceAction,
    /// At most `Presence::USERS_MAX`.
    pub users: Vec<UserId>,
}

impl Presence {
    pub const USERS_MAX: usize = 200;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceAction {
    Query,
    /// Tell this session of every change from here on.
    Subscribe,
    Unsubscribe,
}
