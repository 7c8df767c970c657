//! The effects of a shard: a closed enum of everything that it can want done.

use crate::model::{Answer, Closing, Event, Reply, RequestTag, SessionId, ShardId, UserId};
use crate::shard::peers::message::ShardMessage;
use crate::shard::peers::ticket::Ticket;
use crate::shard::query::fetch::Fetch;
use crate::shard::work::hook_lines::HookQuestion;
use smallvec::SmallVec;

/// Something that the shard wants done. The driver carries out the effects of an input in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Reply to a request, or to the opening of a session.
    Reply {
        /// The session that asked.
        session: SessionId,
        /// The tag of the request.
        tag: RequestTag,
        /// The reply.
        reply: Reply,
    },
    /// Push one event to sessions of one user. The driver drops the push where an outbox is full, and reports a dropped
    /// entry by `Input::Congested`.
    Push {
        /// The user.
        user: UserId,
        /// Sessions of this user.
        sessions: SmallVec<[SessionId; 2]>,
        /// The event.
        event: Event,
    },
    /// End a session.
    Close {
        /// The session.
        session: SessionId,
        /// The reason.
        closing: Closing,
    },
    /// Pass no further request of this session to the shard, until `Resume`.
    Pause {
        /// The session.
        session: SessionId,
    },
    /// Pass requests of this session again.
    Resume {
        /// The session.
        session: SessionId,
    },
    /// Pass `Input::Drained` once less than a quarter of the session's outbox budget is queued.
    TellWhenDrained {
        /// The session.
        session: SessionId,
    },
    /// Something that concerns no session.
    External(ExternalEffect),
}

/// What a shard wants of the threads and the cores around it. The driver of the shard passes it on as it is.
#[derive(Debug, PartialEq, Eq)]
pub enum ExternalEffect {
    /// Send a message to another shard.
    Forward {
        /// The other shard.
        to: ShardId,
        /// The message.
        shard_message: ShardMessage,
    },
    /// Answer an order.
    Answer {
        /// The ticket of the order.
        ticket: Ticket,
        /// The answer.
        answer: Answer,
    },
    /// Do this read on a thread that may wait for a disk, and pass the result as `Input::Fetched`.
    Fetch(Box<Fetch>),
    /// Ask the operator's hook about a message, and pass the answer, or that there is none, as `Input::HookAnswered`.
    AskHook(Box<HookQuestion>),
    /// Make another inbox epoch durable, because inbox seqs may stand for other messages from now on; then pass
    /// `Input::InboxEpochRenewed`. At most once, and before the shard is ready.
    RenewInboxEpoch,
}

impl Effect {
    /// `ExternalEffect::Forward`.
    pub fn forward(to: ShardId, shard_message: ShardMessage) -> Self {
        Self::External(ExternalEffect::Forward { to, shard_message })
    }

    /// `ExternalEffect::Answer`.
    pub fn answer(ticket: Ticket, answer: Answer) -> Self {
        Self::External(ExternalEffect::Answer { ticket, answer })
    }
}
