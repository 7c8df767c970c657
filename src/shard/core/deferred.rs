//! Effects that may not leave yet: each waits for the record on which it depends, and all leave in order.
//!
//! Invariant: positions in the queue never descend, so the front alone decides.

use crate::model::{Answer, Message, Position, Reply, RequestTag, Seq, SessionId, ShardId};
use crate::shard::core::effect::ExternalEffect;
use crate::shard::peers::message::ShardMessage;
use crate::shard::peers::ticket::Ticket;
use crate::shard::rows::index::UserIndex;
use crate::shard::table::chunked_queue::ChunkedQueue;
use std::sync::Arc;

#[derive(Debug)]
pub(in crate::shard) enum DeferredEffect {
    Reply {
        session: SessionId,
        tag: RequestTag,
        reply: Reply,
    },
    /// A reply for which its session is paused.
    Page {
        session: SessionId,
        tag: RequestTag,
        reply: Reply,
    },
    /// A new entry for the sessions that its users have at the time of leaving, except the session that sent it.
    Push {
        message: Arc<Message>,
        /// The author's row and the seq in its inbox, if these are on this shard.
        author: Option<(UserIndex, Seq)>,
        /// The same of a pair's other user.
        peer: Option<(UserIndex, Seq)>,
        origin: Option<SessionId>,
    },
    /// A group's new entry, for sessions of the members whose links are in the record and who were online when it was
    /// appended.
    Fanned {
        message: Arc<Message>,
        members: Vec<(UserIndex, Seq)>,
    },
    /// Leaves as it is.
    External(ExternalEffect),
    /// The confirmation of a delivery whose record is in our log.
    Confirm {
        to: ShardId,
        through: u64,
    },
}

impl DeferredEffect {
    pub fn forward(to: ShardId, shard_message: ShardMessage) -> Self {
        Self::External(ExternalEffect::Forward { to, shard_message })
    }

    pub fn answer(ticket: Ticket, answer: Answer) -> Self {
        Self::External(ExternalEffect::Answer { ticket, answer })
    }
}

/// The deferred effects of a shard.
#[derive(Debug, Default)]
pub(in crate::shard) struct Pending {
    queue: ChunkedQueue<(Position, DeferredEffect)>,
    /// Members of groups for whom deferred effects wait.
    members: usize,
}

impl Pending {
    /// Adds an effect. `record` is the position of the record that must be acknowledged first.
    #[inline]
    pub fn defer(&mut self, record: Position, effect: DeferredEffect) {
        assert!(
            self.queue.back().is_none_or(|(last, _)| *last <= record),
            "effects are deferred in the order of the log"
        );
        if let DeferredEffect::Fanned { members, .. } = &effect {
            self.members += members.len();
        }
        self.queue.push_back((record, effect));
    }

    /// The record for which the first effect waits.
    pub fn next_record(&self) -> Option<Position> {
        self.queue.front().map(|(record, _)| *record)
    }

    /// The first effect, with its record, which is acknowledged. Both as they lie in the queue, because an effect is
    /// large and every step that unpacks it would copy it.
    #[inline]
    pub fn release(&mut self) -> Option<(Position, DeferredEffect)> {
        let released = self.queue.pop_front();
        if let Some((_, DeferredEffect::Fanned { members, .. })) = &released {
            self.members -= members.len();
        }
        released
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
