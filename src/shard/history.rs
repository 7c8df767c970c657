//! History (PROTOCOL 3.16): a page of one conversation, as far as the user may see it.

use super::fetch::Wanted;
use super::{Effect, Shard};
use crate::log::{Page, Patience, Segments, Storage, Tail, Thread, Unread, View};
use crate::model::{
    Conversation, ConversationSeq, Entry, History, HistoryDirection, Millis, Refusal, Reply, RequestTag, Seq, SessionId,
};
use compact_str::CompactString;

/// Messages looked at for one page of a topic: what is further away is asked for again.
const SCANNED_MAX: u32 = 10_000;
const PAGE_ENTRIES: u32 = 256;

/// A page that was asked for, the conversation as it was then, and what of it the user sees.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HistoryQuestion {
    pub conversation: Conversation,
    pub tail: Tail,
    direction: HistoryDirection,
    limit: u32,
    topic: Option<CompactString>,
    joined: ConversationSeq,
    left: ConversationSeq,
    bytes_max: usize,
}

/// What was found; `reached` is where to go on from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HistoryPage {
    pub entries: Vec<Entry>,
    pub reached: ConversationSeq,
    pub has_more: bool,
}

impl HistoryQuestion {
    pub fn answer<S: Segments>(&self, view: View<'_, S>) -> Result<HistoryPage, Unread> {
        let mut found = HistoryPage::default();
        let mut scanned = 0;
        let mut cursor = self.first_cursor();
        loop {
            let left = self.limit - found.entries.len() as u32;
            let limit = if self.topic.is_some() { PAGE_ENTRIES } else { left };
            let page = self.page(view, cursor, limit)?;
            scanned += limit;
            let is_empty = page.entries.is_empty();
            let has_more = self.take(page, &mut found);
            found.has_more = has_more;
            let is_full = found.entries.len() >= self.limit as usize;
            if is_empty || !has_more || is_full || self.topic.is_none() || scanned >= SCANNED_MAX {
                return Ok(found);
            }
            cursor = Seq(found.reached.0);
        }
    }

    /// Exclusive: above it, or below it.
    fn first_cursor(&self) -> Seq {
        Seq(match self.direction {
            HistoryDirection::After(seq) => seq.0.max(self.joined.0.saturating_sub(1)),
            HistoryDirection::Before(ConversationSeq(0)) => self.left.0.saturating_add(1),
            HistoryDirection::Before(seq) => seq.0.min(self.left.0.saturating_add(1)),
        })
    }

    fn page<S: Segments>(&self, view: View<'_, S>, cursor: Seq, limit: u32) -> Result<Page, Unread> {
        let thread = Thread::Conversation(&self.conversation);
        match self.direction {
            HistoryDirection::After(_) => self.tail.page_after(view, thread, cursor, limit, self.bytes_max),
            HistoryDirection::Before(_) if cursor.0 <= 1 => Ok(Page::default()),
            HistoryDirection::Before(_) => self.tail.page_before(view, thread, cursor, limit, self.bytes_max),
        }
    }

    /// Adds what the user may see and asked for; whether there may be more.
    fn take(&self, page: Page, found: &mut HistoryPage) -> bool {
        let is_forward = matches!(self.direction, HistoryDirection::After(_));
        let mut has_more = page.has_more;
        let mut entries = page.entries;
        let before = entries.len();
        entries.retain(|entry| {
            let seq = ConversationSeq(entry.seq.0);
            self.joined <= seq && seq <= self.left
        });
        has_more &= entries.len() == before;
        let edge = if is_forward { entries.last() } else { entries.first() };
        found.reached = edge.map_or(found.reached, |entry| ConversationSeq(entry.seq.0));
        if let Some(topic) = &self.topic {
            entries.retain(|entry| topic_of(entry) == Some(topic.as_str()));
            let room = self.limit as usize - found.entries.len();
            if entries.len() > room {
                has_more = true;
                match is_forward {
                    true => entries.truncate(room),
                    false => drop(entries.drain(..entries.len() - room)),
                }
                let edge = if is_forward { entries.last() } else { entries.first() };
                found.reached = edge.map_or(found.reached, |entry| ConversationSeq(entry.seq.0));
            }
        }
        match is_forward {
            true => found.entries.append(&mut entries),
            false => {
                entries.append(&mut found.entries);
                found.entries = entries;
            }
        }
        has_more
    }
}

fn topic_of(entry: &Entry) -> Option<&str> {
    entry.message.annotations.as_ref()?.topic.as_deref()
}

impl<S: Storage> Shard<S> {
    pub(super) fn history(
        &mut self,
        now: Millis,
        session: SessionId,
        tag: RequestTag,
        history: History,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let Some(seated) = self.state.resolve(&row.user, &history.conversation) else {
            return self.refuse(session, tag, Refusal::ConversationNotExist, effects);
        };
        let (conversation, seat) = self.state.seated(seated);
        let question = HistoryQuestion {
            conversation: conversation.clone(),
            tail: self.state.conversations.at(seated.at).tail,
            direction: history.direction,
            limit: history.limit,
            topic: history.topic,
            joined: seat.joined,
            left: self.state.left_of(seated.at, seat),
            bytes_max: self.settings.limits.sync_bytes_max,
        };
        match question.answer(self.journal.view(Patience::None)) {
            Ok(page) => self.tell_history(now, session, tag, &question, page, effects),
            Err(Unread::Damaged(_)) => self.refuse(session, tag, Refusal::StorageDamaged, effects),
            Err(Unread::Cold(_)) => self.fetch(session, tag, Wanted::History(question), effects),
        }
    }

    pub(super) fn tell_history(
        &mut self,
        now: Millis,
        session: SessionId,
        tag: RequestTag,
        question: &HistoryQuestion,
        page: HistoryPage,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let user = row.user.clone();
        let mut messages = page.entries;
        messages.retain_mut(|entry| {
            entry.seq = Seq(0);
            self.state.present(now, &user, entry)
        });
        let newest_seq = ConversationSeq(question.tail.seq.0).min(question.left);
        let reply = Reply::History { messages, reached: page.reached, newest_seq, has_more: page.has_more };
        self.tell_when_acknowledged(now, question.tail.last, session, tag, reply, effects);
    }
}
