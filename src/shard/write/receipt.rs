//! Read receipts (PROTOCOL 2.6): a reader names messages, and their authors are notified, once per reader and message.
//!
//! The reader's own shard knows which messages the reader sees and who wrote them, and moves the reader's position in
//! the conversation; the conversation's owner knows which receipts were sent already.

use crate::log::{ReadMode, Storage, Unread};
use crate::model::{
    Command, Conversation, Fact, Message, Moment, ReadMessage, Receipt, Refusal, Reply, RequestTag, SessionId,
    UnsequencedMessage, UserId,
};
use crate::shard::core::context::Ctx;
use crate::shard::peers::message::{Asker, RequestKind};
use crate::shard::peers::pending_requests::Requester;
use crate::shard::query::fetch::ColdRead;
use crate::shard::rows::charge::Charge;
use crate::shard::rows::index::ConversationIndex;
use crate::shard::rows::seat::{Membership, Seated};
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::write::admit::Admitted;
use crate::shard::write::mark_read::READ_RECORD_BYTES_MAX;
use crate::shard::write::request::RequestOutcome;
use crate::shard::{Effect, Shard};
use std::collections::BTreeMap;
use std::sync::Arc;

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn receipt(
        &mut self,
        ctx: &mut Ctx<'_>,
        session: SessionId,
        tag: RequestTag,
        mut receipt: Receipt,
    ) {
        let charge = Charge::of(0, 0, &self.settings.limits);
        let Some(admitted) = self.admit(ctx, session, tag, &receipt.conversation, charge) else { return };
        if self.address(ctx, &admitted, || Command::Receipt(receipt.clone())).is_none() {
            return;
        }
        let Admitted { tag, seated, .. } = admitted;
        if !(1..=Receipt::MESSAGES_MAX).contains(&receipt.messages.len()) {
            return self.refuse(session, tag, Refusal::InvalidParam, ctx.effects);
        }
        if !self.log.journal.has_room(READ_RECORD_BYTES_MAX) {
            return self.refuse(session, tag, Refusal::StorageFull, ctx.effects);
        }
        receipt.messages.sort_unstable();
        receipt.messages.dedup();
        let lookup = self.state.lookup_at(seated.at, receipt.messages.clone());
        match lookup.answer(self.log.journal.view(ReadMode::None)) {
            Ok(found) => self.receipt_found(ctx, Requester::Session { session, tag }, seated.at, receipt, &found),
            Err(Unread::Cold(_)) => self.fetch(session, tag, ColdRead::Receipt(lookup, Box::new(receipt)), ctx.effects),
            Err(Unread::Damaged(_)) => self.refuse_damaged(Requester::Session { session, tag }, ctx.effects),
        }
    }

    /// Continues once the named messages are known or known to be missing. The conversation is the one that the name
    /// meant at the time of the request. Messages that the reader does not see are ignored.
    pub(in crate::shard) fn receipt_found(
        &mut self,
        ctx: &mut Ctx<'_>,
        waiter: Requester,
        at: ConversationIndex,
        receipt: Receipt,
        found: &[Option<Arc<Message>>],
    ) {
        let Requester::Session { session, tag } = waiter.clone() else { return };
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let (user, user_index) = (row.user.clone(), row.user_index);
        let Some(seat) = self.state.seat_of(user_index, at) else {
            return self.refuse(session, tag, Refusal::ConversationNotExist, ctx.effects);
        };
        let seated = Seated { at, seat };
        let admitted = Admitted { session, tag, user, user_index, seated };
        let Some(addressed) = self.address(ctx, &admitted, || Command::Receipt(receipt)) else { return };
        let Admitted { tag, user: reader, .. } = admitted;
        let (_, Membership { joined, .. }) = self.state.seated(seated);
        let seen = joined..=self.state.seen_through(seated);
        let found: Vec<_> = found.iter().flatten().filter(|it| seen.contains(&it.conversation_seq)).collect();
        if let Some(through) = found.iter().map(|message| message.conversation_seq).max()
            && let Err(refusal) = self.read_through(seated, through, ctx.effects)
        {
            return self.refuse(session, tag, refusal, ctx.effects);
        }
        let mut read: BTreeMap<UserId, Vec<ReadMessage>> = BTreeMap::new();
        for message in found.into_iter().filter(|message| message.fact.is_none() && message.author != reader) {
            let one = ReadMessage { id: message.id, conversation_seq: message.conversation_seq };
            read.entry(message.author.clone()).or_default().push(one);
        }
        if read.is_empty() {
            return ctx.effects.push(Effect::Reply { session, tag, reply: Reply::Done });
        }
        self.ask(ctx, addressed, waiter, |asker| RequestKind::Receipt(asker, read));
    }

    /// At the conversation's owner: commits one fact for each author with new receipts. If a window or the log has no
    /// room, the receipts so far stay, and a repetition continues after them.
    pub(in crate::shard) fn commit_receipts(
        &mut self,
        now: Moment,
        conversation_key: Fingerprint,
        Asker { user, conversation, .. }: &Asker,
        read: &BTreeMap<UserId, Vec<ReadMessage>>,
    ) -> RequestOutcome {
        if !self.is_in(user, conversation) {
            return RequestOutcome::refused(Refusal::PermissionDenied);
        }
        if self.is_too_busy(conversation, conversation_key) {
            return RequestOutcome::refused(Refusal::GroupTooBusy);
        }
        let reader = self.state.identity.fingerprints.of_reader(conversation, user);
        for (told, messages) in read {
            let is_news = |it: &&ReadMessage| !self.state.tables.receipts.contains(reader, it.conversation_seq);
            let messages: Vec<ReadMessage> = messages.iter().filter(is_news).copied().collect();
            // An author who has blocked the reader gets no receipt, and the reader is not told that.
            let is_pair = matches!(conversation, Conversation::Pair(..));
            let is_blocked = is_pair && self.state.tables.blocks.is_blocked(conversation_key, told, user);
            if messages.is_empty() || is_blocked {
                continue;
            }
            let fact = Fact::Read { told: told.clone(), messages };
            let mut message = UnsequencedMessage::of_fact(now.wall, conversation.clone(), user.clone(), fact);
            if let Err(hindrance) = self.commit(now, (conversation_key, None), &mut message, None) {
                return hindrance.into();
            }
        }
        RequestOutcome::Answered { after: Some(self.log.newest_record), reply: Reply::Done }
    }

    /// Whether a user is in the conversation, as its owner knows it.
    pub(in crate::shard) fn is_in(&self, user: &UserId, conversation: &Conversation) -> bool {
        match conversation {
            Conversation::Pair(a, b) => a == user || b == user,
            Conversation::Group(_) => {
                let conversation_key = self.state.identity.fingerprints.of_conversation(conversation);
                self.state.groups.rosters.find(conversation_key).is_some_and(|group| group.members.contains(user))
            }
        }
    }
}
