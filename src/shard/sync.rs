//! Sync (PROTOCOL 2.5): a page of one's own inbox.

use super::fetch::Wanted;
use super::in_flight::Waiter;
use super::{Effect, Shard};
use crate::log::{Page, Patience, Segments, Storage, Tail, Thread, Unread, View};
use crate::model::{Moment, Refusal, Reply, RequestTag, SessionId, Sync, SyncDirection, UserId};

/// Entries that one turn passes over for a page, where none of them is shown.
const PASSED_MAX: u32 = 2_000;

impl<S: Storage> Shard<S> {
    /// The answer shows the inbox as it is now, and waits until that is durable. What may have to come from the disk is
    /// read elsewhere.
    pub(super) fn sync(
        &mut self,
        now: Moment,
        session: SessionId,
        tag: RequestTag,
        sync: Sync,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let (user, place) = (row.user.clone(), row.place);
        if !self.may_query(now, place) {
            return self.refuse(session, tag, Refusal::SendTooFast, effects);
        }
        let tail = self.state.inboxes.tail_at(place);
        let question = Question { user, tail, sync, bytes_max: self.settings.limits.sync_bytes_max };
        self.find_page(now, Waiter { session, tag }, question, effects);
    }

    /// The first page that shows something, or the last one. What takes a turn too long is looked for off the core.
    fn find_page(&mut self, now: Moment, waiter: Waiter, question: Question, effects: &mut Vec<Effect>) {
        let (mut passed, mut next) = (0, Some(question));
        while let Some(question) = next {
            if passed >= PASSED_MAX {
                return self.fetch(waiter.session, waiter.tag, Wanted::Page(question), effects);
            }
            passed += question.sync.limit.max(1);
            next = match question.answer(self.journal.view(Patience::None)) {
                Ok(page) => self.tell_page(now, &waiter, question, page, effects),
                Err(Unread::Cold(_)) => {
                    return self.fetch(waiter.session, waiter.tag, Wanted::Page(question), effects);
                }
                Err(Unread::Damaged(_)) => {
                    return self.refuse(waiter.session, waiter.tag, Refusal::StorageDamaged, effects);
                }
            };
        }
    }

    /// A page that was read off the core.
    pub(super) fn page_read(
        &mut self,
        now: Moment,
        waiter: Waiter,
        question: Question,
        page: Page,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(rest) = self.tell_page(now, &waiter, question, page, effects) {
            self.fetch(waiter.session, waiter.tag, Wanted::Page(rest), effects);
        }
    }

    /// Answers with the page; gives back what to ask instead when all of it has vanished and more follows: without an
    /// entry, an answer does not say where that begins.
    fn tell_page(
        &mut self,
        now: Moment,
        Waiter { session, tag }: &Waiter,
        question: Question,
        page: Page,
        effects: &mut Vec<Effect>,
    ) -> Option<Question> {
        let rest = question.behind(&page);
        let Question { user, tail, .. } = question;
        let Page { mut entries, has_more } = page;
        let place = self.state.inboxes.find_or_add(&user);
        entries.retain_mut(|entry| self.state.present(now.wall, place, entry));
        if entries.is_empty() && rest.is_some() {
            return rest;
        }
        if let Some(row) = self.state.sessions.find_mut(*session) {
            entries.iter().for_each(|entry| row.pushes.shown(entry));
        }
        let reply = Reply::Synced { entries, server_max_seq: tail.seq, has_more };
        let depends_on = tail.last.max(self.state.revoked.newest_record());
        self.tell_when_acknowledged(now, depends_on, *session, tag.clone(), reply, effects);
        None
    }
}

/// A page that was asked for, and the inbox as it was then.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub user: UserId,
    pub tail: Tail,
    pub sync: Sync,
    pub bytes_max: usize,
}

impl Question {
    /// What to ask for what follows the page, if anything does.
    fn behind(&self, page: &Page) -> Option<Self> {
        let direction = match self.sync.direction {
            SyncDirection::After(_) => SyncDirection::After(page.entries.last()?.seq),
            SyncDirection::Before(_) => SyncDirection::Before(page.entries.first()?.seq),
        };
        let sync = Sync { direction, ..self.sync };
        page.has_more.then(|| Self { user: self.user.clone(), sync, ..*self })
    }

    pub fn answer<S: Segments>(&self, view: View<'_, S>) -> Result<Page, Unread> {
        let Self { user, tail, sync, bytes_max } = self;
        match sync.direction {
            SyncDirection::After(seq) => tail.page_after(view, Thread::Inbox(user), seq, sync.limit, *bytes_max),
            SyncDirection::Before(seq) => tail.page_before(view, Thread::Inbox(user), seq, sync.limit, *bytes_max),
        }
    }
}
