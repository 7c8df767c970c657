//! History (PROTOCOL 3.16): replies with a page of one conversation.

use crate::log::{ReadMode, Storage, Unread};
use crate::model::{History, Refusal, Reply, RequestTag, Seq, SessionId};
use crate::shard::Shard;
use crate::shard::core::context::Ctx;
use crate::shard::peers::pending_requests::Requester;
use crate::shard::query::fetch::ColdRead;
use crate::shard::query::history::{HistoryPage, HistoryQuestion};

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn history(
        &mut self,
        ctx: &mut Ctx<'_>,
        session: SessionId,
        tag: RequestTag,
        history: History,
    ) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let (user, place, room) = (row.user.clone(), row.place, self.answer_room(row));
        if !self.may_query(ctx.now, place) {
            return self.refuse(session, tag, Refusal::SendTooFast, ctx.effects);
        }
        let Some(seated) = self.state.resolve(&user, &history.conversation) else {
            return self.refuse(session, tag, Refusal::ConversationNotExist, ctx.effects);
        };
        let (conversation, seat) = self.state.seated(seated);
        let question = HistoryQuestion {
            conversation: conversation.clone(),
            tail: self.state.tables.conversations.at(seated.at).tail.tail(),
            direction: history.direction,
            limit: history.limit,
            topic: history.topic,
            joined: seat.joined,
            newest: self.state.seen_through(seated),
            room,
        };
        match question.answer(self.log.journal.view(ReadMode::None)) {
            Ok(page) => self.reply_history(ctx, Requester::Session { session, tag }, &question, page),
            Err(Unread::Damaged(_)) => self.refuse(session, tag, Refusal::StorageDamaged, ctx.effects),
            Err(Unread::Cold(_)) => self.fetch(session, tag, ColdRead::History(question), ctx.effects),
        }
    }

    pub(in crate::shard) fn reply_history(
        &mut self,
        ctx: &mut Ctx<'_>,
        waiter: Requester,
        question: &HistoryQuestion,
        page: HistoryPage,
    ) {
        let Requester::Session { session, tag } = waiter else { return };
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let place = row.place;
        let mut messages = page.entries;
        messages.retain_mut(|entry| {
            entry.seq = Seq(0);
            self.state.present(ctx.now.wall, place, entry)
        });
        let HistoryPage { reached, has_more, .. } = page;
        let reply = Reply::History { messages, reached, newest_seq: question.newest, has_more };
        let depends_on = question.tail.last.max(self.state.tables.revoked.newest_record());
        self.reply_page_when_acknowledged(ctx, depends_on, (session, tag), reply);
    }
}
