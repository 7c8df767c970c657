//! A seat: one user's part in one conversation, and its place in the conversation's row.
//!
//! Invariant: a seat keeps its number; a user who returns gets the old one.

use crate::model::{ConversationSeq, Message, Seq};
use crate::shard::rows::index::{ConversationIndex, UserIndex};

/// One user's part in a conversation. A user who returns to a group takes its old seat: the inbox keeps the earlier
/// entries, but the user's history and unread count begin at the return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Membership {
    pub user: UserIndex,
    pub unread: u32,
    /// The first message of the conversation that the user sees.
    pub joined: ConversationSeq,
    /// The last message that the user sees; `STAYS` while the user is a member.
    pub left: ConversationSeq,
    pub read: ConversationSeq,
    /// The newest entry of this conversation in the user's inbox.
    pub last: Seq,
}

pub(in crate::shard) const STAYS: ConversationSeq = ConversationSeq(u64::MAX);

impl Membership {
    pub fn new(user_index: UserIndex, joined: ConversationSeq) -> Self {
        let read = ConversationSeq(joined.0.saturating_sub(1));
        Self { user: user_index, unread: 0, joined, left: STAYS, read, last: Seq(0) }
    }

    pub fn is_taken(&self) -> bool {
        self.left == STAYS
    }

    /// The user has read up to `through`, after which there are `unread` messages of others. Ignored if the user has left
    /// and returned since: then its history begins later.
    pub fn mark_read(&mut self, through: ConversationSeq, unread: u32) {
        if through >= self.read {
            self.read = through;
            self.unread = unread;
        }
    }

    /// The user's inbox has this entry, a message that the user wrote.
    pub fn note_own(&mut self, seq: Seq) {
        self.last = seq;
    }

    /// The user's inbox has this entry of another user; it counts as unread if it is a message.
    pub fn note(&mut self, seq: Seq, message: &Message) {
        self.last = seq;
        if message.fact.is_none() && message.conversation_seq > self.read {
            self.unread = self.unread.saturating_add(1);
        }
    }

    /// Whether the user sees the message with this seq.
    pub fn sees(&self, seq: ConversationSeq) -> bool {
        self.joined <= seq && seq <= self.left
    }

    /// Whether the user is notified of an event without a seq of its own, which happened when `seq` was the newest one.
    pub fn receives(&self, seq: ConversationSeq) -> bool {
        self.joined <= seq && seq < self.left
    }
}

/// A user's seat in one conversation: the conversation, and which of its seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct SeatAt {
    pub conversation: ConversationIndex,
    pub seat: u32,
}

/// A user's seat in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Seated {
    pub at: ConversationIndex,
    pub seat: u32,
}
