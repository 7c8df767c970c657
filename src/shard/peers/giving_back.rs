//! Deliveries that a shard's log has and the shard that made them has lost: searched for and given back a part at a time,
//! so that no turn reads a whole log.

use crate::log::LogScan;
use crate::model::{Conversation, ConversationSeq, Message};
use std::sync::Arc;

/// What this shard gives back to another one: a part at a time.
#[derive(Debug)]
pub(in crate::shard) struct GivingBack {
    pub scan: LogScan,
    /// The conversations before this row have been looked at.
    pub next_row: u32,
    pub part: GivenPart,
    /// The other shard waits for the next part.
    pub is_asked: bool,
}

/// A part that is being filled.
#[derive(Debug, Default)]
pub(in crate::shard) struct GivenPart {
    pub deliveries: Vec<(u64, Arc<Message>)>,
    /// Of their messages.
    pub bytes: usize,
    pub reached: Vec<(Conversation, ConversationSeq)>,
}
