//! What may have to come from a disk, as a question that goes out with all that its answer needs and comes back with what
//! was found.
//!
//! Invariants: what was found is of the time of the question; what a user has read for it without a session that waits is
//! bounded.

use crate::log::{Page, ReadMode, Record, Segments, Tail, Thread, Unread, View};
use crate::model::{Conversation, Message, MessageId, Position, Receipt, RequestTag, Send, SessionId, ShardId, UserId};
use crate::shard::peers::message::ConversationRequest;
use crate::shard::query::history::{HistoryPage, HistoryQuestion};
use crate::shard::query::list::{ListQuestion, ListedRow};
use crate::shard::query::recount::Recount;
use crate::shard::query::sync::SyncQuery;
use crate::shard::rows::index::ConversationIndex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one user has under way for which no session is held up: recounts, and messages to be revoked.
const APART_PER_USER_MAX: u32 = 16;

/// To be read wherever waiting for a disk holds nobody up.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetch {
    /// For whom: no other user's waits behind all of this one's.
    pub(in crate::shard) user: UserId,
    pub(in crate::shard) whose: FetchOwner,
    /// The end of the log when it was asked for.
    pub(in crate::shard) end: Position,
    pub(in crate::shard) wanted: ColdRead,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) enum FetchOwner {
    Session(SessionId, RequestTag),
    /// The backlog of a session, which is not held up.
    Backlog(SessionId),
    /// A post of that shard.
    Post(ShardId, ConversationRequest),
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
    },
    History(HistoryQuestion),
    List(ListQuestion),
    Messages(Lookup),
    /// The messages that a receipt names.
    Receipt(Lookup, Box<Receipt>),
    Recount(Recount),
}

impl ColdRead {
    pub fn anew(self) -> Self {
        match self {
            Self::Recount(recount) => Self::Recount(recount.anew()),
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

/// A `Fetch` that was read.
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
}

/// What a step of reading came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Done(Box<Fetched>),
    /// There is more to read: whoever waits for its turn to be read comes first.
    More(Box<Fetch>),
}

impl Fetch {
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Reads all of it; `segments` are those of the shard that asked, at that time or later.
    pub fn read<S: Segments>(self, segments: &S) -> Fetched {
        let mut fetch = Box::new(self);
        loop {
            match fetch.read_some(segments) {
                Step::Done(fetched) => return *fetched,
                Step::More(rest) => fetch = rest,
            }
        }
    }

    /// Reads a bounded part of it.
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
        };
        Step::Done(Box::new(Fetched { fetch: *self, found }))
    }
}

/// How many fetches of each user hold up no session.
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
        matches!(self, Self::Post(..) | Self::Nobody)
    }
}
