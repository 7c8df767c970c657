//! History (PROTOCOL 3.16): replies with a page of one conversation.

use crate::log::{ReadMode, Storage, Unread};
use crate::model::{
    Conversation, ConversationSeq, History, HistoryDirection, Refusal, Reply, RequestTag, Seq, SessionId, UserId,
};
use crate::shard::core::context::Ctx;
use crate::shard::peers::pending_requests::Requester;
use crate::shard::query::fetch::ColdRead;
use crate::shard::query::history::{HistoryPage, HistoryQuestion};
use crate::shard::{Shard, Ticket};

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn history(
        &mut self,
        ctx: &mut Ctx<'_>,
        session: SessionId,
        tag: RequestTag,
        history: History,
    ) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let (user, user_index, room) = (row.user.clone(), row.user_index, self.answer_room(row));
        if !self.may_query(ctx.now, user_index) {
            return self.refuse(session, tag, Refusal::SendTooFast, ctx.effects);
        }
        let Some(seated) = self.state.resolve(&user, &history.conversation) else {
            return self.refuse(session, tag, Refusal::ConversationNotExist, ctx.effects);
        };
        let (conversation, _) = self.state.seated(seated);
        let question = HistoryQuestion {
            conversation: conversation.clone(),
            tail: self.state.tables.conversations.at(seated.at).tail.tail(),
            direction: history.direction,
            limit: history.limit,
            topic: history.topic,
            joined: self.state.first_shown(seated),
            newest: self.state.seen_through(seated),
            room,
        };
        match question.answer(self.log.journal.view(ReadMode::None)) {
            Ok(page) => self.reply_history(ctx, Requester::Session { session, tag }, &question, page),
            Err(Unread::Damaged(_)) => self.refuse_damaged(Requester::Session { session, tag }, ctx.effects),
            Err(Unread::Cold(_)) => self.fetch(session, tag, ColdRead::History(question), ctx.effects),
        }
    }

    /// All of a conversation for an order, at its owner, whoever may see which part.
    pub(in crate::shard) fn show_history(
        &mut self,
        ctx: &mut Ctx<'_>,
        ticket: Ticket,
        conversation: Conversation,
        (direction, limit): (HistoryDirection, u32),
    ) {
        let waiter = Requester::order(ticket);
        let Some(at) = self.state.find_row(&conversation) else {
            return self.refuse_requester(waiter, Refusal::ConversationNotExist, ctx.effects);
        };
        let tail = self.state.tables.conversations.at(at).tail.tail();
        // Reads take turns by users: those of one conversation are its own.
        let user = match &conversation {
            Conversation::Pair(smaller, _) => Some(smaller.clone()),
            Conversation::Group(group) => UserId::new(group.as_str()).ok(),
        };
        let question = HistoryQuestion {
            conversation,
            tail,
            direction,
            limit,
            topic: None,
            joined: ConversationSeq(0),
            newest: ConversationSeq(tail.seq.0),
            room: self.order_room(),
        };
        match (question.answer(self.log.journal.view(ReadMode::None)), user) {
            (Ok(page), _) => self.reply_history(ctx, waiter, &question, page),
            (Err(Unread::Cold(_)), Some(user)) => {
                self.fetch_for(waiter, &user, ColdRead::History(question), ctx.effects);
            }
            (Err(_), _) => self.refuse_damaged(waiter, ctx.effects),
        }
    }

    pub(in crate::shard) fn reply_history(
        &mut self,
        ctx: &mut Ctx<'_>,
        waiter: Requester,
        question: &HistoryQuestion,
        page: HistoryPage,
    ) {
        let viewer = match waiter.session() {
            Some(session) => {
                let Some(row) = self.state.live.sessions.find(session) else { return };
                Some(row.user_index)
            }
            None => None,
        };
        let mut messages = page.entries;
        messages.retain_mut(|entry| {
            entry.seq = Seq(0);
            match viewer {
                Some(user) => self.state.present(ctx.now.wall, user, entry),
                None => self.state.present_to_operator(ctx.now.wall, entry),
            }
        });
        let HistoryPage { reached, has_more, .. } = page;
        let reply = Reply::History { messages, reached, newest_seq: question.newest, has_more };
        let depends_on = question.tail.last.max(self.state.newest_tombstone());
        self.answer_page(ctx, depends_on, waiter, reply);
    }
}
