//! Sync (PROTOCOL 2.5): a page of one's own inbox.

use crate::log::PageBounds;
use crate::log::{Page, ReadMode, Segments, Storage, Tail, Thread, Unread, View};
use crate::model::{Entry, Moment, Refusal, Reply, RequestTag, Room, Seq, SessionId, Sync, SyncDirection, UserId};
use crate::shard::peers::pending_requests::Requester;
use crate::shard::read::fetch::ColdRead;
use crate::shard::{Effect, Shard};

/// Entries of which none is shown: where a turn has passed over so many, it leaves the search to the fetch threads.
const PASSED_AT_ONCE_MAX: usize = 256;
/// Read at once by a search for what is shown, in a turn and off the core.
const SEARCHED_ENTRIES: u32 = 128;
const SEARCHED_APART_ENTRIES: u32 = 1_000;

impl<S: Storage> Shard<S> {
    /// The answer shows the inbox as it is now, and waits until that is durable. What may have to come from the disk is
    /// read elsewhere.
    pub(in crate::shard) fn sync(
        &mut self,
        now: Moment,
        session: SessionId,
        tag: RequestTag,
        sync: Sync,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let (user, place, room) = (row.user.clone(), row.place, self.answer_room(row));
        if !self.may_query(now, place) {
            return self.refuse(session, tag, Refusal::SendTooFast, effects);
        }
        let tail = self.state.inboxes.tail_at(place);
        let question = SyncQuery { user, tail, sync, entries_max: sync.limit, room };
        self.find_page(now, Requester { session, tag }, question, effects);
    }

    /// The first page that shows something, or the last one. What takes a turn too long is looked for off the core.
    fn find_page(&mut self, now: Moment, waiter: Requester, mut question: SyncQuery, effects: &mut Vec<Effect>) {
        let mut passed = 0;
        while passed < PASSED_AT_ONCE_MAX {
            match question.answer(self.journal.view(ReadMode::None)) {
                Ok(page) => {
                    passed += page.entries.len();
                    let Some(rest) = self.reply_page(now, &waiter, question, page, effects) else { return };
                    question = rest.searching(SEARCHED_ENTRIES);
                }
                Err(Unread::Cold(_)) => break,
                Err(Unread::Damaged(_)) => {
                    return self.refuse(waiter.session, waiter.tag, Refusal::StorageDamaged, effects);
                }
            }
        }
        self.fetch(waiter.session, waiter.tag, ColdRead::Page(question), effects);
    }

    /// A page that was read off the core.
    pub(in crate::shard) fn page_read(
        &mut self,
        now: Moment,
        waiter: Requester,
        question: SyncQuery,
        page: Page,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(rest) = self.reply_page(now, &waiter, question, page, effects) {
            let rest = rest.searching(SEARCHED_APART_ENTRIES);
            self.fetch(waiter.session, waiter.tag, ColdRead::Page(rest), effects);
        }
    }

    /// Answers with what is shown of the page, as far as it was asked for; gives back what to ask instead when all of it has vanished and more follows: without an
    /// entry, an answer does not say where that begins.
    fn reply_page(
        &mut self,
        now: Moment,
        Requester { session, tag }: &Requester,
        question: SyncQuery,
        page: Page,
        effects: &mut Vec<Effect>,
    ) -> Option<SyncQuery> {
        let rest = question.behind(&page);
        let Page { mut entries, mut has_more } = page;
        let place = self.state.inboxes.find_or_add(&question.user);
        entries.retain_mut(|entry| self.state.present(now.wall, place, entry));
        if entries.is_empty() && rest.is_some() {
            return rest;
        }
        // What a search has found behind what it gives is asked for again.
        has_more |= question.cut(&mut entries);
        let tail = question.tail;
        if let Some(row) = self.state.sessions.find_mut(*session) {
            entries.iter().for_each(|entry| row.pushes.shown(entry));
        }
        let reply = Reply::Synced { entries, server_max_seq: tail.seq, has_more };
        let depends_on = tail.last.max(self.state.revoked.newest_record());
        self.reply_page_when_acknowledged(now, depends_on, (*session, tag.clone()), reply, effects);
        None
    }
}

/// A page that was asked for, and the inbox as it was then.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) struct SyncQuery {
    pub user: UserId,
    pub tail: Tail,
    pub sync: Sync,
    /// That are read at once: more than are asked for, where none of them has been shown so far.
    pub entries_max: u32,
    pub room: Room,
}

impl SyncQuery {
    /// What to ask for what follows the page, if anything does.
    fn behind(&self, page: &Page) -> Option<Self> {
        let edge = self.edge_of(&page.entries)?;
        let direction = match self.sync.direction {
            SyncDirection::After(_) => SyncDirection::After(edge),
            SyncDirection::Before(_) => SyncDirection::Before(edge),
        };
        let sync = Sync { direction, ..self.sync };
        page.has_more.then(|| Self { user: self.user.clone(), sync, ..*self })
    }

    /// Where what follows the entries begins.
    fn edge_of(&self, entries: &[Entry]) -> Option<Seq> {
        let edge = match self.sync.direction {
            SyncDirection::After(_) => entries.last(),
            SyncDirection::Before(_) => entries.first(),
        };
        edge.map(|entry| entry.seq)
    }

    /// Leaves what was asked for; tells whether that leaves something out.
    #[must_use]
    fn cut(&self, entries: &mut Vec<Entry>) -> bool {
        let limit = self.sync.limit as usize;
        let surplus = entries.len().saturating_sub(limit);
        match self.sync.direction {
            SyncDirection::After(_) => entries.truncate(limit),
            SyncDirection::Before(_) => drop(entries.drain(..surplus)),
        }
        surplus > 0
    }

    fn searching(self, entries: u32) -> Self {
        let entries_max = self.sync.limit.max(entries);
        Self { entries_max, ..self }
    }

    pub fn answer<S: Segments>(&self, view: View<'_, S>) -> Result<Page, Unread> {
        let Self { user, tail, sync, entries_max, room } = self;
        let bounds = PageBounds { entries_max: *entries_max, room: *room };
        match sync.direction {
            SyncDirection::After(seq) => tail.page_after(view, Thread::Inbox(user), seq, bounds),
            SyncDirection::Before(seq) => tail.page_before(view, Thread::Inbox(user), seq, bounds),
        }
    }
}
