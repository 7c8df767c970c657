//! Reads that may need a disk: a question leaves with everything that its answer needs, and returns with the result.
//!
//! Invariants: the result is as of the time of the question; the reads of a user for which no session is paused are
//! bounded.

use crate::log::{Page, ReadMode, Record, Segments, Tail, Thread, Unread, View};
use crate::model::{
    Authority, Conversation, Entry, Message, MessageId, Position, Receipt, RequestTag, Send, SessionId, ShardId, UserId,
};
use crate::shard::peers::message::ConversationRequest;
use crate::shard::peers::ticket::Ticket;
use crate::shard::query::history::{HistoryPage, HistoryQuestion};
use crate::shard::query::list::{ListQuestion, ListedRow};
use crate::shard::query::recount::Recount;
use crate::shard::query::search::MessageSearch;
use crate::shard::query::sync::SyncQuery;
use crate::shard::rows::index::ConversationIndex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads of one user for which no session is paused: recounts, and messages to be revoked.
const APART_PER_USER_MAX: u32 = 16;

/// A read that may wait for a disk, to be done on a thread that holds nobody up.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The user for whom the read is; reads of different users take turns.
    pub(in crate::shard) user: UserId,
    pub(in crate::shard) whose: FetchOwner,
    /// The end of the log when the read was requested, and the first segment that it had.
    pub(in crate::shard) end: Position,
    pub(in crate::shard) first_segment: u32,
    pub(in crate::shard) wanted: ColdRead,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) enum FetchOwner {
    Session(SessionId, RequestTag),
    /// An order, of which there are few.
    Order(Ticket),
    /// The backlog of a session, which is not held up.
    Backlog(SessionId),
    /// A post of that shard.
    Request(ShardId, ConversationRequest),
    /// The shard's own.
    Nobody,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) enum ColdRead {
    Page(SyncQuery),
    /// The record of the message that a send repeats.
    First {
        position: Position,
        send: Box<Send>,
        authority: Authority,
    },
    History(HistoryQuestion),
    List(ListQuestion),
    Messages(Lookup),
    /// The messages that a receipt names.
    Receipt(Lookup, Box<Receipt>),
    Recount(Recount),
    Search(MessageSearch),
}

impl ColdRead {
    pub fn anew(self) -> Self {
        match self {
            Self::Recount(recount) => Self::Recount(recount.anew()),
            Self::Search(search) => Self::Search(search.anew()),
            other => other,
        }
    }
}

/// Messages of one conversation, by their ids.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) struct Lookup {
    pub at: ConversationIndex,
    pub conversation: Conversation,
    pub tail: Tail,
    /// Ascending.
    pub ids: Vec<MessageId>,
}

impl Lookup {
    /// In the order of the ids.
    pub fn answer<S: Segments>(&self, view: View<'_, S>) -> Result<Vec<Option<Arc<Message>>>, Unread> {
        let thread = Thread::Conversation(&self.conversation);
        let found = self.tail.find_messages(view, thread, &self.ids)?;
        Ok(found.into_iter().map(|found| found.map(|(_, message)| message)).collect())
    }
}

/// The result of a `Fetch`, for `Input::Fetched`.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetched {
    pub(in crate::shard) fetch: Fetch,
    pub(in crate::shard) found: Result<FetchResult, Unread>,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) enum FetchResult {
    Page(Page),
    /// `None`: retention has dropped it.
    First(Option<Record>),
    History(HistoryPage),
    List(Vec<ListedRow>),
    Messages(Vec<Option<Arc<Message>>>),
    Count(u32),
    /// The conversation that has the message.
    Found(Option<Conversation>),
}

impl FetchResult {
    /// Whether it has a message with a smaller id.
    pub fn has_older_than(&self, id: MessageId) -> bool {
        let is_older = |entry: &Entry| entry.message.id < id;
        match self {
            Self::Page(page) => page.entries.iter().any(is_older),
            Self::History(page) => page.entries.iter().any(is_older),
            Self::List(rows) => rows.iter().any(|ListedRow { row, once }| {
                row.last.as_ref().is_some_and(is_older) || once.iter().any(|message| *message < id)
            }),
            Self::Messages(messages) => messages.iter().flatten().any(|message| message.id < id),
            Self::First(_) | Self::Count(_) | Self::Found(_) => false,
        }
    }
}

/// What a read is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchKind {
    /// A page of an inbox.
    Page,
    /// A page of the backlog of a session that is behind.
    Backlog,
    /// The message that a send repeats.
    First,
    /// A page of a conversation.
    History,
    /// Conversations with their unread messages.
    List,
    /// A message that is to be taken back.
    Messages,
    /// The messages that a receipt names.
    Receipt,
    /// The number of unread messages after a mark.
    Recount,
    /// The conversation of a message of which only the id is known.
    Search,
}

/// The result of one bounded part of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The read is complete.
    Done(Box<Fetched>),
    /// More is to be read, after the reads of other users that wait.
    More(Box<Fetch>),
}

impl Fetch {
    /// The user for whom the read is. Reads of different users should take turns.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// What the read is for.
    pub fn kind(&self) -> FetchKind {
        match (&self.wanted, &self.whose) {
            (ColdRead::Page(_), FetchOwner::Backlog(_)) => FetchKind::Backlog,
            (ColdRead::Page(_), _) => FetchKind::Page,
            (ColdRead::First { .. }, _) => FetchKind::First,
            (ColdRead::History(_), _) => FetchKind::History,
            (ColdRead::List(_), _) => FetchKind::List,
            (ColdRead::Messages(_), _) => FetchKind::Messages,
            (ColdRead::Receipt(..), _) => FetchKind::Receipt,
            (ColdRead::Recount(_), _) => FetchKind::Recount,
            (ColdRead::Search(_), _) => FetchKind::Search,
        }
    }

    /// Does the whole read. `segments` are those of the shard that asked, at that time or later.
    pub fn read<S: Segments>(self, segments: &S) -> Fetched {
        let mut fetch = Box::new(self);
        loop {
            match fetch.read_some(segments) {
                Step::Done(fetched) => return *fetched,
                Step::More(rest) => fetch = rest,
            }
        }
    }

    /// Does a bounded part of the read.
    pub fn read_some<S: Segments>(mut self: Box<Self>, segments: &S) -> Step {
        let view = View::new(segments, self.end, ReadMode::Unbounded);
        let found = match &mut self.wanted {
            ColdRead::Page(question) => question.answer(view).map(FetchResult::Page),
            ColdRead::First { position, .. } if view.is_gone(*position) => Ok(FetchResult::First(None)),
            ColdRead::First { position, .. } => view.read(*position).map(|record| FetchResult::First(Some(record))),
            ColdRead::History(question) => question.answer(view).map(FetchResult::History),
            ColdRead::List(question) => question.answer(view).map(FetchResult::List),
            ColdRead::Messages(lookup) | ColdRead::Receipt(lookup, _) => lookup.answer(view).map(FetchResult::Messages),
            ColdRead::Recount(recount) => match recount.count_pages(view) {
                Ok(None) => return Step::More(self),
                Ok(Some(counted)) => Ok(FetchResult::Count(counted)),
                Err(unread) => Err(unread),
            },
            ColdRead::Search(search) => match search.step(view) {
                Ok(None) => return Step::More(self),
                Ok(Some(found)) => Ok(FetchResult::Found(found)),
                Err(unread) => Err(unread),
            },
        };
        Step::Done(Box::new(Fetched { fetch: *self, found }))
    }
}

impl Fetched {
    /// What the read was for.
    pub fn kind(&self) -> FetchKind {
        self.fetch.kind()
    }
}

/// For each user the number of reads for which no session is paused.
#[derive(Debug, Default)]
pub(in crate::shard) struct Apart(BTreeMap<UserId, u32>);

impl Apart {
    pub fn may_begin(&self, user: &UserId) -> bool {
        self.0.get(user).is_none_or(|count| *count < APART_PER_USER_MAX)
    }

    pub fn begin(&mut self, user: &UserId) {
        *self.0.entry(user.clone()).or_default() += 1;
    }

    pub fn end(&mut self, user: &UserId) {
        let Some(count) = self.0.get_mut(user) else { return };
        *count -= 1;
        if *count == 0 {
            self.0.remove(user);
        }
    }
}

impl FetchOwner {
    pub fn is_apart(&self) -> bool {
        matches!(self, Self::Request(..) | Self::Nobody)
    }
}
