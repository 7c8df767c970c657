//! What a session is told: replies to what it asked, and events that it did not ask for.

use super::{ConversationSeq, Entry, MessageId, Millis, Refused, Seq};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The session is open; `max_seq` is its inbox's newest seq (PROTOCOL 2.2).
    Welcome {
        max_seq: Seq,
    },
    /// Stored to the configured durability; every recipient will have it exactly once (PROTOCOL 2.4). `seq` is the
    /// author's inbox seq.
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
    Acknowledged,
    Refused(Refused),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new inbox entry (202, `recv`).
    Message(Entry),
}
