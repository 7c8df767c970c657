//! Counting unread messages where that takes longer than a turn allows: the seats that are being recounted, and a
//! recount that continues where it stopped.
//!
//! Owned by the shard's state; in memory only. Invariants: a seat has at most one recount under way; of the positions
//! that arrive during it the furthest one waits, and none is forgotten.

use crate::log::{PageBounds, Segments, Tail, Thread, Unread, View};
use crate::model::{Conversation, ConversationSeq, Room, Seq, Sizing, UserId};
use crate::shard::rows::index::ConversationIndex;
use crate::shard::rows::seat::Seated;
use std::collections::BTreeMap;

const PAGE_ENTRIES: u32 = 256;
const PAGE_ROOM: Room = Room { bytes_max: 1 << 20, sizing: Sizing::Verbatim };
/// Counted before others have their turn.
const PAGES_A_STEP: u32 = 16;

/// The seats that are being recounted, each with the furthest mark that has come since.
#[derive(Debug, Default)]
pub(in crate::shard) struct Recounts {
    under_way: BTreeMap<(ConversationIndex, u32), Option<ConversationSeq>>,
}

impl Recounts {
    /// Leaves the mark to the recount that the seat has under way, if it has one.
    pub fn wait(&mut self, Seated { at, seat }: Seated, through: ConversationSeq) -> bool {
        let Some(waiting) = self.under_way.get_mut(&(at, seat)) else { return false };
        *waiting = (*waiting).max(Some(through));
        true
    }

    pub fn begin(&mut self, Seated { at, seat }: Seated) {
        self.under_way.insert((at, seat), None);
    }

    /// The seat's recount is done; the furthest mark that waited for it.
    pub fn end(&mut self, Seated { at, seat }: Seated) -> Option<ConversationSeq> {
        self.under_way.remove(&(at, seat)).flatten()
    }
}

/// How many messages of others a user has above `through`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) struct Recount {
    pub seated: Seated,
    pub user: UserId,
    pub conversation: Conversation,
    pub tail: Tail,
    pub through: ConversationSeq,
    /// The last that the user sees by now.
    pub newest: ConversationSeq,
    /// The count when the recount was requested: what has arrived since is added.
    pub unread: u32,
    pub read: ConversationSeq,
    /// The seq up to which entries are counted, and their count.
    pub reached: Seq,
    pub counted: u32,
}

impl Recount {
    pub fn answer<S: Segments>(mut self, view: View<'_, S>) -> Result<u32, Unread> {
        loop {
            if let Some(counted) = self.count_page(view)? {
                return Ok(counted);
            }
        }
    }

    /// Counts some pages more; how many there are, at the end.
    pub fn count_pages<S: Segments>(&mut self, view: View<'_, S>) -> Result<Option<u32>, Unread> {
        for _page in 0..PAGES_A_STEP {
            if let Some(counted) = self.count_page(view)? {
                return Ok(Some(counted));
            }
        }
        Ok(None)
    }

    /// From the beginning again.
    pub fn anew(self) -> Self {
        Self { reached: Seq(self.through.0), counted: 0, ..self }
    }

    /// Counts one page more; how many there are, at the end.
    pub fn count_page<S: Segments>(&mut self, view: View<'_, S>) -> Result<Option<u32>, Unread> {
        let thread = Thread::Conversation(&self.conversation);
        let bounds = PageBounds { entries_max: PAGE_ENTRIES, room: PAGE_ROOM };
        let page = self.tail.page_after(view, thread, self.reached, bounds)?;
        let Some(last) = page.entries.last() else { return Ok(Some(self.counted)) };
        self.reached = last.seq;
        let counts = page.entries.iter().filter(|entry| {
            let is_seen = ConversationSeq(entry.seq.0) <= self.newest;
            is_seen && entry.message.fact.is_none() && entry.message.author != self.user
        });
        self.counted = self.counted.saturating_add(counts.count() as u32);
        let is_at_end = !page.has_more || self.reached.0 >= self.newest.0;
        Ok(is_at_end.then_some(self.counted))
    }
}
