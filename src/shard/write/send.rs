//! Send (PROTOCOL 2.4): checked and deduplicated at the author's shard, ordered at the conversation's owner.

use crate::log::{ReadMode, Record, Storage, Unread};
use crate::model::{
    AccountState, Authority, ClientMessageId, Conversation, ConversationName, Directory, Fact, Message, Position,
    Refusal, Reply, RequestTag, Send, Seq, SessionId, Slot, UserId,
};
use crate::shard::core::context::Ctx;
use crate::shard::peers::authored_send::{AskedSend, AuthoredSend};
use crate::shard::peers::message::UserStatus;
use crate::shard::peers::pending_requests::Requester;
use crate::shard::peers::stalled::Stalled;
use crate::shard::query::fetch::ColdRead;
use crate::shard::rows::index::UserIndex;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::write::commit::author_seq;
use crate::shard::{Placement, Shard, Ticket};

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn send(&mut self, ctx: &mut Ctx<'_>, session: SessionId, tag: RequestTag, send: Send) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let (author, user_index, slot) = (row.user.clone(), row.user_index, row.slot);
        let (sent, waiter) =
            (AuthoredSend { author, send, authority: Authority::User }, Requester::Session { session, tag });
        if self.waits_in_line(&sent.author) {
            return self.wait_in_line(ctx, sent, waiter);
        }
        self.begin_send(ctx, (slot, Some(user_index)), sent, waiter);
    }

    /// The same for an order. Neither a rate nor a daily share bounds it: orders under way are few, and the operator
    /// knows what it does.
    pub(in crate::shard) fn send_ordered(&mut self, ctx: &mut Ctx<'_>, ticket: Ticket, sent: AuthoredSend) {
        if self.state.reads.author_lines.must_wait(ticket, &sent.author) {
            return self.state.reads.author_lines.wait(ticket, sent);
        }
        let waiter = Requester::order(ticket);
        if self.waits_in_line(&sent.author) {
            return self.wait_in_line(ctx, sent, waiter);
        }
        if let Err(refusal) = self.may_be_author(&sent.author, sent.authority) {
            return self.refuse_requester(waiter, refusal, ctx.effects);
        }
        self.begin_send(ctx, (Placement::slot(&sent.author), None), sent, waiter);
    }

    /// Opens a send, as `admit` opens the verbs about a conversation that is there. `slot` is the author's; `payer` is
    /// charged, once the conversation's owner has room for the request.
    #[inline]
    fn begin_send(
        &mut self,
        ctx: &mut Ctx<'_>,
        (slot, payer): (Slot, Option<UserIndex>),
        mut sent: AuthoredSend,
        waiter: Requester,
    ) {
        let conversation = match self.check(&sent.author, &sent.send) {
            Ok(conversation) => conversation,
            Err(refusal) => return self.refuse_requester(waiter, refusal, ctx.effects),
        };
        let conversation_key = self.state.identity.fingerprints.of_conversation_of(&sent.author, slot, &conversation);
        let owner = self.settings.placement.owner_of_key(conversation_key);
        if !self.state.peers.outbound.may_request(owner) {
            return Stalled::of_send(sent, waiter).into_iter().for_each(|stalled| self.stall(ctx, owner, stalled));
        }
        let charged = payer.map(|payer| {
            let charge = self.charge_of(&sent.send, &conversation, conversation_key);
            self.charge(ctx.now, payer, charge)
        });
        let may_begin = match charged {
            Some(Err(refusal)) => return self.refuse_requester(waiter, refusal, ctx.effects),
            Some(Ok(may_begin)) => may_begin,
            None => true,
        };
        let fingerprints = self.state.identity.fingerprints;
        let key = fingerprints.of_client_message_in(slot, &sent.author, &sent.send.client_message_id);
        let Some(waiter) = self.answer_repetition(ctx, (conversation_key, key), waiter, &sent) else { return };
        if !may_begin && self.would_begin(&sent.author, &conversation, conversation_key) {
            return self.refuse_requester(waiter, Refusal::TooManyConversations, ctx.effects);
        }
        // Deliveries without room in the log may include this very message, sent before a restart.
        if self.state.peers.outbound.peer(owner).is_ahead() {
            return self.refuse_requester(waiter, Refusal::Busy, ctx.effects);
        }
        if let Some(kind) = self.hooked_kind_of(&sent, &waiter) {
            return self.ask_hook(ctx, AskedSend { sent, waiter, replacement: None }, kind);
        }
        if let Some(session) = waiter.session()
            && let Err(refusal) = self.number_chunk(ctx.now, session, &sent.author, &conversation, &mut sent.send)
        {
            return self.refuse_requester(waiter, refusal, ctx.effects);
        }
        let message = self.spares.hold(sent.author, conversation, sent.send);
        self.start_send(ctx, (conversation_key, Some(key)), message, sent.authority, waiter);
    }

    /// Continues orders that have waited for an earlier one of their author.
    pub(in crate::shard) fn continue_author_lines(&mut self, ctx: &mut Ctx<'_>) {
        for taken in 0..self.state.peers.outbound.held_per_input_max() {
            if taken > 0 && self.has_done_its_share() {
                return;
            }
            let Some((ticket, sent)) = self.state.reads.author_lines.next() else { return };
            self.send_ordered(ctx, ticket, sent);
        }
    }

    /// Whether the user may write at all. A session is there only where that is so.
    pub(in crate::shard) fn may_be_author(&self, author: &UserId, authority: Authority) -> Result<(), Refusal> {
        if self.state.tables.erased.contains(author) {
            return Err(Refusal::UserNotExist);
        }
        if authority == Authority::System {
            return Ok(());
        }
        if self.state.tables.accounts.find(author).state == AccountState::Disabled {
            return Err(Refusal::AccountDisabled);
        }
        let is_closed = self.settings.policies.directory == Directory::Closed;
        if is_closed && self.standing_of(author) == UserStatus::Stranger {
            return Err(Refusal::UserNotExist);
        }
        Ok(())
    }

    /// Checks that the author's shard can make; the owner checks membership.
    pub(in crate::shard) fn check(&self, author: &UserId, send: &Send) -> Result<Conversation, Refusal> {
        if send.content.len() > self.settings.limits.content_bytes_max {
            return Err(Refusal::MessageTooLarge);
        }
        if passes_for_the_servers(send) {
            return Err(Refusal::InvalidParam);
        }
        let conversation = Conversation::between(author, &send.recipient);
        match &send.conversation_name {
            Some(name) => self.check_name(author, name, &conversation).map(|()| conversation),
            None => Ok(conversation),
        }
    }

    fn check_name(&self, author: &UserId, name: &ConversationName, conversation: &Conversation) -> Result<(), Refusal> {
        if self.state.is_taken_name(author, name, conversation) {
            return Err(Refusal::InvalidParam);
        }
        let Some(user_index) = self.state.tables.inboxes.find(author) else { return Ok(()) };
        if self.state.tables.inboxes.names_given(user_index) < self.settings.limits.conversation_names_max {
            return Ok(());
        }
        let at = self.state.find_row(conversation);
        let is_renamed = at.is_some_and(|at| self.state.tables.inboxes.name_of(user_index, at).is_some());
        if is_renamed { Ok(()) } else { Err(Refusal::TooManyNames) }
    }

    /// Answers a send whose client id was used before; returns the requester when it was not.
    pub(in crate::shard) fn answer_repetition(
        &mut self,
        ctx: &mut Ctx<'_>,
        (conversation_key, key): (Fingerprint, Fingerprint),
        waiter: Requester,
        AuthoredSend { author, send, authority }: &AuthoredSend,
    ) -> Option<Requester> {
        if let Some(pending) = self.state.peers.requests.find_mut(key) {
            // A replaced message has none: any content repeats it.
            let content = self.state.identity.fingerprints.of_send_content(conversation_key, send);
            if pending.content.is_some_and(|first| first != content) {
                self.refuse_requester(waiter, Refusal::ClientMessageIdReused, ctx.effects);
                return None;
            }
            self.meters.stats.repeated += 1;
            // A session asks again when it gets no answer, and an order is answered in any case.
            if let Err(surplus @ Requester::Order { .. }) = pending.wait(waiter) {
                self.refuse_requester(surplus, Refusal::Busy, ctx.effects);
            }
            return None;
        }
        let Some(position) = self.state.tables.dedupe.find(key) else { return Some(waiter) };
        let view = self.log.journal.view(ReadMode::None);
        if view.is_gone(position) {
            return Some(waiter);
        }
        match view.read(position) {
            Ok(record) => return self.repeat(ctx, waiter, send, (position, record)),
            Err(Unread::Damaged(_)) => self.refuse_damaged(waiter, ctx.effects),
            Err(Unread::Cold(_)) => {
                let send = Box::new(send.clone());
                let wanted = ColdRead::First { position, send, authority: *authority };
                if let Requester::Order { ticket, .. } = waiter {
                    self.state.reads.author_lines.begin(ticket, author);
                }
                self.fetch_for(waiter, author, wanted, ctx.effects);
            }
        }
        None
    }

    /// Continues once the record of the first send was fetched. If that is too old to count, the send is examined
    /// again, because another session may have sent it meanwhile.
    pub(in crate::shard) fn first_read(
        &mut self,
        ctx: &mut Ctx<'_>,
        waiter: Requester,
        (position, sent): (Position, AuthoredSend),
        record: Option<Record>,
    ) {
        let key = self.state.identity.fingerprints.of_client_message(&sent.author, &sent.send.client_message_id);
        let waiter = match record {
            Some(record) => self.repeat(ctx, waiter, &sent.send, (position, record)),
            None => Some(waiter),
        };
        let Some(waiter) = waiter else { return };
        self.state.tables.dedupe.forget(key, position);
        match waiter {
            Requester::Session { session, tag } => {
                let Some(user_index) = self.state.live.sessions.find(session).map(|row| row.user_index) else { return };
                self.state.tables.inboxes.allowance_at(user_index, ctx.now).sends.give_back(&self.settings.limits);
                self.send(ctx, session, tag, sent.send);
            }
            Requester::Order { ticket, .. } => self.send_ordered(ctx, ticket, sent),
            Requester::Nobody => {}
        }
    }

    /// Answers a send as its first one was answered, from the record of the first; returns the requester if that is too
    /// old to count.
    pub(in crate::shard) fn repeat(
        &mut self,
        ctx: &mut Ctx<'_>,
        waiter: Requester,
        send: &Send,
        (position, record): (Position, Record),
    ) -> Option<Requester> {
        let first = match record {
            Record::Posted { message, links, .. }
            | Record::Delivered { message, links, .. }
            | Record::Carried { message, links } => author_seq(&links).map(|seq| (message, seq)),
            _ => None,
        };
        let Some((message, seq)) = first else {
            self.refuse_damaged(waiter, ctx.effects);
            return None;
        };
        if self.background.clock.is_older(ctx.now, message.server_time, self.settings.limits.dedupe_window_ms) {
            return Some(waiter);
        }
        let conversation_key =
            self.state.identity.fingerprints.of_conversation(&Conversation::between(&message.author, &send.recipient));
        let first_name = self.state.identity.fingerprints.of_conversation(&message.conversation);
        let first = self.state.identity.fingerprints.of_message_content(first_name, &message);
        let is_same = self.state.identity.fingerprints.of_send_content(conversation_key, send) == first;
        if is_same || message.is_replaced() {
            self.meters.stats.repeated += 1;
            self.answer_requester(ctx, Some(position), waiter.repeating(), sent(&message, seq));
        } else {
            self.refuse_requester(waiter, Refusal::ClientMessageIdReused, ctx.effects);
        }
        None
    }

    pub(in crate::shard) fn defer_sent(&mut self, record: Position, waiter: Requester, message: &Message, seq: Seq) {
        self.defer_reply(record, waiter, sent(message, seq));
    }
}

/// Whether a client's send uses types or ids that only the server may use: for a fact, a revocation, or the end of an
/// abandoned stream.
fn passes_for_the_servers(send: &Send) -> bool {
    Fact::MESSAGE_TYPES.contains(&send.message_type)
        || send.extra.iter().any(|(key, _)| key == Message::REVOKED_KEY)
        || send.client_message_id.as_str().starts_with(ClientMessageId::SERVER_PREFIX)
}

pub(in crate::shard) fn sent(message: &Message, seq: Seq) -> Reply {
    Reply::Sent {
        message_id: message.id,
        seq,
        conversation_seq: message.conversation_seq,
        server_time: message.server_time,
    }
}
