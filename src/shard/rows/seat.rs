//! A seat: one user's part in one conversation, and its place in the conversation's row.
//!
//! Invariant: a seat keeps its number; a user who returns gets the old one.

use crate::model::{ConversationSeq, Message, Seq};
use crate::shard::rows::index::{ConversationIndex, UserIndex};

/// One user's part in a conversation. Who comes back to a group takes its seat anew: its inbox keeps what it was told
/// before, its history and what is unread begin with its coming back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Membership {
    pub user: UserIndex,
    pub unread: u32,
    /// It sees what stands here or behind.
    pub joined: ConversationSeq,
    /// It sees nothing behind this; `STAYS` while it is in.
    pub left: ConversationSeq,
    pub read: ConversationSeq,
    /// The newest entry of this conversation in its inbox.
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

    /// Its user has read up to `through`; so many messages of others stand behind it. Not where it has come back since,
    /// and begun anew.
    pub fn mark_read(&mut self, through: ConversationSeq, unread: u32) {
        if through >= self.read {
            self.read = through;
            self.unread = unread;
        }
    }

    /// Its user's inbox has this entry, and its user wrote it.
    pub fn note_own(&mut self, seq: Seq) {
        self.last = seq;
    }

    /// Its user's inbox has this entry, of somebody else: unread if somebody wrote it.
    pub fn note(&mut self, seq: Seq, message: &Message) {
        self.last = seq;
        if message.fact.is_none() && message.conversation_seq > self.read {
            self.unread = self.unread.saturating_add(1);
        }
    }

    /// Whether its user sees what has this place in the conversation.
    pub fn sees(&self, seq: ConversationSeq) -> bool {
        self.joined <= seq && seq <= self.left
    }

    /// Whether its user is told what happened when the conversation had got to `seq`, without a place of its own.
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
