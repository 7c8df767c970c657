//! Deliveries in a shard's log that the sending shard has lost. They are searched for and returned in parts, so that no
//! turn reads a whole log.

use crate::log::LogScan;
use crate::model::{Conversation, ConversationSeq, Message};
use std::sync::Arc;

/// The deliveries that this shard returns to another one, in parts.
#[derive(Debug)]
pub(in crate::shard) struct GivingBack {
    pub scan: LogScan,
    /// The conversations before this row have been examined.
    pub next_row: u32,
    pub part: GivenPart,
    /// Whether the other shard waits for the next part.
    pub is_asked: bool,
}

/// A part that is being filled.
#[derive(Debug, Default)]
pub(in crate::shard) struct GivenPart {
    pub deliveries: Vec<(u64, Arc<Message>)>,
    /// The bytes of these messages.
    pub bytes: usize,
    pub reached: Vec<(Conversation, ConversationSeq)>,
}
