//! Sync (PROTOCOL 2.5): replies with a page of the user's inbox.

use crate::log::{Page, ReadMode, Storage, Unread};
use crate::model::{Refusal, Reply, RequestTag, SessionId, Sync, UserId};
use crate::shard::core::context::Ctx;
use crate::shard::peers::pending_requests::Requester;
use crate::shard::query::fetch::ColdRead;
use crate::shard::query::sync::SyncQuery;
use crate::shard::{Shard, Ticket};

/// After this many entries without a shown one, a turn leaves the search to the fetch threads.
const PASSED_AT_ONCE_MAX: usize = 256;
/// Entries that a search reads at a time, in a turn and off the core.
const SEARCHED_ENTRIES: u32 = 128;
const SEARCHED_APART_ENTRIES: u32 = 1_000;

impl<S: Storage> Shard<S> {
    /// The reply shows the inbox as it is now, and waits until that is acknowledged. Cold entries are read off the
    /// core.
    pub(in crate::shard) fn sync(&mut self, ctx: &mut Ctx<'_>, session: SessionId, tag: RequestTag, sync: Sync) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let (user, user_index, room) = (row.user.clone(), row.user_index, self.answer_room(row));
        if !self.may_query(ctx.now, user_index) {
            return self.refuse(session, tag, Refusal::SendTooFast, ctx.effects);
        }
        let tail = self.state.tables.inboxes.tail_at(user_index);
        let question = SyncQuery { user, tail, sync, entries_max: sync.limit, room };
        self.find_page(ctx, Requester::Session { session, tag }, question);
    }

    /// The same for an order: what the user would be shown.
    pub(in crate::shard) fn show_inbox(&mut self, ctx: &mut Ctx<'_>, ticket: Ticket, user: UserId, sync: Sync) {
        let waiter = Requester::order(ticket);
        let Some(user_index) = self.state.tables.inboxes.find(&user) else {
            return self.refuse_requester(waiter, Refusal::UserNotExist, ctx.effects);
        };
        let tail = self.state.tables.inboxes.tail_at(user_index);
        let question = SyncQuery { user, tail, sync, entries_max: sync.limit, room: self.order_room() };
        self.find_page(ctx, waiter, question);
    }

    /// The first page with a shown entry, or the last page. A long search continues off the core.
    fn find_page(&mut self, ctx: &mut Ctx<'_>, waiter: Requester, mut question: SyncQuery) {
        let mut passed = 0;
        // The first page is read in any case.
        while passed == 0 || passed < PASSED_AT_ONCE_MAX && !self.has_done_its_share() {
            match question.answer(self.log.journal.view(ReadMode::None)) {
                Ok(page) => {
                    passed += page.entries.len();
                    let Some(rest) = self.reply_page(ctx, &waiter, question, page) else { return };
                    question = rest.searching(SEARCHED_ENTRIES);
                }
                Err(Unread::Cold(_)) => break,
                Err(Unread::Damaged(_)) => {
                    return self.refuse_damaged(waiter, ctx.effects);
                }
            }
        }
        let user = question.user.clone();
        self.fetch_for(waiter, &user, ColdRead::Page(question), ctx.effects);
    }

    /// Continues with a page that was read off the core.
    pub(in crate::shard) fn page_read(
        &mut self,
        ctx: &mut Ctx<'_>,
        waiter: Requester,
        question: SyncQuery,
        page: Page,
    ) {
        if let Some(rest) = self.reply_page(ctx, &waiter, question, page) {
            let rest = rest.searching(SEARCHED_APART_ENTRIES);
            let user = rest.user.clone();
            self.fetch_for(waiter, &user, ColdRead::Page(rest), ctx.effects);
        }
    }

    /// Replies with the shown entries of the page, up to the requested number. Returns the next question if all entries
    /// of the page have expired and more follow: a reply without entries could not say where the next page begins.
    fn reply_page(
        &mut self,
        ctx: &mut Ctx<'_>,
        waiter: &Requester,
        question: SyncQuery,
        page: Page,
    ) -> Option<SyncQuery> {
        let rest = question.behind(&page);
        let Page { mut entries, mut has_more } = page;
        let user_index = self.state.tables.inboxes.find_or_add(&question.user);
        entries.retain_mut(|entry| self.state.present(ctx.now.wall, user_index, entry));
        if entries.is_empty() && rest.is_some() {
            return rest;
        }
        // Entries that the search has found and the reply does not contain are read again for the next page.
        has_more |= question.cut(&mut entries);
        let tail = question.tail;
        if let Some(row) = waiter.session().and_then(|session| self.state.live.sessions.find_mut(session)) {
            entries.iter().for_each(|entry| row.pushes.shown(entry));
        }
        let reply = Reply::Synced { entries, server_max_seq: tail.seq, has_more };
        let depends_on = tail.last.max(self.state.newest_tombstone());
        self.answer_page(ctx, depends_on, waiter.clone(), reply);
        None
    }
}
