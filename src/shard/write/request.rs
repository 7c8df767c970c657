//! Requests to conversations: from the user's shard to the conversation's owner, and the answer back.
//!
//! Invariants: a request is answered once, by the delivery that it caused or by `Answered`; requests to one shard are
//! bounded by their window; a request that waits is carried out in its conversation's order.

use crate::log::{Storage, Unread};
use crate::model::{Authority, Position, Refused, Reply, SessionId, ShardId, UnsequencedMessage};
use crate::shard::core::context::Ctx;
use crate::shard::core::deferred::DeferredEffect;
use crate::shard::core::waiting_orders::WaitingWork;
use crate::shard::peers::held_requests::{Blocker, HeldRequest};
use crate::shard::peers::message::{ConversationRequest, RequestKind};
use crate::shard::peers::pending_requests::{PendingRequest, Requester};
use crate::shard::peers::stalled::Stalled;
use crate::shard::query::fetch::{ColdRead, FetchResult};
use crate::shard::rows::cleared::ClearedHistory;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::write::commit::{Hindrance, MessageKeys};
use crate::shard::write::send::sent;
use crate::shard::{Effect, Shard, ShardMessage};

/// What the conversation's owner decided about a request.
pub(in crate::shard) enum RequestOutcome {
    /// The record is in the log; the author's shard replies when its inbox has the entry. The reply is known where that
    /// is this shard.
    Taken { record: Position, reply: Option<Reply> },
    /// The reply is known, and leaves once the record (if there is one) is acknowledged.
    Answered { after: Option<Position>, reply: Reply },
    /// The request is tried again once the blocker is gone.
    MustWait(Blocker),
    /// Earlier requests of this conversation wait.
    Behind,
    /// The answer needs a read from the disk.
    Reading(ColdRead),
    /// Another shard must first say whether the recipient exists.
    Asking,
    /// Orders and requests about groups wait, or this one for the shards of the users whom it adds.
    BehindOrders,
}

impl From<Hindrance> for RequestOutcome {
    fn from(hindrance: Hindrance) -> Self {
        match hindrance {
            Hindrance::MustWait(blocker) => Self::MustWait(blocker),
            Hindrance::Refused(refused) => Self::refused(refused),
        }
    }
}

impl RequestOutcome {
    pub fn refused(refused: impl Into<Refused>) -> Self {
        Self::now(Reply::Refused(refused.into()))
    }

    pub fn now(reply: Reply) -> Self {
        Self::Answered { after: None, reply }
    }
}

impl<S: Storage> Shard<S> {
    /// The command or the order is tried again when the shard `owner` has room for the request; a session waits until
    /// then.
    pub(in crate::shard) fn stall(&mut self, ctx: &mut Ctx<'_>, owner: ShardId, stalled: Stalled) {
        if let Stalled::Command { session, .. } = stalled {
            ctx.effects.push(Effect::Pause { session });
        }
        self.state.peers.outbound.stall(owner, stalled);
    }

    /// Carries a send out here, or sends it to the conversation's owner. `keys` has the message's key. Most sends are
    /// committed at once, and become a request only if they must wait or leave.
    pub(in crate::shard) fn start_send(
        &mut self,
        ctx: &mut Ctx<'_>,
        keys: MessageKeys,
        mut message: UnsequencedMessage,
        authority: Authority,
        waiter: Requester,
    ) {
        let (conversation_key, key) = (keys.0, keys.1.expect("only a fact has no key"));
        let owner = self.settings.placement.owner_of_key(conversation_key);
        let request =
            |message| ConversationRequest { conversation_key, key, ask: RequestKind::Send(message, authority) };
        if owner != self.settings.me || self.state.peers.outbound.is_holding(conversation_key) {
            return self.start_request(ctx, owner, request(message), waiter);
        }
        match self.commit_send_request(ctx, keys, &mut message, authority, waiter.session()) {
            RequestOutcome::Taken { record, reply } => self.defer_reply(record, waiter, accepted(reply)),
            outcome => self.settle_own(ctx, request(message), waiter, outcome),
        }
    }

    /// Carries the request out here, or sends it to the conversation's owner.
    pub(in crate::shard) fn start_request(
        &mut self,
        ctx: &mut Ctx<'_>,
        owner: ShardId,
        mut request: ConversationRequest,
        waiter: Requester,
    ) {
        if owner != self.settings.me {
            self.start_flight(owner, &request, waiter);
            ctx.effects.push(Effect::forward(owner, ShardMessage::Request(request)));
            return;
        }
        let outcome = match self.state.peers.outbound.is_holding(request.conversation_key) {
            true => RequestOutcome::Behind,
            false => self.commit_request(ctx, &mut request, waiter.session()),
        };
        self.settle_own(ctx, request, waiter, outcome);
    }

    /// Replies to a request of this shard about which this shard has decided, or lets it wait.
    fn settle_own(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: ConversationRequest,
        waiter: Requester,
        outcome: RequestOutcome,
    ) {
        match outcome {
            RequestOutcome::Taken { record, reply } => self.defer_reply(record, waiter, accepted(reply)),
            RequestOutcome::Answered { after, reply } => {
                let chunk = self.chunk_of(&request);
                self.finish_chunk(ctx.now, chunk.as_deref(), &reply);
                self.defer_answer(ctx, after, waiter, reply);
            }
            RequestOutcome::MustWait(_)
            | RequestOutcome::Behind
            | RequestOutcome::Reading(_)
            | RequestOutcome::Asking
            | RequestOutcome::BehindOrders => {
                let owner = self.settings.me;
                self.start_flight(owner, &request, waiter);
                self.conclude(ctx, owner, request, outcome);
            }
        }
    }

    fn start_flight(&mut self, owner: ShardId, request: &ConversationRequest, waiter: Requester) {
        let mut pending = PendingRequest::of(owner, request, waiter);
        if let RequestKind::Send(message, _) = &request.ask {
            pending.content = (!message.is_replaced())
                .then(|| self.state.identity.fingerprints.of_message_content(request.conversation_key, message));
            pending.chunk = self.chunk_of(request);
        }
        self.state.peers.outbound.peer(owner).request_sent(pending.bytes);
        self.state.peers.requests.start(request.key, pending);
    }

    /// A request of another shard's user to a conversation that this shard owns.
    pub(in crate::shard) fn on_request(&mut self, ctx: &mut Ctx<'_>, from: ShardId, mut request: ConversationRequest) {
        let verdict = match self.state.peers.outbound.is_holding(request.conversation_key) {
            true => RequestOutcome::Behind,
            false => self.commit_request(ctx, &mut request, None),
        };
        self.conclude(ctx, from, request, verdict);
    }

    /// Continues held requests, as far as there is room and the turn allows.
    pub(in crate::shard) fn resume_held_requests(&mut self, ctx: &mut Ctx<'_>) {
        self.state.peers.outbound.begin_taking_held();
        if !self.state.peers.outbound.has_held() {
            return;
        }
        for taken in 0..self.state.peers.outbound.held_per_input_max() {
            if taken > 0 && self.has_done_its_share() {
                break;
            }
            let Some((turn, mut held)) = self.state.peers.outbound.next_held() else { return };
            let is_own = held.from == self.settings.me;
            let pending = self.state.peers.requests.find_mut(held.request.key).filter(|_| is_own);
            let origin = pending.and_then(|pending| pending.origin());
            let verdict = match held.is_recipient_known {
                true => self.commit_known(ctx, &mut held.request, origin),
                false => self.commit_request(ctx, &mut held.request, origin),
            };
            if let RequestOutcome::MustWait(blocker) = verdict {
                self.state.peers.outbound.stay(&turn, held, blocker);
                if blocker == Blocker::Room {
                    return;
                }
                continue;
            }
            self.state.peers.outbound.go_on(&turn);
            self.conclude(ctx, held.from, held.request, verdict);
        }
        if self.state.peers.outbound.has_held() {
            self.state.peers.outbound.put_off_held();
        }
    }

    /// Decides about a request. `origin` is the session that asked, where it is on this shard.
    pub(in crate::shard) fn commit_request(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: &mut ConversationRequest,
        origin: Option<SessionId>,
    ) -> RequestOutcome {
        match &mut request.ask {
            RequestKind::Send(message, authority) => {
                let keys = (request.conversation_key, Some(request.key));
                self.commit_send_request(ctx, keys, message, *authority, origin)
            }
            _ => self.commit_known(ctx, request, origin),
        }
    }

    /// The same for a send, of which the conversation's owner may have to ask first whether its recipient exists.
    fn commit_send_request(
        &mut self,
        ctx: &mut Ctx<'_>,
        keys: MessageKeys,
        message: &mut UnsequencedMessage,
        authority: Authority,
        origin: Option<SessionId>,
    ) -> RequestOutcome {
        match self.expect_known(keys.0, message) {
            Some(outcome) => outcome,
            None => self.commit_known_send(ctx, keys, message, authority, origin),
        }
    }

    fn commit_known_send(
        &mut self,
        ctx: &mut Ctx<'_>,
        keys: MessageKeys,
        message: &mut UnsequencedMessage,
        authority: Authority,
        origin: Option<SessionId>,
    ) -> RequestOutcome {
        let (conversation_key, _) = keys;
        if let Err(refusal) = self.may_send(ctx.now, message, conversation_key, authority) {
            return RequestOutcome::refused(refusal);
        }
        if message.header().no_persist {
            return self.forward_transient(ctx, conversation_key, message, origin);
        }
        match self.commit_send(ctx.now, keys, message, origin) {
            Ok((record, author_seq)) => {
                RequestOutcome::Taken { record, reply: author_seq.map(|seq| sent(message, seq)) }
            }
            Err(hindrance) => hindrance.into(),
        }
    }

    /// Decides about a request whose recipient is known to exist.
    pub(in crate::shard) fn commit_known(
        &mut self,
        ctx: &mut Ctx<'_>,
        ConversationRequest { conversation_key, key, ask }: &mut ConversationRequest,
        origin: Option<SessionId>,
    ) -> RequestOutcome {
        match ask {
            RequestKind::Send(message, authority) => {
                self.commit_known_send(ctx, (*conversation_key, Some(*key)), message, *authority, origin)
            }
            RequestKind::Revoke(asker, message) => {
                self.commit_revocation(ctx.now, *conversation_key, asker, *message, None)
            }
            RequestKind::Group(..) if self.has_orders() => RequestOutcome::BehindOrders,
            RequestKind::Group(asker, request) => self.admit_group_request(ctx.now, *conversation_key, asker, request),
            RequestKind::Clear(asker, through, extent) => {
                let cleared = ClearedHistory { through: *through, extent: *extent };
                self.commit_clear(ctx.now, *conversation_key, asker, cleared)
            }
            RequestKind::Profile(asker) => self.answer_profile(asker),
            RequestKind::Receipt(asker, read) => self.commit_receipts(ctx.now, *conversation_key, asker, read),
        }
    }

    /// Continues a request with the result of its read.
    pub(in crate::shard) fn fetched_for_request(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: ShardId,
        request: ConversationRequest,
        found: Result<FetchResult, Unread>,
    ) {
        let verdict = match (&request.ask, found) {
            (RequestKind::Revoke(asker, id), Ok(FetchResult::Messages(mut found))) => {
                self.commit_revocation(ctx.now, request.conversation_key, asker, *id, Some(found.pop().flatten()))
            }
            _ => RequestOutcome::refused(self.damaged()),
        };
        self.conclude(ctx, from, request, verdict);
    }

    /// Sends the outcome to the requester, or holds the request. `from` may be this shard.
    pub(in crate::shard) fn conclude(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: ShardId,
        request: ConversationRequest,
        verdict: RequestOutcome,
    ) {
        let is_own = from == self.settings.me;
        match verdict {
            RequestOutcome::MustWait(blocker) => {
                self.state.peers.outbound.hold(HeldRequest { from, request, is_recipient_known: false }, blocker)
            }
            // It waits for the same blocker as the first held request.
            RequestOutcome::Behind => {
                self.state.peers.outbound.hold(HeldRequest { from, request, is_recipient_known: false }, Blocker::Room)
            }
            RequestOutcome::Asking => self.query_directory(request, ctx.effects),
            RequestOutcome::BehindOrders => {
                let held = HeldRequest { from, request, is_recipient_known: true };
                self.line_up(ctx, WaitingWork::Request(Box::new(held)));
            }
            RequestOutcome::Reading(wanted) => self.fetch_for_request(from, request, wanted, ctx.effects),
            RequestOutcome::Taken { record, reply } if is_own => {
                let Some(pending) = self.complete(from, request.key, None) else { return };
                let reply = accepted(reply);
                pending.waiters.into_iter().for_each(|waiter| self.defer_reply(record, waiter, reply.clone()));
            }
            RequestOutcome::Taken { .. } => {}
            RequestOutcome::Answered { after, reply } if is_own => {
                let Some(pending) = self.complete(from, request.key, None) else { return };
                self.finish_chunk(ctx.now, pending.chunk.as_deref(), &reply);
                for waiter in pending.waiters {
                    self.defer_answer(ctx, after, waiter, reply.clone());
                }
            }
            RequestOutcome::Answered { after, reply } => {
                let shard_message = ShardMessage::Answered { key: request.key, reply };
                match after {
                    Some(record) if record >= self.log.acknowledged => {
                        self.log.pending.defer(self.log.newest_record, DeferredEffect::forward(from, shard_message));
                    }
                    _ => ctx.effects.push(Effect::forward(from, shard_message)),
                }
            }
        }
    }

    /// The conversation's owner has answered a request of this shard.
    pub(in crate::shard) fn answered(&mut self, ctx: &mut Ctx<'_>, owner: ShardId, key: Fingerprint, reply: Reply) {
        let Some(pending) = self.complete(owner, key, None) else { return };
        self.finish_chunk(ctx.now, pending.chunk.as_deref(), &reply);
        for waiter in pending.waiters {
            self.defer_answer(ctx, None, waiter, reply.clone());
        }
    }

    /// Replies to the request's session. After a restart no session waits.
    pub(in crate::shard) fn complete(
        &mut self,
        owner: ShardId,
        key: Fingerprint,
        about: Option<Fingerprint>,
    ) -> Option<PendingRequest> {
        let pending = self.state.peers.requests.complete(owner, key, about)?;
        self.state.peers.outbound.peer(owner).request_answered(pending.bytes);
        Some(pending)
    }

    fn defer_answer(&mut self, ctx: &mut Ctx<'_>, after: Option<Position>, waiter: Requester, reply: Reply) {
        if waiter == Requester::Nobody {
            return;
        }
        self.meters.stats.refused += u64::from(matches!(reply, Reply::Refused(_)));
        self.answer_requester(ctx, after, waiter, reply);
    }

    /// Tries again what a full window stopped, as far as there is room and the turn allows.
    pub(in crate::shard) fn resume_stalled(&mut self, ctx: &mut Ctx<'_>) {
        for resumed in 0..self.state.peers.outbound.held_per_input_max() {
            if resumed > 0 && self.has_done_its_share() {
                return;
            }
            let Some(owner) = self.state.peers.outbound.first_unstallable() else { return };
            match self.state.peers.outbound.take_stalled(owner) {
                Some(Stalled::Command { session, tag, command }) => {
                    ctx.effects.push(Effect::Resume { session });
                    self.requested(ctx, session, tag, command);
                }
                Some(Stalled::Order { ticket, order }) => self.ordered(ctx, ticket, order),
                Some(Stalled::Allowed(allowed)) => self.allowed(ctx, *allowed),
                None => {}
            }
            self.state.peers.outbound.stalled_tried(owner);
        }
    }
}

/// The reply to a message of this shard's user.
fn accepted(reply: Option<Reply>) -> Reply {
    reply.expect("the author's inbox is on the author's shard")
}
