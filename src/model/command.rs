//! The requests that a session can make of its shard, independent of the protocol that carried them.

use super::{
    Annotations, ClearExtent, ClientMessageId, ConversationName, ConversationSeq, Extra, GroupRequest, MessageContent,
    MessageId, Profile, PushChange, Recipient, Seq, UserId, Verb,
};
use compact_str::CompactString;

/// The client's own mark on a request. The reply echoes it; the server does not interpret it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestTag {
    /// A notification: there is no reply.
    None,
    /// The binary protocol's `sequence` and the verb of the request: each verb's response, refused or not, has a
    /// command code of its own.
    Sequence(u32, Verb),
    /// A JSON-RPC id that came as a number, in the digits it came in.
    Number(CompactString),
    /// A JSON-RPC id that came as a string.
    Text(CompactString),
}

/// The key that distinguishes the devices of one user (PROTOCOL 3.14, 4). The binary protocol has only a platform,
/// which is the id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceKey {
    /// The JSON-RPC protocol's deviceFlag; 0 in the binary protocol.
    pub flag: u8,
    /// The JSON-RPC protocol's deviceId or the binary protocol's platform: at most 128 bytes without control
    /// characters; may be empty.
    pub id: CompactString,
}

impl DeviceKey {
    /// The most bytes of UTF-8 in `id`.
    pub const ID_BYTES_MAX: usize = 128;
}

/// A request of an authenticated session. Each variant is documented at its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send a message: [`struct@Send`].
    Send(Send),
    /// Read a page of the inbox: [`struct@Sync`].
    Sync(Sync),
    /// Acknowledge entries.
    Ack(Ack),
    /// Take a message back.
    Revoke(Revoke),
    /// Report messages as read.
    Receipt(Receipt),
    /// Report that the user types.
    Typing(Typing),
    /// Read a page of one conversation.
    History(History),
    /// List the user's conversations.
    Conversations(Conversations),
    /// Set the read position of a conversation.
    MarkRead(MarkRead),
    /// Clear a conversation's history for the user alone, or delete the conversation for the user.
    Clear(Clear),
    /// Query or watch who is online.
    Presence(Presence),
    /// Read or change a group: [`GroupRequest`].
    Group(Box<GroupRequest>),
    /// Read a user's profile. The reply is `Reply::Profile`.
    ShowProfile(UserId),
    /// Set the user's own profile.
    SetProfile(Box<Profile>),
    /// Register a device of the user that a push service wakes, or change what is wanted of it.
    RegisterDevice(Box<PushChange>),
    /// Remove a device that a push service wakes; an empty id means the session's own.
    UnregisterDevice(CompactString),
    /// List the user's devices that push services wake. The reply is `Reply::Devices`.
    ShowDevices,
    /// The session has presented a fresh token, and the token was found valid. The reply is `Reply::Reauthenticated`.
    Reauthenticate,
}

impl Command {
    /// The verb of this request, without its arguments.
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
            Self::Clear(Clear { extent: ClearExtent::History, .. }) => Verb::ClearHistory,
            Self::Clear(Clear { extent: ClearExtent::Conversation, .. }) => Verb::DeleteConversation,
            Self::Presence(_) => Verb::Presence,
            Self::Group(request) => request.act.verb(),
            Self::ShowProfile(_) => Verb::ShowProfile,
            Self::SetProfile(_) => Verb::SetProfile,
            Self::RegisterDevice(_) => Verb::RegisterDevice,
            Self::UnregisterDevice(_) => Verb::UnregisterDevice,
            Self::ShowDevices => Verb::ShowDevices,
            Self::Reauthenticate => Verb::Reauthenticate,
        }
    }
}

/// How a client names one of its conversations: the binary protocol by a name, the client's own or the server's; the
/// JSON-RPC protocol by the peer or the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConversationRef {
    /// By a name: the user's own for the conversation, or the server's default (PROTOCOL 2.4).
    Named(ConversationName),
    /// By the peer or the group.
    With(Recipient),
}

/// A message to store and deliver (PROTOCOL 2.4, 3.4). The author is the session's user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// The author's id of the message, by which the server recognises a repetition.
    pub client_message_id: ClientMessageId,
    /// The user or the group to which the message goes.
    pub recipient: Recipient,
    /// The author's own name for the conversation; `None` leaves the name as it is.
    pub conversation_name: Option<ConversationName>,
    /// At least 1. Values of `Fact::MESSAGE_TYPES` are refused.
    pub message_type: i32,
    /// The content, opaque to the server. At most `Limits::content_bytes_max` bytes.
    pub content: MessageContent,
    /// The author's clock, usually in Unix milliseconds. The server stores it and does not use it.
    pub send_time: i64,
    /// Key-value pairs that the server stores and delivers unchanged.
    pub extra: Extra,
    /// Attributes that only the JSON-RPC protocol can set.
    pub annotations: Option<Box<Annotations>>,
}

/// The direction in which a sync reads (PROTOCOL 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncDirection {
    /// Entries with a seq above this one, ascending.
    After(Seq),
    /// The entries just below this one, ascending; `Seq(0)` means from the newest.
    Before(Seq),
}

/// Reads a page of the user's inbox (PROTOCOL 2.5). The reply is `Reply::Synced`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sync {
    /// The seq at which the page begins, and the direction.
    pub direction: SyncDirection,
    /// The most entries of the page, 1 to 1,000.
    pub limit: u32,
}

/// Reports that the device has received entries (PROTOCOL 2.6). Moves the device's delivered position, which never goes
/// back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// Every entry of the inbox up to and including this seq (the binary protocol).
    Through(Seq),
    /// This one message (the JSON-RPC protocol, whose messageSeq is the conversation's).
    Message(MessageId),
}

/// Takes a message back for all its readers (PROTOCOL 2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoke {
    /// The message to take back.
    pub message: MessageId,
    /// The conversation in which the message is.
    pub conversation: ConversationRef,
}

/// Reports that the user has read messages (PROTOCOL 2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The messages, 1 to `Receipt::MESSAGES_MAX`. Unknown ids are ignored.
    pub messages: Vec<MessageId>,
    /// The conversation in which the messages are.
    pub conversation: ConversationRef,
}

impl Receipt {
    /// The most messages of one receipt.
    pub const MESSAGES_MAX: usize = 100;
}

/// Reports that the user started or stopped typing (PROTOCOL 2.6). Never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typing {
    /// The conversation in which the user types.
    pub conversation: ConversationRef,
    /// 0 stopped, 1 typing; the server passes other numbers on.
    pub status: i32,
}

/// Reads messages of one conversation by conversation seq (PROTOCOL 3.16): those that the user may see. The reply is
/// `Reply::History`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The conversation to read.
    pub conversation: ConversationRef,
    /// The conversation seq at which the page begins, and the direction.
    pub direction: HistoryDirection,
    /// The most messages of the page, 1 to 1,000.
    pub limit: u32,
    /// Restricts the page to messages of this topic (PROTOCOL 3.11).
    pub topic: Option<CompactString>,
}

/// The direction in which a page of history reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryDirection {
    /// Messages with a conversation seq above this one, ascending.
    After(ConversationSeq),
    /// The messages just below this one, ascending; `ConversationSeq(0)` means from the newest.
    Before(ConversationSeq),
}

/// Lists the user's conversations, those with the newest entries first. The reply is `Reply::Conversations`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversations {
    /// Restricts the list to conversations whose newest entry has a lower inbox seq; `Seq(0)`: from the newest.
    pub before: Seq,
    /// The most rows of the page, 1 to `Conversations::LIMIT_MAX`.
    pub limit: u32,
}

impl Conversations {
    /// The most rows of one page.
    pub const LIMIT_MAX: u32 = 200;
    /// The rows of a page whose request names no limit.
    pub const LIMIT_DEFAULT: u32 = 100;
}

/// Records that the user has read a conversation up to and including `through`. The position never goes back, and no
/// other user is notified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkRead {
    /// The conversation that the user has read.
    pub conversation: ConversationRef,
    /// The conversation seq of the newest message that the user has read.
    pub through: ConversationSeq,
}

/// Hides a conversation's messages up to and including `through` from the user and nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clear {
    /// The conversation.
    pub conversation: ConversationRef,
    /// The conversation seq of the newest message to hide; 0: the newest that the user has.
    pub through: ConversationSeq,
    /// Whether the conversation leaves the user's list as well.
    pub extent: ClearExtent,
}

/// Queries or watches the presence of users (command codes 400 to 402). Every request is answered with the current
/// states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Whether the session only asks, begins to watch, or stops watching.
    pub action: PresenceAction,
    /// The users, at most `Presence::USERS_MAX`.
    pub users: Vec<UserId>,
}

impl Presence {
    /// The most users of one request.
    pub const USERS_MAX: usize = 200;
}

/// The part of a presence request that says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceAction {
    /// Return the states once.
    Query,
    /// Return the states, and push every later change to this session.
    Subscribe,
    /// Return the states, and push no further change.
    Unsubscribe,
}
