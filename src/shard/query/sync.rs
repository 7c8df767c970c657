//! A page of the user's own inbox (PROTOCOL 2.5).

use crate::log::{Page, PageBounds, Segments, Tail, Thread, Unread, View};
use crate::model::{Entry, Room, Seq, Sync, SyncDirection, UserId};

/// A request for a page, with the state of the inbox at that time.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) struct SyncQuery {
    pub user: UserId,
    pub tail: Tail,
    pub sync: Sync,
    /// The entries to read at once: more than requested if none of the entries read so far was shown.
    pub entries_max: u32,
    pub room: Room,
}

impl SyncQuery {
    /// The request for the entries behind the page, if there are any.
    pub fn behind(&self, page: &Page) -> Option<Self> {
        let edge = self.edge_of(&page.entries)?;
        let direction = match self.sync.direction {
            SyncDirection::After(_) => SyncDirection::After(edge),
            SyncDirection::Before(_) => SyncDirection::Before(edge),
        };
        let sync = Sync { direction, ..self.sync };
        page.has_more.then(|| Self { user: self.user.clone(), sync, ..*self })
    }

    /// The seq of the entry after which the next page continues.
    fn edge_of(&self, entries: &[Entry]) -> Option<Seq> {
        let edge = match self.sync.direction {
            SyncDirection::After(_) => entries.last(),
            SyncDirection::Before(_) => entries.first(),
        };
        edge.map(|entry| entry.seq)
    }

    /// Truncates the entries to the request. Returns whether some were removed.
    #[must_use]
    pub fn cut(&self, entries: &mut Vec<Entry>) -> bool {
        let limit = self.sync.limit as usize;
        let surplus = entries.len().saturating_sub(limit);
        match self.sync.direction {
            SyncDirection::After(_) => entries.truncate(limit),
            SyncDirection::Before(_) => drop(entries.drain(..surplus)),
        }
        surplus > 0
    }

    pub fn searching(self, entries: u32) -> Self {
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
