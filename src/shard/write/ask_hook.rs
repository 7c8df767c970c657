//! Before a message is accepted: asks the operator's hook, and goes on with its answer.
//!
//! Invariants: a send that goes on looks up everything again that may have changed meanwhile; nothing of one author waits
//! for the hook's answer about another author's message.

use crate::log::Storage;
use crate::model::{
    Answer, Authority, Command, Conversation, Denial, HookVerdict, OnHookFailure, Order, Refusal, Reply, Send,
    SendKind, SessionId, ShardId, UserId,
};
use crate::shard::core::context::Ctx;
use crate::shard::peers::authored_send::{AskedSend, AuthoredSend};
use crate::shard::peers::pending_requests::Requester;
use crate::shard::peers::stalled::Stalled;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::work::hook_lines::{DeniedSend, HookQuestion, HookTicket, ServedSend};
use crate::shard::{Effect, ExternalEffect, Shard};

/// The most sends of lines that one input lets go on.
const RESUMED_MAX: usize = 64;

impl<S: Storage> Shard<S> {
    /// Whether the hook is asked about some sends. With the hook off, this is all that a send pays for it.
    #[inline]
    pub(in crate::shard) fn has_hook(&self) -> bool {
        !self.settings.policies.hook.asked.is_empty()
    }

    /// The kind of the send, if the hook is asked about it.
    #[inline]
    pub(in crate::shard) fn hooked_kind_of(&self, sent: &AuthoredSend, waiter: &Requester) -> Option<SendKind> {
        if !self.has_hook() {
            return None;
        }
        let kind = match (waiter, sent.authority) {
            (Requester::Session { .. }, _) => SendKind::of_session(&sent.send),
            (_, Authority::User) => SendKind::Backend,
            (_, Authority::System) => SendKind::System,
        };
        Some(kind).filter(|kind| self.settings.policies.hook.asked.contains(*kind))
    }

    /// Whether the hook is asked about an earlier send of the author.
    #[inline]
    pub(in crate::shard) fn waits_in_line(&self, author: &UserId) -> bool {
        self.has_hook() && self.state.live.hook_lines.has_line(author)
    }

    /// Puts the send behind earlier ones of its author. A session waits until its turn comes.
    pub(in crate::shard) fn wait_in_line(&mut self, ctx: &mut Ctx<'_>, sent: AuthoredSend, waiter: Requester) {
        if let Some(session) = waiter.session() {
            ctx.effects.push(Effect::Pause { session });
        }
        let author = sent.author.clone();
        if let Some(stalled) = Stalled::of_send(sent, waiter) {
            self.state.live.hook_lines.wait(&author, stalled);
        }
    }

    pub(in crate::shard) fn ask_hook(&mut self, ctx: &mut Ctx<'_>, asked: AskedSend, kind: SendKind) {
        let send = asked.sent.send.clone();
        let ticket = self.state.live.hook_lines.ask(asked);
        let question = Box::new(HookQuestion { ticket, kind, send });
        ctx.effects.push(Effect::External(ExternalEffect::AskHook(question)));
    }

    pub(in crate::shard) fn hook_answered(&mut self, ctx: &mut Ctx<'_>, ticket: &HookTicket, verdict: HookVerdict) {
        let Some(mut asked) = self.state.live.hook_lines.answered(ticket) else { return };
        asked.replacement = match verdict {
            HookVerdict::Denied(denial) => return self.denied(ctx, asked, denial),
            HookVerdict::Failed if self.settings.policies.hook.on_failure == OnHookFailure::Closed => {
                return self.give_up(ctx, asked, Refusal::HookFailed);
            }
            HookVerdict::Allowed | HookVerdict::Failed => None,
            HookVerdict::Replaced(replacement) => Some(replacement),
        };
        self.allowed(ctx, asked);
    }

    /// The author is told, and so is everybody who has repeated the send meanwhile, each in its turn.
    fn denied(&mut self, ctx: &mut Ctx<'_>, asked: AskedSend, denial: Box<Denial>) {
        let AskedSend { sent: AuthoredSend { author, send, .. }, waiter, .. } = asked;
        self.deny(ctx, waiter, &denial);
        let content = self.content_of(&author, &send);
        let Send { client_message_id, recipient, .. } = send;
        self.state.live.hook_lines.deny(&author, DeniedSend { client_message_id, recipient, content, denial });
        self.state.live.hook_lines.release(&author);
    }

    fn content_of(&self, author: &UserId, send: &Send) -> Fingerprint {
        let fingerprints = self.state.identity.fingerprints;
        let conversation_key = fingerprints.of_conversation(&Conversation::between(author, &send.recipient));
        fingerprints.of_send_content(conversation_key, send)
    }

    fn is_repetition_of(&self, author: &UserId, send: &Send, denied: &DeniedSend) -> bool {
        send.client_message_id == denied.client_message_id
            && send.recipient == denied.recipient
            && self.content_of(author, send) == denied.content
    }

    fn deny(&mut self, ctx: &mut Ctx<'_>, waiter: Requester, denial: &Denial) {
        self.meters.stats.refused += 1;
        let denial = Box::new(denial.clone());
        match waiter {
            Requester::Session { session, tag } => {
                ctx.effects.push(Effect::Reply { session, tag, reply: Reply::Denied(denial) });
            }
            Requester::Order { ticket, .. } => {
                ctx.effects.push(Effect::answer(ticket, Answer::Denied(denial)));
            }
            Requester::Nobody => {}
        }
    }

    fn give_up(&mut self, ctx: &mut Ctx<'_>, asked: AskedSend, refusal: Refusal) {
        self.refuse_requester(asked.waiter, refusal, ctx.effects);
        self.state.live.hook_lines.release(&asked.sent.author);
    }

    /// Sends what the hook has allowed, as far as it still may be sent. The message of a session that has ended is sent
    /// all the same, except a chunk, whose stream has ended with the session.
    pub(in crate::shard) fn allowed(&mut self, ctx: &mut Ctx<'_>, allowed: AskedSend) {
        let AuthoredSend { author, send, authority } = &allowed.sent;
        let may_send = self.may_be_author(author, *authority).and_then(|()| self.check(author, send));
        let conversation = match may_send {
            Ok(conversation) => conversation,
            Err(refusal) => return self.give_up(ctx, allowed, refusal),
        };
        let conversation_key = self.state.identity.fingerprints.of_conversation(&conversation);
        let owner = self.settings.placement.owner_of_key(conversation_key);
        if !self.state.peers.outbound.may_request(owner) {
            // The author's later sends wait for this one as before.
            return self.state.peers.outbound.stall(owner, Stalled::Allowed(Box::new(allowed)));
        }
        let author = author.clone();
        self.send_allowed(ctx, (owner, conversation, conversation_key), allowed);
        self.state.live.hook_lines.release(&author);
    }

    fn send_allowed(
        &mut self,
        ctx: &mut Ctx<'_>,
        (owner, conversation, conversation_key): (ShardId, Conversation, Fingerprint),
        AskedSend { mut sent, waiter, replacement }: AskedSend,
    ) {
        let key = self.state.identity.fingerprints.of_client_message(&sent.author, &sent.send.client_message_id);
        let Some(waiter) = self.answer_repetition(ctx, (conversation_key, key), waiter, &sent) else { return };
        if self.state.peers.outbound.peer(owner).is_ahead() {
            return self.refuse_requester(waiter, Refusal::Busy, ctx.effects);
        }
        if let Some(replacement) = replacement {
            replacement.apply(&mut sent.send);
            if let Err(refusal) = self.check(&sent.author, &sent.send) {
                return self.refuse_requester(waiter, refusal, ctx.effects);
            }
        }
        if let Some(session) = waiter.session() {
            if self.has_ended_with(session, &sent.send) {
                return;
            }
            if let Err(refusal) = self.number_chunk(ctx.now, session, &sent.author, &conversation, &mut sent.send) {
                return self.refuse_requester(waiter, refusal, ctx.effects);
            }
        }
        let message = self.spares.hold(sent.author, conversation, sent.send);
        self.start_send(ctx, (conversation_key, Some(key)), message, sent.authority, waiter);
    }

    /// Whether the send is a chunk of a stream whose session is gone.
    fn has_ended_with(&self, session: SessionId, send: &Send) -> bool {
        let is_chunk = send.annotations.as_ref().is_some_and(|notes| notes.chunk.is_some());
        is_chunk && self.state.live.sessions.find(session).is_none()
    }

    /// Lets lines go on whose first send is done with, as far as the turn allows.
    pub(in crate::shard) fn resume_lines(&mut self, ctx: &mut Ctx<'_>) {
        let mut resumed = 0;
        while self.state.live.hook_lines.has_ready() {
            if resumed >= RESUMED_MAX || resumed > 0 && self.has_done_its_share() {
                return;
            }
            resumed += 1;
            if let Some(served) = self.state.live.hook_lines.serve() {
                self.resume_served(ctx, served);
            }
            self.state.live.hook_lines.served();
        }
    }

    fn resume_served(&mut self, ctx: &mut Ctx<'_>, ServedSend { stalled, denied }: ServedSend) {
        match stalled {
            Stalled::Command { session, tag, command } => {
                ctx.effects.push(Effect::Resume { session });
                if let (Command::Send(send), Some(denied)) = (&command, &denied)
                    && let Some(row) = self.state.live.sessions.find(session)
                    && self.is_repetition_of(&row.user, send, denied)
                {
                    return self.deny(ctx, Requester::Session { session, tag }, &denied.denial);
                }
                self.requested(ctx, session, tag, command);
            }
            Stalled::Order { ticket, order } => {
                if let (Order::Send { author, send, .. }, Some(denied)) = (&order, &denied)
                    && self.is_repetition_of(author, send, denied)
                {
                    return self.deny(ctx, Requester::order(ticket), &denied.denial);
                }
                self.ordered(ctx, ticket, order);
            }
            Stalled::Allowed(_) => {}
        }
    }
}
