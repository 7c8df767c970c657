//! A page of one conversation, as far as its user may see it (PROTOCOL 3.16).

use crate::log::{Page, PageBounds, Segments, Tail, Thread, Unread, View};
use crate::model::{Conversation, ConversationSeq, Entry, HistoryDirection, Room, Seq};
use compact_str::CompactString;

/// Messages that one page of a topic examines; the client asks again for older ones.
const SCANNED_MAX: u32 = 1_000;
/// Messages of those that are examined within a turn.
const SCANNED_AT_ONCE_MAX: u32 = 256;
const PAGE_ENTRIES: u32 = 256;

/// A requested page, the conversation at that time, and the part that the user may see.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) struct HistoryQuestion {
    pub conversation: Conversation,
    pub tail: Tail,
    pub direction: HistoryDirection,
    pub limit: u32,
    pub topic: Option<CompactString>,
    pub joined: ConversationSeq,
    pub newest: ConversationSeq,
    pub room: Room,
}

/// The page that was read; `reached` is where the next one begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::shard) struct HistoryPage {
    pub entries: Vec<Entry>,
    pub reached: ConversationSeq,
    pub has_more: bool,
}

impl HistoryQuestion {
    pub fn answer<S: Segments>(&self, view: View<'_, S>) -> Result<HistoryPage, Unread> {
        let mut found = HistoryPage { has_more: true, ..HistoryPage::default() };
        let (mut scanned, mut room) = (0, self.room);
        let mut cursor = self.first_cursor();
        while found.has_more && scanned < SCANNED_MAX {
            if scanned >= SCANNED_AT_ONCE_MAX && view.is_non_blocking() {
                return Err(Unread::Cold(self.tail.last));
            }
            let wanted = self.limit - found.entries.len() as u32;
            let limit = if self.topic.is_some() { PAGE_ENTRIES } else { wanted };
            let page = self.page(view, cursor, PageBounds { entries_max: limit, room })?;
            scanned += limit;
            self.take(page, &mut found);
            let sizing = self.room.sizing;
            room = self.room.less(found.entries.iter().map(|entry| sizing.entry_bytes(&entry.message)).sum());
            if self.topic.is_none() || found.entries.len() >= self.limit as usize || room.bytes_max == 0 {
                break;
            }
            cursor = Seq(found.reached.0);
        }
        Ok(found)
    }

    fn is_forward(&self) -> bool {
        matches!(self.direction, HistoryDirection::After(_))
    }

    /// Exclusive: above it, or below it.
    fn first_cursor(&self) -> Seq {
        let behind_newest = self.newest.0.saturating_add(1);
        Seq(match self.direction {
            HistoryDirection::After(seq) => seq.0.max(self.joined.0.saturating_sub(1)),
            HistoryDirection::Before(ConversationSeq(0)) => behind_newest,
            HistoryDirection::Before(seq) => seq.0.min(behind_newest),
        })
    }

    fn page<S: Segments>(&self, view: View<'_, S>, cursor: Seq, bounds: PageBounds) -> Result<Page, Unread> {
        let thread = Thread::Conversation(&self.conversation);
        match self.direction {
            HistoryDirection::After(_) if cursor.0 >= self.newest.0 => Ok(Page::default()),
            HistoryDirection::After(_) => self.tail.page_after(view, thread, cursor, bounds),
            HistoryDirection::Before(_) if cursor.0 <= self.joined.0.max(1) => Ok(Page::default()),
            HistoryDirection::Before(_) => self.tail.page_before(view, thread, cursor, bounds),
        }
    }

    /// Adds what the user may see and asked for.
    fn take(&self, page: Page, found: &mut HistoryPage) {
        let mut entries = page.entries;
        entries.retain(|entry| (self.joined..=self.newest).contains(&ConversationSeq(entry.seq.0)));
        self.reach(&entries, found);
        let is_at_end = match self.is_forward() {
            true => found.reached >= self.newest,
            false => found.reached <= self.joined,
        };
        found.has_more = page.has_more && !entries.is_empty() && !is_at_end;
        if let Some(topic) = &self.topic {
            entries.retain(|entry| topic_of(entry) == Some(topic.as_str()));
            let room = self.limit as usize - found.entries.len();
            if entries.len() > room {
                found.has_more = true;
                match self.is_forward() {
                    true => entries.truncate(room),
                    false => drop(entries.drain(..entries.len() - room)),
                }
                self.reach(&entries, found);
            }
        }
        match self.is_forward() {
            true => found.entries.append(&mut entries),
            false => {
                entries.append(&mut found.entries);
                found.entries = entries;
            }
        }
    }

    fn reach(&self, entries: &[Entry], found: &mut HistoryPage) {
        let edge = if self.is_forward() { entries.last() } else { entries.first() };
        if let Some(edge) = edge {
            found.reached = ConversationSeq(edge.seq.0);
        }
    }
}

fn topic_of(entry: &Entry) -> Option<&str> {
    entry.message.annotations.as_ref()?.topic.as_deref()
}
