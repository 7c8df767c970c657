//! Sync (PROTOCOL 2.5): replies with a page of the user's inbox.

use crate::log::{Page, ReadMode, Storage, Unread};
use crate::model::{Refusal, Reply, RequestTag, SessionId, Sync};
use crate::shard::Shard;
use crate::shard::core::context::Ctx;
use crate::shard::peers::pending_requests::Requester;
use crate::shard::query::fetch::ColdRead;
use crate::shard::query::sync::SyncQuery;

/// Entries of which none is shown: where a turn has passed over so many, it leaves the search to the fetch threads.
const PASSED_AT_ONCE_MAX: usize = 256;
/// Read at once by a search for what is shown, in a turn and off the core.
const SEARCHED_ENTRIES: u32 = 128;
const SEARCHED_APART_ENTRIES: u32 = 1_000;

impl<S: Storage> Shard<S> {
    /// The answer shows the inbox as it is now, and waits until that is durable. What may have to come from the disk is
    /// read elsewhere.
    pub(in crate::shard) fn sync(&mut self, ctx: &mut Ctx<'_>, session: SessionId, tag: RequestTag, sync: Sync) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let (user, place, room) = (row.user.clone(), row.place, self.answer_room(row));
        if !self.may_query(ctx.now, place) {
            return self.refuse(session, tag, Refusal::SendTooFast, ctx.effects);
        }
        let tail = self.state.tables.inboxes.tail_at(place);
        let question = SyncQuery { user, tail, sync, entries_max: sync.limit, room };
        self.find_page(ctx, Requester { session, tag }, question);
    }

    /// The first page that shows something, or the last one. What takes a turn too long is looked for off the core.
    fn find_page(&mut self, ctx: &mut Ctx<'_>, waiter: Requester, mut question: SyncQuery) {
        let mut passed = 0;
        while passed < PASSED_AT_ONCE_MAX {
            match question.answer(self.log.journal.view(ReadMode::None)) {
                Ok(page) => {
                    passed += page.entries.len();
                    let Some(rest) = self.reply_page(ctx, &waiter, question, page) else { return };
                    question = rest.searching(SEARCHED_ENTRIES);
                }
                Err(Unread::Cold(_)) => break,
                Err(Unread::Damaged(_)) => {
                    return self.refuse(waiter.session, waiter.tag, Refusal::StorageDamaged, ctx.effects);
                }
            }
        }
        self.fetch(waiter.session, waiter.tag, ColdRead::Page(question), ctx.effects);
    }

    /// A page that was read off the core.
    pub(in crate::shard) fn page_read(
        &mut self,
        ctx: &mut Ctx<'_>,
        waiter: Requester,
        question: SyncQuery,
        page: Page,
    ) {
        if let Some(rest) = self.reply_page(ctx, &waiter, question, page) {
            let rest = rest.searching(SEARCHED_APART_ENTRIES);
            self.fetch(waiter.session, waiter.tag, ColdRead::Page(rest), ctx.effects);
        }
    }

    /// Answers with what is shown of the page, as far as it was asked for; gives back what to ask instead when all of
    /// it has vanished and more follows: without an entry, an answer does not say where that begins.
    fn reply_page(
        &mut self,
        ctx: &mut Ctx<'_>,
        Requester { session, tag }: &Requester,
        question: SyncQuery,
        page: Page,
    ) -> Option<SyncQuery> {
        let rest = question.behind(&page);
        let Page { mut entries, mut has_more } = page;
        let place = self.state.tables.inboxes.find_or_add(&question.user);
        entries.retain_mut(|entry| self.state.present(ctx.now.wall, place, entry));
        if entries.is_empty() && rest.is_some() {
            return rest;
        }
        // What a search has found behind what it gives is asked for again.
        has_more |= question.cut(&mut entries);
        let tail = question.tail;
        if let Some(row) = self.state.live.sessions.find_mut(*session) {
            entries.iter().for_each(|entry| row.pushes.shown(entry));
        }
        let reply = Reply::Synced { entries, server_max_seq: tail.seq, has_more };
        let depends_on = tail.last.max(self.state.tables.revoked.newest_record());
        self.reply_page_when_acknowledged(ctx, depends_on, (*session, tag.clone()), reply);
        None
    }
}
