//! The rows of a list of conversations, whose last messages are still to be read.

use crate::log::{PageBounds, Segments, Tail, Thread, Unread, View};
use crate::model::{
    Conversation, ConversationRow, ConversationSeq, Entry, MessageId, Millis, Room, Seq, Sizing, UserId,
};

/// With at most this many unread messages, those that are not shown any more (expired or taken back) are left out of
/// the count, for which the newest unread messages are read.
const LOOKED_AT_MAX: u32 = 64;
const LOOKED_AT_ROOM: Room = Room { bytes_max: 128 << 10, sizing: Sizing::Verbatim };

/// Messages that one turn reads for a list, and bytes of their contents; for more it is read off the core.
const READ_AT_ONCE_MAX: usize = 512;
const READ_BYTES_AT_ONCE_MAX: usize = 1 << 20;

/// Rows whose last messages are still to be read.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) struct ListQuestion {
    pub rows: Vec<ListRow>,
    pub has_more: bool,
    pub room: Room,
    pub user: UserId,
    pub now: Millis,
}

/// A row, and its unread messages that a device of the user's may have consumed for all.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) struct ListedRow {
    pub row: ConversationRow,
    pub once: Vec<MessageId>,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) struct ListRow {
    pub conversation: Conversation,
    pub tail: Tail,
    pub joined: ConversationSeq,
    pub newest: ConversationSeq,
    pub unread: u64,
    pub read: ConversationSeq,
    pub last: Seq,
}

/// What has been read for a list.
#[derive(Clone, Copy, Debug, Default)]
struct ReadSoFar {
    messages: usize,
    /// Of their contents.
    bytes: usize,
}

impl ReadSoFar {
    fn is_much(self) -> bool {
        self.messages >= READ_AT_ONCE_MAX || self.bytes >= READ_BYTES_AT_ONCE_MAX
    }
}

impl ListQuestion {
    /// As many of the rows as there is room for, at least one.
    pub fn answer<S: Segments>(&self, view: View<'_, S>) -> Result<Vec<ListedRow>, Unread> {
        let (mut rows, mut room, mut read) = (Vec::new(), self.room, ReadSoFar::default());
        for row in &self.rows {
            if read.is_much() && view.is_non_blocking() {
                return Err(Unread::Cold(row.tail.last));
            }
            let row = self.row(row, view, &mut read)?;
            let last = row.row.last.as_ref().map(|entry| &*entry.message);
            let bytes = room.sizing.row_bytes(&row.row.conversation, last);
            if bytes > room.bytes_max && !rows.is_empty() {
                break;
            }
            room = room.less(bytes);
            rows.push(row);
        }
        Ok(rows)
    }

    fn row<S: Segments>(&self, row: &ListRow, view: View<'_, S>, read: &mut ReadSoFar) -> Result<ListedRow, Unread> {
        let thread = Thread::Conversation(&row.conversation);
        let limit = if (1..=u64::from(LOOKED_AT_MAX)).contains(&row.unread) { LOOKED_AT_MAX } else { 1 };
        let behind_newest = Seq(row.newest.0.saturating_add(1));
        let bounds = PageBounds { entries_max: limit, room: LOOKED_AT_ROOM };
        let page = row.tail.page_before(view, thread, behind_newest, bounds)?;
        read.messages += page.entries.len();
        read.bytes += page.entries.iter().map(|entry| entry.message.content.len()).sum::<usize>();
        let is_unread = |entry: &&Entry| {
            let is_behind = entry.seq.0 > row.read.0 && entry.seq.0 >= row.joined.0;
            is_behind && entry.message.fact.is_none() && entry.message.author != self.user
        };
        let (mut expired, mut once) = (0, Vec::new());
        for Entry { message, .. } in page.entries.iter().filter(is_unread) {
            if message.is_expired(self.now) {
                expired += 1;
            } else if message.header().sync_once {
                once.push(message.id);
            }
        }
        let mut last = page.entries.into_iter().next_back();
        last = last.filter(|entry| row.joined.0 <= entry.seq.0);
        if let Some(entry) = &mut last {
            entry.seq = Seq(0);
        }
        let row = ConversationRow {
            conversation: row.conversation.clone(),
            name: None,
            last,
            last_seq: row.last,
            unread: row.unread.saturating_sub(expired),
            read_through: row.read,
            newest_seq: row.newest,
        };
        Ok(ListedRow { row, once })
    }
}
