//! Revocation (PROTOCOL 2.6): an author, or an owner or admin of the group, takes a message back for all readers.

use crate::log::{ReadMode, Storage, Unread};
use crate::model::{
    Authority, Command, Conversation, Fact, Message, MessageId, Moment, Order, Refusal, Reply, RequestTag, Revoke,
    Role, SessionId, UnsequencedMessage, UserId,
};
use crate::shard::core::context::Ctx;
use crate::shard::peers::message::{Asker, RequestKind};
use crate::shard::peers::pending_requests::Requester;
use crate::shard::peers::stalled::Stalled;
use crate::shard::query::fetch::ColdRead;
use crate::shard::query::search::MessageSearch;
use crate::shard::rows::charge::Charge;
use crate::shard::rows::index::ConversationIndex;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::write::request::RequestOutcome;
use crate::shard::{Shard, Ticket};
use std::sync::Arc;

/// Conversations that one read searches for a message.
const SEARCHED_AT_ONCE_MAX: usize = 1_024;

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn revoke(&mut self, ctx: &mut Ctx<'_>, session: SessionId, tag: RequestTag, revoke: Revoke) {
        let charge = Charge::of(0, 0, &self.settings.limits);
        let Some(admitted) = self.admit(ctx, session, tag, &revoke.conversation, charge) else { return };
        let Some(addressed) = self.address(ctx, &admitted, || Command::Revoke(revoke.clone())) else { return };
        let members = self.members_about(&addressed.asker.conversation, addressed.conversation_key);
        let charge = Charge::of_members(members, &self.settings.limits);
        if let Err(refusal) = self.charge(ctx.now, admitted.user_index, charge) {
            return self.refuse(session, admitted.tag, refusal, ctx.effects);
        }
        self.ask(ctx, addressed, admitted.requester(), |asker| RequestKind::Revoke(asker, revoke.message));
    }

    /// The operator takes a message back. In which of the user's conversations it is has to be found.
    pub(in crate::shard) fn revoke_ordered(
        &mut self,
        ctx: &mut Ctx<'_>,
        ticket: Ticket,
        user: UserId,
        message: MessageId,
    ) {
        let user_index = self.state.tables.inboxes.find(&user);
        let words = user_index.map_or(0, |user_index| self.state.tables.inboxes.seat_words_of(user_index));
        self.search(ctx, ticket, (user, message), words);
    }

    /// Off the core, some conversations at a time; the newest of the user's first. A message that is there
    /// already is in none that is begun meanwhile. At last, those of groups whose changes are still on their
    /// way to members here: the user may be about to have a seat.
    fn search(&mut self, ctx: &mut Ctx<'_>, ticket: Ticket, (user, message): (UserId, MessageId), words: usize) {
        let waiter = Requester::order(ticket);
        let Some(user_index) = self.state.tables.inboxes.find(&user) else {
            return self.refuse_requester(waiter, Refusal::UserNotExist, ctx.effects);
        };
        let conversation = |at: ConversationIndex| {
            let row = self.state.tables.conversations.at(at);
            (row.conversation(&self.state.tables.inboxes), row.tail.tail())
        };
        let (mut conversations, mut words_left) = (Vec::new(), 0);
        for (seat, words_before) in self.state.tables.inboxes.seats_before(user_index, words) {
            if conversations.len() == SEARCHED_AT_ONCE_MAX {
                break;
            }
            conversations.push(conversation(seat.conversation));
            words_left = words_before;
        }
        if words_left == 0 {
            conversations.extend(self.state.groups.fan_out.groups().map(|(at, _)| conversation(at)));
        }
        self.state.rows_visited.count(conversations.len());
        let search = MessageSearch { message, conversations, words_left, searched: 0 };
        self.fetch_for(waiter, &user, ColdRead::Search(search), ctx.effects);
    }

    /// Some of the user's conversations were searched.
    pub(in crate::shard) fn searched(
        &mut self,
        ctx: &mut Ctx<'_>,
        waiter: Requester,
        (user, search): (UserId, MessageSearch),
        found: Option<Conversation>,
    ) {
        let Requester::Order { ticket, .. } = waiter else { return };
        let message = search.message;
        let conversation = match found {
            Some(conversation) => conversation,
            None if search.words_left == 0 => {
                return self.refuse_requester(waiter, Refusal::ConversationNotExist, ctx.effects);
            }
            None => return self.search(ctx, ticket, (user, message), search.words_left),
        };
        let addressed = self.addressed_by(Asker { user, conversation, authority: Authority::System });
        if !self.state.peers.outbound.has_room_for_request(addressed.owner) {
            let order = Order::Revoke { user: addressed.asker.user, message };
            return self.stall(ctx, addressed.owner, Stalled::Order { ticket, order });
        }
        self.ask(ctx, addressed, waiter, |asker| RequestKind::Revoke(asker, message));
    }

    /// At the conversation's owner, which sends the answer itself: after a restart the fact may be sent again, and then
    /// it must not answer anybody. `found` is the message if it had to be fetched.
    pub(in crate::shard) fn commit_revocation(
        &mut self,
        now: Moment,
        conversation_key: Fingerprint,
        Asker { user, conversation, authority }: &Asker,
        id: MessageId,
        found: Option<Option<Arc<Message>>>,
    ) -> RequestOutcome {
        // Checked first: searching for the message in every turn until then would be expensive.
        let fact = Fact::Revoked { message: id };
        let targets = self.targets_of(conversation, Some(&fact));
        if self.is_stuck(&targets) {
            return RequestOutcome::refused(Refusal::StorageFull);
        }
        if let Some(blocker) = self.blocker(&targets) {
            return RequestOutcome::MustWait(blocker);
        }
        if self.is_too_busy(conversation, conversation_key) {
            return RequestOutcome::refused(Refusal::GroupTooBusy);
        }
        let found = match found {
            Some(found) => found,
            None => {
                let Some(lookup) = self.state.lookup(conversation, vec![id]) else {
                    return RequestOutcome::refused(Refusal::ConversationNotExist);
                };
                match lookup.answer(self.log.journal.view(ReadMode::None)) {
                    Ok(mut found) => found.pop().flatten(),
                    Err(Unread::Cold(_)) if !self.may_fetch_apart(user) => {
                        return RequestOutcome::refused(Refusal::Busy);
                    }
                    Err(Unread::Cold(_)) => return RequestOutcome::Reading(ColdRead::Messages(lookup)),
                    Err(Unread::Damaged(_)) => return RequestOutcome::refused(self.damaged()),
                }
            }
        };
        let Some(message) = found.filter(|message| message.fact.is_none()) else {
            return RequestOutcome::refused(Refusal::InvalidParam);
        };
        let by = match authority {
            Authority::User => user,
            // The operator is not a user, so the revocation names the message's author.
            Authority::System => &message.author,
        };
        if *authority == Authority::User
            && let Err(refusal) = self.may_revoke(now, by, &message)
        {
            return RequestOutcome::refused(refusal);
        }
        if self.state.tables.revoked.contains(id) {
            return RequestOutcome::Answered { after: Some(self.log.newest_record), reply: Reply::Done };
        }
        let mut message = UnsequencedMessage::of_fact(now.wall, conversation.clone(), by.clone(), fact);
        match self.commit(now, (conversation_key, None), &mut message, None) {
            Ok((record, _)) => RequestOutcome::Answered { after: Some(record), reply: Reply::Done },
            Err(hindrance) => hindrance.into(),
        }
    }

    /// Whether `by` may revoke the message. A revoked message may be revoked again at any time. A group that was
    /// dissolved and created again has no say in earlier messages.
    fn may_revoke(&self, now: Moment, by: &UserId, message: &Message) -> Result<(), Refusal> {
        let is_young = self.background.clock.age_ms(now, message.server_time) < self.settings.limits.revoke_window_ms;
        let is_in_time = is_young || self.state.tables.revoked.contains(message.id);
        let is_authors = message.author == *by && is_in_time;
        let may = match &message.conversation {
            Conversation::Pair(a, b) => {
                let conversation_key = self.state.identity.fingerprints.of_conversation(&message.conversation);
                let peer = if a == by { b } else { a };
                is_authors && !self.state.tables.blocks.is_blocked(conversation_key, peer, by)
            }
            Conversation::Group(_) => {
                let conversation_key = self.state.identity.fingerprints.of_conversation(&message.conversation);
                let group = self.state.groups.rosters.find(conversation_key).ok_or(Refusal::ConversationNotExist)?;
                let standing = group.members.get(by).filter(|_| message.server_time >= group.created);
                standing.is_some_and(|standing| is_authors || standing.role >= Role::Admin)
            }
        };
        if may { Ok(()) } else { Err(Refusal::PermissionDenied) }
    }
}
