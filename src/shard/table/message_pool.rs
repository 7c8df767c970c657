//! Reuses the memory of messages that nobody references any more: most messages live only from their commit to their
//! push.
//!
//! Owned by one shard. Invariant: nobody else holds a message in the pool, and nothing of its contents is left.

use crate::model::{Conversation, Extra, Message, MessageContent, Send, UnsequencedMessage, UserId};
use std::sync::Arc;

/// The most messages in the pool: about those of a large batch.
const SPARES_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(in crate::shard) struct MessagePool {
    messages: Vec<Arc<Message>>,
}

impl MessagePool {
    /// The message that a send becomes.
    pub fn hold(&mut self, author: UserId, conversation: Conversation, send: Send) -> UnsequencedMessage {
        match self.messages.pop() {
            Some(spare) => UnsequencedMessage::within(spare, author, conversation, send),
            None => UnsequencedMessage::of_send(author, conversation, send),
        }
    }

    /// Keeps the memory of a message if nobody else references it.
    pub fn keep(&mut self, mut message: Arc<Message>) {
        if self.messages.len() == SPARES_MAX {
            return;
        }
        let Some(last) = Arc::get_mut(&mut message) else { return };
        last.content = MessageContent::new();
        last.extra = Extra::default();
        last.annotations = None;
        last.fact = None;
        self.messages.push(message);
    }
}
