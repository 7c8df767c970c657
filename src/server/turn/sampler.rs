//! The sampled messages of one shard: sends whose author waits for the answer, and messages that wait for the log.
//!
//! Invariant: what waits here is bounded, and what finds no room is not followed.

use crate::model::{Answer, Message, MessageId, Position, Reply, RequestTag, SessionId, ShardId};
use crate::server::turn::span::{SampledMessage, SampledSpan, Sampling, SpanStage};
use crate::shard::Ticket;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Sends whose author waits for the answer, and messages that wait for the log.
pub(super) const FOLLOWED_MAX: usize = 1_024;
/// A send without an answer is given up: its session is gone.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The last sync of the log that has ended.
#[derive(Clone, Copy, Debug)]
pub struct CompletedSync {
    pub began: Duration,
    pub ended: Duration,
    /// The log is durable up to here.
    pub end: Position,
}

/// The sampled messages of one shard.
pub(in crate::server) struct MessageSampler {
    pub(super) sampling: Arc<Sampling>,
    pub(super) turn_began: Duration,
    pub(super) sends: Vec<SampledSend>,
    pub(super) written: VecDeque<SampledRecord>,
    /// Spans that end with this turn.
    pub(super) ended: Vec<SampledSpan>,
}

/// Who waits for the answer to a send.
#[derive(PartialEq, Eq)]
pub(super) enum SendWaiter {
    Session(SessionId, RequestTag),
    Order(Ticket),
}

pub(super) struct SampledSend {
    pub(super) waiter: SendWaiter,
    pub(super) message: Arc<SampledMessage>,
    pub(super) began: Duration,
}

pub(super) struct SampledRecord {
    pub(super) message: Arc<SampledMessage>,
    /// `Commit` or `Delivery`.
    pub(super) stage: SpanStage,
    pub(super) began: Duration,
    /// The end of the log after its record.
    pub(super) end: Position,
}

impl MessageSampler {
    pub(super) fn span(
        &self,
        message: &Arc<SampledMessage>,
        shard: ShardId,
        stage: SpanStage,
        began: Duration,
    ) -> SampledSpan {
        SampledSpan {
            message: message.clone(),
            stage,
            shard,
            began,
            // Until the end of the turn is known.
            ended: self.turn_began,
            within: (SpanStage::Send, Duration::ZERO),
            message_id: None,
            from: None,
            sessions: 0,
            outcome: None,
        }
    }

    /// A message that a user wrote, if it is sampled.
    pub(super) fn choose(&self, message: &Message) -> Option<Arc<SampledMessage>> {
        let content_bytes = message.content.bytes().len();
        let is_written = message.fact.is_none();
        is_written.then(|| self.sampling.choose(&message.author, &message.client_message_id, content_bytes)).flatten()
    }

    pub(super) fn follow(&mut self, waiter: SendWaiter, message: &Arc<SampledMessage>) {
        if self.sends.len() < FOLLOWED_MAX {
            self.sends.push(SampledSend { waiter, message: message.clone(), began: self.turn_began });
        }
    }
}

/// What became of a send, by its reply.
pub(super) fn outcome_of(reply: &Reply) -> (&'static str, Option<MessageId>) {
    match reply {
        Reply::Sent { message_id, .. } => ("sent", Some(*message_id)),
        Reply::Refused(refused) => (refused.refusal.name(), None),
        Reply::Denied(_) => ("denied", None),
        _ => ("answered", None),
    }
}

/// The same of an order's answer.
pub(super) fn outcome_of_order(answer: &Answer) -> (&'static str, Option<MessageId>) {
    match answer {
        Answer::Sent(sent) => ("sent", Some(sent.id)),
        Answer::Refused(refused) => (refused.refusal.name(), None),
        Answer::Page(reply) => outcome_of(reply),
        _ => ("answered", None),
    }
}
