//! Answers whoever made a request, a session by a reply and an order by an answer.
//!
//! Invariant: an order is answered once. A session that is gone is answered no more.

use crate::log::Storage;
use crate::model::{Answer, Position, Refusal, Reply, RequestTag, SentMessage};
use crate::shard::core::context::Ctx;
use crate::shard::core::deferred::DeferredEffect;
use crate::shard::peers::pending_requests::Requester;
use crate::shard::{Effect, Shard};

impl<S: Storage> Shard<S> {
    /// At once: nothing has been stored.
    pub(in crate::shard) fn refuse_requester(
        &mut self,
        waiter: Requester,
        refusal: Refusal,
        effects: &mut Vec<Effect>,
    ) {
        match waiter {
            Requester::Session { session, tag } => self.refuse(session, tag, refusal, effects),
            Requester::Order { ticket, .. } => {
                self.meters.stats.refused += 1;
                effects.push(Effect::answer(ticket, Answer::Refused(refusal.into())));
            }
            Requester::Nobody => {}
        }
    }

    /// The same where a record that was whole at the start cannot be read: counted, because the disk loses data.
    pub(in crate::shard) fn refuse_damaged(&mut self, waiter: Requester, effects: &mut Vec<Effect>) {
        let refusal = self.damaged();
        self.refuse_requester(waiter, refusal, effects);
    }

    /// Counts a record that cannot be read. Returns the refusal of the request that needs it.
    pub(in crate::shard) fn damaged(&mut self) -> Refusal {
        self.meters.stats.unreadable += 1;
        Refusal::StorageDamaged
    }

    /// Answers when the record that the reply depends on is acknowledged; at once if there is none.
    pub(in crate::shard) fn answer_requester(
        &mut self,
        ctx: &mut Ctx<'_>,
        depends_on: Option<Position>,
        waiter: Requester,
        reply: Reply,
    ) {
        match (waiter, depends_on) {
            (Requester::Nobody, _) => {}
            (Requester::Session { session, tag }, Some(record)) => {
                self.reply_when_acknowledged(ctx, record, session, tag, reply);
            }
            (Requester::Session { session, tag }, None) => ctx.effects.push(Effect::Reply { session, tag, reply }),
            (Requester::Order { ticket, is_repeated }, depends_on) => {
                let answer = answer_of(reply, is_repeated);
                match depends_on {
                    Some(record) if record >= self.log.acknowledged => {
                        self.log.pending.defer(self.log.newest_record, DeferredEffect::answer(ticket, answer));
                    }
                    _ => ctx.effects.push(Effect::answer(ticket, answer)),
                }
            }
        }
    }

    /// The same for a page. A session asks for nothing more while it waits.
    pub(in crate::shard) fn answer_page(
        &mut self,
        ctx: &mut Ctx<'_>,
        depends_on: Position,
        waiter: Requester,
        reply: Reply,
    ) {
        match waiter {
            Requester::Session { session, tag } => {
                self.reply_page_when_acknowledged(ctx, depends_on, (session, tag), reply);
            }
            other => self.answer_requester(ctx, Some(depends_on), other, reply),
        }
    }

    /// Sends the reply when the newest record is acknowledged: effects of `record` may already be deferred.
    pub(in crate::shard) fn defer_reply(&mut self, record: Position, waiter: Requester, reply: Reply) {
        let effect = match waiter {
            Requester::Nobody | Requester::Session { tag: RequestTag::None, .. } => return,
            Requester::Session { session, tag } => DeferredEffect::Reply { session, tag, reply },
            Requester::Order { ticket, is_repeated } => DeferredEffect::answer(ticket, answer_of(reply, is_repeated)),
        };
        self.log.pending.defer(record.max(self.log.newest_record), effect);
    }
}

/// What an order is answered, where a session would get this reply.
fn answer_of(reply: Reply, is_repeated: bool) -> Answer {
    match reply {
        Reply::Sent { message_id: id, seq: _, conversation_seq, server_time } => {
            Answer::Sent(SentMessage { id, conversation_seq, server_time, is_repeated })
        }
        Reply::Refused(refused) => Answer::Refused(refused),
        Reply::Done => Answer::Done,
        reply => Answer::Page(Box::new(reply)),
    }
}
