//! What is owed but not yet allowed out: each thing waits for the record it depends on, and all leave in order.
//!
//! Invariant: positions in the queue never descend, so the front alone decides.

use crate::model::{Answer, Entry, Message, Position, Reply, RequestTag, Seq, SessionId, ShardId};
use crate::shard::core::effect::Ticket;
use crate::shard::peers::message::ShardMessage;
use crate::shard::rows::index::UserIndex;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug)]
pub(in crate::shard) enum DeferredEffect {
    Reply {
        session: SessionId,
        tag: RequestTag,
        reply: Reply,
    },
    /// An answer for which its session is paused.
    Page {
        session: SessionId,
        tag: RequestTag,
        reply: Reply,
    },
    /// A new entry, to the user's sessions as they are when it leaves, but not to the one that sent it.
    Push {
        user: UserIndex,
        origin: Option<SessionId>,
        entry: Entry,
    },
    /// A group's new entry, to sessions of those of its members who have it by this record and were here then.
    Fanned {
        message: Arc<Message>,
        members: Vec<(UserIndex, Seq)>,
    },
    Parcel {
        to: ShardId,
        parcel: ShardMessage,
    },
    Answer {
        ticket: Ticket,
        answer: Answer,
    },
    /// A shard's delivery is in our log.
    Confirm {
        to: ShardId,
        through: u64,
    },
}

#[derive(Debug, Default)]
pub(in crate::shard) struct Pending {
    queue: VecDeque<(Position, DeferredEffect)>,
    /// Of groups, in all that waits.
    members: usize,
}

impl Pending {
    /// `record` is the position of the record that must be acknowledged first.
    pub fn defer(&mut self, record: Position, owed: DeferredEffect) {
        assert!(self.queue.back().is_none_or(|(last, _)| *last <= record), "what is owed leaves in order");
        if let DeferredEffect::Fanned { members, .. } = &owed {
            self.members += members.len();
        }
        self.queue.push_back((record, owed));
    }

    /// The record that the next thing waits for.
    pub fn next_record(&self) -> Option<Position> {
        self.queue.front().map(|(record, _)| *record)
    }

    /// The next thing that may leave, now that everything before `acknowledged` is.
    pub fn release(&mut self, acknowledged: Position) -> Option<DeferredEffect> {
        if self.queue.front()?.0 >= acknowledged {
            return None;
        }
        let (_, owed) = self.queue.pop_front()?;
        if let DeferredEffect::Fanned { members, .. } = &owed {
            self.members -= members.len();
        }
        Some(owed)
    }

    /// Members of groups who wait for a push.
    pub fn members(&self) -> usize {
        self.members
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }
}
