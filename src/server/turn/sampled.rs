//! Follows sampled messages through a turn. Without sampling nothing here is called but one look at an empty option.
//!
//! Invariant: a span begins and ends with readings of the clock that the reactor makes once a turn.

use crate::log::Storage;
use crate::model::{Command, Event, MessageId, Moment, Order, RequestTag, SessionId, ShardId};
use crate::server::turn::Turn;
use crate::server::turn::sampler::{
    ANSWER_TIMEOUT, CompletedSync, FOLLOWED_MAX, MessageSampler, SampledRecord, SampledSend, SendWaiter,
};
use crate::server::turn::span::{SampledMessage, SampledSpan, Sampling, SpanStage};
use crate::shard::{Input, ShardMessage, Ticket};
use std::sync::Arc;
use std::time::Duration;

impl<S: Storage> Turn<S> {
    /// From now on messages are sampled.
    pub(in crate::server) fn sample(&mut self, sampling: Arc<Sampling>) {
        let (sends, written, ended) = Default::default();
        self.sampler = Some(Box::new(MessageSampler { sampling, turn_began: Duration::ZERO, sends, written, ended }));
    }

    /// The turn has begun at this reading of the clock.
    #[inline]
    pub(in crate::server) fn begin_sampled_turn(&mut self, at: Duration) {
        if let Some(sampler) = &mut self.sampler {
            sampler.turn_began = at;
        }
    }

    /// The turn has ended, and the log is acknowledged as far as it says.
    #[inline]
    pub(in crate::server) fn end_sampled_turn(&mut self, at: Duration, synced: Option<CompletedSync>) {
        if self.sampler.is_some() {
            self.tell_spans(at, synced);
        }
    }

    #[cold]
    fn tell_spans(&mut self, at: Duration, synced: Option<CompletedSync>) {
        let (me, acknowledged) = (self.common.me, self.shard.acknowledged());
        let Some(sampler) = &mut self.sampler else { return };
        let is_late = |send: &SampledSend| at.saturating_sub(send.began) > ANSWER_TIMEOUT;
        while let Some(late) = sampler.sends.iter().position(is_late) {
            let SampledSend { message, began, .. } = sampler.sends.swap_remove(late);
            let span = sampler.span(&message, me, SpanStage::Send, began);
            sampler.ended.push(SampledSpan { outcome: Some("unanswered"), ..span });
        }
        while let Some(record) = sampler.written.pop_front_if(|record| record.end <= acknowledged) {
            let SampledRecord { message, stage, began, end } = record;
            let span = sampler.span(&message, me, stage, began);
            if let Some(synced) = synced.filter(|synced| synced.end >= end && synced.ended >= began) {
                let within = (stage, began);
                let sync = SampledSpan { stage: SpanStage::Sync, began: synced.began, within, ..span.clone() };
                sampler.sampling.tell(SampledSpan { ended: synced.ended, ..sync });
            }
            sampler.ended.push(span);
        }
        let MessageSampler { sampling, ended, .. } = &mut **sampler;
        ended.drain(..).for_each(|span| sampling.tell(SampledSpan { ended: at, ..span }));
    }

    /// As `handle`, and follows the message that the input brings, if it is sampled.
    #[cold]
    pub(super) fn handle_sampled(&mut self, now: Moment, message: Arc<SampledMessage>, input: Input) {
        let before = self.shard.messages_written();
        self.handle(now, input);
        let (after, end) = (self.shard.messages_written(), self.shard.journal().end());
        let stage = if after.0 > before.0 {
            SpanStage::Commit
        } else if after.1 > before.1 {
            SpanStage::Delivery
        } else {
            return;
        };
        let Some(sampler) = &mut self.sampler else { return };
        if sampler.written.len() < FOLLOWED_MAX {
            let began = sampler.turn_began;
            sampler.written.push_back(SampledRecord { message, stage, began, end });
        }
    }

    /// The message of a session's request, if it is sampled.
    #[cold]
    pub(super) fn sampled_request(
        &mut self,
        session: SessionId,
        tag: &RequestTag,
        command: &Command,
    ) -> Option<Arc<SampledMessage>> {
        let Command::Send(send) = command else { return None };
        let (_, link) = self.links.find(session)?;
        let (author, sampler) = (link.connection.user()?, self.sampler.as_mut()?);
        let message = sampler.sampling.choose(author, &send.client_message_id, send.content.bytes().len())?;
        sampler.follow(SendWaiter::Session(session, tag.clone()), &message);
        Some(message)
    }

    /// The message of an order, if it is sampled.
    #[cold]
    pub(super) fn sampled_order(&mut self, ticket: Ticket, order: &Order) -> Option<Arc<SampledMessage>> {
        let Order::Send { author, send, .. } = order else { return None };
        let sampler = self.sampler.as_mut()?;
        let message = sampler.sampling.choose(author, &send.client_message_id, send.content.bytes().len())?;
        sampler.follow(SendWaiter::Order(ticket), &message);
        Some(message)
    }

    /// The message that another shard has sent in a turn that began at `sent`, if it is sampled.
    #[cold]
    pub(super) fn sampled_arrival(
        &mut self,
        (from, sent): (ShardId, Duration),
        shard_message: &ShardMessage,
    ) -> Option<Arc<SampledMessage>> {
        let (me, sampler) = (self.common.me, self.sampler.as_mut()?);
        let message = sampler.choose(shard_message.written()?)?;
        // This turn may have begun before the one that sent it, and taken it all the same.
        sampler.turn_began = sampler.turn_began.max(sent);
        let span = SampledSpan { from: Some(from), ..sampler.span(&message, me, SpanStage::Lane, sent) };
        sampler.sampling.tell(span);
        Some(message)
    }

    #[cold]
    pub(super) fn sample_answer(&mut self, waiter: &SendWaiter, outcome: (&'static str, Option<MessageId>)) {
        let (me, Some(sampler)) = (self.common.me, &mut self.sampler) else { return };
        let Some(at) = sampler.sends.iter().position(|send| send.waiter == *waiter) else { return };
        let SampledSend { message, began, .. } = sampler.sends.swap_remove(at);
        let span = sampler.span(&message, me, SpanStage::Send, began);
        let (outcome, message_id) = outcome;
        sampler.ended.push(SampledSpan { outcome: Some(outcome), message_id, ..span });
    }

    /// One span for all pushes of a message in a turn.
    #[cold]
    pub(super) fn sample_push(&mut self, sessions: usize, event: &Event) {
        let (me, Some(sampler)) = (self.common.me, &mut self.sampler) else { return };
        let message = match event {
            Event::Entry(entry) => &entry.message,
            Event::Transient(message, _) => message,
            Event::Typing(_) | Event::Presence(_) => return,
        };
        let Some(chosen) = sampler.choose(message) else { return };
        let is_same = |span: &&mut SampledSpan| {
            span.stage == SpanStage::Push && span.message_id == Some(message.id) && span.message == chosen
        };
        if let Some(span) = sampler.ended.iter_mut().find(is_same) {
            span.sessions += sessions;
            return;
        }
        let span = sampler.span(&chosen, me, SpanStage::Push, sampler.turn_began);
        sampler.ended.push(SampledSpan { sessions, message_id: Some(message.id), ..span });
    }
}
