//! The list of a user's conversations: those with the newest entries first, each with its last message.

use crate::log::PageBounds;
use crate::log::{ReadMode, Segments, Storage, Tail, Thread, Unread, View};
use crate::model::{
    Conversation, ConversationRow, ConversationSeq, Conversations, Entry, MessageId, Millis, Moment, Refusal, Reply,
    RequestTag, Room, Seq, SessionId, Sizing, UserId,
};
use crate::shard::peers::pending_requests::Requester;
use crate::shard::read::fetch::ColdRead;
use crate::shard::read::resolve::Seated;
use crate::shard::rows::inbox::{SeatAt, UserIndex};
use crate::shard::{Effect, Shard};

/// Where no more are unread, those that are not shown any more are not counted among them: so many of the newest are looked at.
const LOOKED_AT_MAX: u32 = 64;
const LOOKED_AT_ROOM: Room = Room { bytes_max: 128 << 10, sizing: Sizing::Verbatim };
/// Messages that one turn reads for a list; for more it is read off the core.
const READ_AT_ONCE_MAX: usize = 512;

/// Every list looks at all of a user's seats: it counts as one more query for each so many.
const SEATS_A_QUERY: usize = 4_096;

/// Rows whose last messages are still to be read.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) struct ListQuestion {
    rows: Vec<ListRow>,
    has_more: bool,
    room: Room,
    user: UserId,
    now: Millis,
}

/// A row, and its unread messages that a device of the user's may have consumed for all.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) struct ListedRow {
    row: ConversationRow,
    once: Vec<MessageId>,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) struct ListRow {
    conversation: Conversation,
    tail: Tail,
    joined: ConversationSeq,
    newest: ConversationSeq,
    unread: u64,
    read: ConversationSeq,
    last: Seq,
}

impl ListQuestion {
    /// As many of the rows as there is room for, at least one.
    pub fn answer<S: Segments>(&self, view: View<'_, S>) -> Result<Vec<ListedRow>, Unread> {
        let (mut rows, mut room, mut read) = (Vec::new(), self.room, 0);
        for row in &self.rows {
            if read >= READ_AT_ONCE_MAX && view.is_impatient() {
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

    fn row<S: Segments>(&self, row: &ListRow, view: View<'_, S>, read: &mut usize) -> Result<ListedRow, Unread> {
        let thread = Thread::Conversation(&row.conversation);
        let limit = if (1..=u64::from(LOOKED_AT_MAX)).contains(&row.unread) { LOOKED_AT_MAX } else { 1 };
        let behind_newest = Seq(row.newest.0.saturating_add(1));
        let bounds = PageBounds { entries_max: limit, room: LOOKED_AT_ROOM };
        let page = row.tail.page_before(view, thread, behind_newest, bounds)?;
        *read += page.entries.len();
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

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn conversations(
        &mut self,
        now: Moment,
        session: SessionId,
        tag: RequestTag,
        list: Conversations,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let (place, room) = (row.place, self.answer_room(row));
        let seats = self.state.inboxes.seat_words_of(place);
        if !self.may_query_for(now, place, 1 + (seats / SEATS_A_QUERY) as u32) {
            return self.refuse(session, tag, Refusal::SendTooFast, effects);
        }
        let question = self.list_question(now.wall, (place, room), list);
        match question.answer(self.journal.view(ReadMode::None)) {
            Ok(rows) => self.reply_conversations(now, Requester { session, tag }, &question, rows, effects),
            Err(Unread::Damaged(_)) => self.refuse(session, tag, Refusal::StorageDamaged, effects),
            Err(Unread::Cold(_)) => self.fetch(session, tag, ColdRead::List(question), effects),
        }
    }

    fn list_question(&self, now: Millis, (user, room): (UserIndex, Room), list: Conversations) -> ListQuestion {
        let seats = self.state.inboxes.seats_of(user);
        let mut newest: Vec<(Seq, SeatAt)> = seats
            .map(|seat| (self.state.conversations.at(seat.conversation).seat(seat.seat).last, seat))
            .filter(|(last, _)| last.0 > 0 && (list.before == Seq(0) || *last < list.before))
            .collect();
        let has_more = newest.len() > list.limit as usize;
        if has_more {
            newest.select_nth_unstable_by_key(list.limit as usize, |(last, _)| std::cmp::Reverse(*last));
            newest.truncate(list.limit as usize);
        }
        newest.sort_unstable_by_key(|(last, _)| std::cmp::Reverse(*last));
        let row = |(last, SeatAt { conversation, seat }): &(Seq, SeatAt)| {
            let row = self.state.conversations.at(*conversation);
            let newest = self.state.seen_through(Seated { at: *conversation, seat: *seat });
            let seat = row.seat(*seat);
            ListRow {
                conversation: row.conversation(&self.state.inboxes),
                tail: row.tail.tail(),
                joined: seat.joined,
                newest,
                unread: seat.unread.into(),
                read: seat.read.min(newest),
                last: *last,
            }
        };
        let rows = newest.iter().map(row).collect();
        ListQuestion { rows, has_more, room, user: self.state.inboxes.user_at(user).clone(), now }
    }

    pub(in crate::shard) fn reply_conversations(
        &mut self,
        now: Moment,
        Requester { session, tag }: Requester,
        question: &ListQuestion,
        rows: Vec<ListedRow>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let place = row.place;
        let has_more = question.has_more || rows.len() < question.rows.len();
        let is_consumed = |message: &&MessageId| self.state.consumed.contains(&question.user, **message);
        let shown = |ListedRow { mut row, once }| {
            row.unread = row.unread.saturating_sub(once.iter().filter(is_consumed).count() as u64);
            row.name = self.state.name_for(place, &row.conversation);
            row.last = row.last.take().and_then(|mut entry| {
                let is_shown = self.state.present(now.wall, place, &mut entry);
                is_shown.then_some(entry)
            });
            row
        };
        let rows = rows.into_iter().map(shown).collect();
        let reply = Reply::Conversations { rows, has_more };
        self.reply_page_when_acknowledged(now, self.newest_record, (session, tag), reply, effects);
    }
}
