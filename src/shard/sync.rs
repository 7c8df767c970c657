//! Sync (PROTOCOL 2.5): a page of one's own inbox.

use super::fetch::Wanted;
use super::in_flight::Waiter;
use super::{Effect, Shard};
use crate::log::{Page, Patience, Segments, Storage, Tail, Thread, Unread, View};
use crate::model::{Millis, Refusal, Reply, RequestTag, SessionId, Sync, SyncDirection, UserId};

impl<S: Storage> Shard<S> {
    /// The answer shows the inbox as it is now, and waits until that is durable. What may have to come from the disk is
    /// read elsewhere.
    pub(super) fn sync(
        &mut self,
        now: Millis,
        session: SessionId,
        tag: RequestTag,
        sync: Sync,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let user = row.user.clone();
        if !self.may_query(now, &user) {
            return self.refuse(session, tag, Refusal::SendTooFast, effects);
        }
        let tail = self.state.inboxes.tail(&user);
        let question = Question { user, tail, sync, bytes_max: self.settings.limits.sync_bytes_max };
        match question.answer(self.journal.view(Patience::None)) {
            Ok(page) => self.tell_page(now, Waiter { session, tag }, &question.user, tail, page, effects),
            Err(Unread::Damaged(_)) => self.refuse(session, tag, Refusal::StorageDamaged, effects),
            Err(Unread::Cold(_)) => self.fetch(session, tag, Wanted::Page(question), effects),
        }
    }

    pub(super) fn tell_page(
        &mut self,
        now: Millis,
        Waiter { session, tag }: Waiter,
        user: &UserId,
        tail: Tail,
        page: Page,
        effects: &mut Vec<Effect>,
    ) {
        let Page { mut entries, has_more } = page;
        entries.retain_mut(|entry| self.state.present(now, user, entry));
        if let Some(row) = self.state.sessions.find_mut(session) {
            entries.iter().for_each(|entry| row.pushes.shown(entry));
        }
        let reply = Reply::Synced { entries, server_max_seq: tail.seq, has_more };
        let depends_on = tail.last.max(self.state.revoked.newest_record());
        self.tell_when_acknowledged(now, depends_on, session, tag, reply, effects);
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
    pub fn answer<S: Segments>(&self, view: View<'_, S>) -> Result<Page, Unread> {
        let Self { user, tail, sync, bytes_max } = self;
        match sync.direction {
            SyncDirection::After(seq) => tail.page_after(view, Thread::Inbox(user), seq, sync.limit, *bytes_max),
            SyncDirection::Before(seq) => tail.page_before(view, Thread::Inbox(user), seq, sync.limit, *bytes_max),
        }
    }
}
