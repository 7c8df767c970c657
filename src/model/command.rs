//! What a session can ask of its shard, in the words of neither protocol.

use super::{Annotations, ClientMessageId, ConversationName, Extra, MessageId, Recipient, Seq};
use bytes::Bytes;
use compact_str::CompactString;

/// The client's own mark on a request, echoed in the reply and otherwise opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestTag {
    /// A notification: there is no reply.
    None,
    /// Seed 1's `sequence`.
    Sequence(u32),
    /// A JSON-RPC id that came as a number, in the digits it came in.
    Number(CompactString),
    /// A JSON-RPC id that came as a string.
    Text(CompactString),
}

/// What tells a user's devices apart (PROTOCOL 3.14, 4). Seed 1 knows only a platform, which is then the id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceKey {
    /// Seed 2's deviceFlag; 0 for seed 1.
    pub flag: u8,
    /// Seed 2's deviceId or seed 1's platform, at most 128 bytes, may be empty.
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
    /// Everything at and below this place of the inbox (seed 1).
    Through(Seq),
    /// This one message (seed 2, whose messageSeq is the conversation's).
    Message(MessageId),
}
