//! The conversation of a user's in which a message is, where only the message's id is known.

use crate::log::{Segments, Tail, Thread, Unread, View};
use crate::model::{Conversation, MessageId};

/// Conversations that are searched before other reads have their turn.
const SEARCHED_A_STEP: usize = 64;

/// Some of a user's conversations, as they were when it was asked.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) struct MessageSearch {
    pub message: MessageId,
    pub conversations: Vec<(Conversation, Tail)>,
    /// The user's seats before this word are searched after these.
    pub words_left: usize,
    /// How many of these have been searched.
    pub searched: usize,
}

impl MessageSearch {
    /// Searches some conversations more; at the end, the one that has the message, if there is one.
    pub fn step<S: Segments>(&mut self, view: View<'_, S>) -> Result<Option<Option<Conversation>>, Unread> {
        let rest = &self.conversations[self.searched..];
        for (conversation, tail) in rest.iter().take(SEARCHED_A_STEP) {
            let thread = Thread::Conversation(conversation);
            if tail.find_message(view, thread, self.message)?.is_some() {
                return Ok(Some(Some(conversation.clone())));
            }
            self.searched += 1;
        }
        Ok((self.searched == self.conversations.len()).then_some(None))
    }

    /// From the beginning again.
    pub fn anew(self) -> Self {
        Self { searched: 0, ..self }
    }
}
