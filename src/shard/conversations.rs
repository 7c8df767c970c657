//! The list of a user's conversations: those with the newest entries first, each with its last message.

use super::fetch::Wanted;
use super::in_flight::Waiter;
use super::inbox::{Place, SeatAt};
use super::resolve::Seated;
use super::{Effect, Shard};
use crate::log::{Patience, Segments, Storage, Tail, Thread, Unread, View};
use crate::model::{
    Conversation, ConversationRow, ConversationSeq, Conversations, Moment, Refusal, Reply, RequestTag, Seq, SessionId,
};

/// Rows whose last messages are still to be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListQuestion {
    rows: Vec<ListRow>,
    has_more: bool,
    bytes_max: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListRow {
    conversation: Conversation,
    tail: Tail,
    joined: ConversationSeq,
    newest: ConversationSeq,
    unread: u64,
    read: ConversationSeq,
    last: Seq,
}

impl ListQuestion {
    /// As many of the rows as their last messages leave room for, at least one.
    pub fn answer<S: Segments>(&self, view: View<'_, S>) -> Result<Vec<ConversationRow>, Unread> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for row in &self.rows {
            let row = row.answer(view)?;
            bytes += row.last.as_ref().map_or(0, |entry| entry.message.shown_bytes());
            if bytes > self.bytes_max && !rows.is_empty() {
                break;
            }
            rows.push(row);
        }
        Ok(rows)
    }
}

impl ListRow {
    fn answer<S: Segments>(&self, view: View<'_, S>) -> Result<ConversationRow, Unread> {
        let thread = Thread::Conversation(&self.conversation);
        let page = self.tail.page_before(view, thread, Seq(self.newest.0.saturating_add(1)), 1, usize::MAX)?;
        let mut last = page.entries.into_iter().next_back();
        last = last.filter(|entry| self.joined.0 <= entry.seq.0);
        if let Some(entry) = &mut last {
            entry.seq = Seq(0);
        }
        Ok(ConversationRow {
            conversation: self.conversation.clone(),
            name: None,
            last,
            last_seq: self.last,
            unread: self.unread,
            read_through: self.read,
            newest_seq: self.newest,
        })
    }
}

impl<S: Storage> Shard<S> {
    pub(super) fn conversations(
        &mut self,
        now: Moment,
        session: SessionId,
        tag: RequestTag,
        list: Conversations,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let place = row.place;
        if !self.may_query(now, place) {
            return self.refuse(session, tag, Refusal::SendTooFast, effects);
        }
        let question = self.list_question(place, list);
        match question.answer(self.journal.view(Patience::None)) {
            Ok(rows) => self.tell_list(now, Waiter { session, tag }, &question, rows, effects),
            Err(Unread::Damaged(_)) => self.refuse(session, tag, Refusal::StorageDamaged, effects),
            Err(Unread::Cold(_)) => self.fetch(session, tag, Wanted::List(question), effects),
        }
    }

    fn list_question(&self, user: Place, list: Conversations) -> ListQuestion {
        let seats = self.state.inboxes.seats_of(user);
        let mut newest: Vec<(Seq, SeatAt)> = seats
            .map(|seat| (self.state.conversations.at(seat.conversation).seat(seat.seat).last, seat))
            .filter(|(last, _)| last.0 > 0 && (list.before == Seq(0) || *last < list.before))
            .collect();
        newest.sort_unstable_by_key(|(last, _)| std::cmp::Reverse(*last));
        let has_more = newest.len() > list.limit as usize;
        newest.truncate(list.limit as usize);
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
                read: seat.read,
                last: *last,
            }
        };
        let bytes_max = self.settings.limits.sync_bytes_max;
        ListQuestion { rows: newest.iter().map(row).collect(), has_more, bytes_max }
    }

    pub(super) fn tell_list(
        &mut self,
        now: Moment,
        Waiter { session, tag }: Waiter,
        question: &ListQuestion,
        mut rows: Vec<ConversationRow>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let place = row.place;
        let has_more = question.has_more || rows.len() < question.rows.len();
        for row in &mut rows {
            row.name = self.state.name_for(place, &row.conversation);
            row.last = row.last.take().and_then(|mut entry| {
                let is_shown = self.state.present(now.wall, place, &mut entry);
                is_shown.then_some(entry)
            });
        }
        self.tell_when_acknowledged(
            now,
            self.newest_record,
            session,
            tag,
            Reply::Conversations { rows, has_more },
            effects,
        );
    }
}
