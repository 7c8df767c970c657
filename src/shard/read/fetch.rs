//! What may have to come from a disk is read off the core: a question goes out with all that its answer needs, and comes
//! back with what was found. A session that asked is paused meanwhile, so that there is one a session and order is kept.
//!
//! Invariants: what was found is of the time of the question, and whoever goes on with it looks at the rows again; what a
//! user has read for it without a session that waits is bounded.

use crate::log::{Damage, Page, ReadMode, Record, Segments, Storage, Tail, Thread, Unread, View};
use crate::model::{
    Conversation, Message, MessageId, Moment, Position, Receipt, Refusal, RequestTag, Send, SessionId, ShardId, UserId,
};
use crate::shard::peers::message::ConversationRequest;
use crate::shard::peers::pending_requests::Requester;
use crate::shard::read::conversations::{ListQuestion, ListedRow};
use crate::shard::read::history::{HistoryPage, HistoryQuestion};
use crate::shard::read::recounts::Recount;
use crate::shard::read::sync::SyncQuery;
use crate::shard::rows::conversation::ConversationIndex;
use crate::shard::{Effect, Shard, State};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one user has under way for which no session is held up: recounts, and messages to be revoked.
const APART_PER_USER_MAX: u32 = 16;

/// To be read wherever waiting for a disk holds nobody up.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetch {
    /// For whom: no other user's waits behind all of this one's.
    user: UserId,
    whose: FetchOwner,
    /// The end of the log when it was asked for.
    end: Position,
    wanted: ColdRead,
}

#[derive(Debug, PartialEq, Eq)]
enum FetchOwner {
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
    fn anew(self) -> Self {
        match self {
            Self::Recount(recount) => Self::Recount(recount.anew()),
            other => other,
        }
    }
}

/// Messages of one conversation, by their ids.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::shard) struct Lookup {
    at: ConversationIndex,
    conversation: Conversation,
    tail: Tail,
    /// Ascending.
    ids: Vec<MessageId>,
}

impl Lookup {
    /// `None`: there is no such conversation here.
    pub fn of(state: &State, conversation: &Conversation, ids: Vec<MessageId>) -> Option<Self> {
        Some(Self::at(state, state.find_row(conversation)?, ids))
    }

    pub fn at(state: &State, at: ConversationIndex, ids: Vec<MessageId>) -> Self {
        Self { at, conversation: state.conversation_at(at), tail: state.conversations.at(at).tail.tail(), ids }
    }

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
    fetch: Fetch,
    found: Result<FetchResult, Unread>,
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
    fn may_begin(&self, user: &UserId) -> bool {
        self.0.get(user).is_none_or(|count| *count < APART_PER_USER_MAX)
    }

    fn begin(&mut self, user: &UserId) {
        *self.0.entry(user.clone()).or_default() += 1;
    }

    fn end(&mut self, user: &UserId) {
        let Some(count) = self.0.get_mut(user) else { return };
        *count -= 1;
        if *count == 0 {
            self.0.remove(user);
        }
    }
}

impl FetchOwner {
    fn is_apart(&self) -> bool {
        matches!(self, Self::Post(..) | Self::Nobody)
    }
}

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn fetch(
        &mut self,
        session: SessionId,
        tag: RequestTag,
        wanted: ColdRead,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let user = row.user.clone();
        effects.push(Effect::Pause { session });
        self.order(user, FetchOwner::Session(session, tag), wanted, effects);
    }

    /// For a session that is behind.
    pub(in crate::shard) fn fetch_backlog(&mut self, session: SessionId, wanted: ColdRead, effects: &mut Vec<Effect>) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let user = row.user.clone();
        self.order(user, FetchOwner::Backlog(session), wanted, effects);
    }

    /// For a post, which waits for its answer anyhow.
    pub(in crate::shard) fn fetch_for_post(
        &mut self,
        from: ShardId,
        post: ConversationRequest,
        wanted: ColdRead,
        effects: &mut Vec<Effect>,
    ) {
        self.order(post.author().clone(), FetchOwner::Post(from, post), wanted, effects);
    }

    /// For nobody who waits.
    pub(in crate::shard) fn fetch_recount(&mut self, recount: Recount, effects: &mut Vec<Effect>) {
        self.order(recount.user.clone(), FetchOwner::Nobody, ColdRead::Recount(recount), effects);
    }

    /// Whether the user may have one more read that holds up no session of its.
    pub(in crate::shard) fn may_fetch_apart(&self, user: &UserId) -> bool {
        self.state.apart.may_begin(user)
    }

    fn order(&mut self, user: UserId, whose: FetchOwner, wanted: ColdRead, effects: &mut Vec<Effect>) {
        self.stats.fetched += 1;
        if whose.is_apart() {
            self.state.apart.begin(&user);
        }
        effects.push(Effect::Fetch(Box::new(Fetch { user, whose, end: self.journal.end(), wanted })));
    }

    pub(in crate::shard) fn fetched(&mut self, now: Moment, fetched: Fetched, effects: &mut Vec<Effect>) {
        let Fetched { fetch: Fetch { user, whose, wanted, .. }, found } = fetched;
        if whose.is_apart() {
            self.state.apart.end(&user);
        }
        // What retention dropped while it was being read is not damage: it is asked for among what is left.
        let view = self.journal.view(ReadMode::None);
        if matches!(found, Err(Unread::Damaged(Damage { position })) if view.is_gone(position)) {
            return self.order(user, whose, wanted.anew(), effects);
        }
        match whose {
            FetchOwner::Session(session, tag) => {
                self.fetched_for_session(now, Requester { session, tag }, wanted, found, effects)
            }
            FetchOwner::Backlog(session) => match (wanted, found) {
                (ColdRead::Page(question), Ok(FetchResult::Page(page))) => {
                    self.backlog_read(now, session, &question, page, effects);
                }
                _ => self.give_up_backlog(session),
            },
            FetchOwner::Post(from, post) => self.fetched_for_post(now, from, post, found, effects),
            FetchOwner::Nobody => {
                let ColdRead::Recount(recount) = wanted else { return };
                let counted = found.map(|found| if let FetchResult::Count(counted) = found { counted } else { 0 });
                self.recounted(&recount, counted, effects);
            }
        }
    }

    fn fetched_for_session(
        &mut self,
        now: Moment,
        waiter: Requester,
        wanted: ColdRead,
        found: Result<FetchResult, Unread>,
        effects: &mut Vec<Effect>,
    ) {
        let Requester { session, tag } = waiter.clone();
        if self.state.sessions.find(session).is_none() {
            return;
        }
        effects.push(Effect::Resume { session });
        match (wanted, found) {
            (ColdRead::Page(question), Ok(FetchResult::Page(page))) => {
                self.page_read(now, waiter, question, page, effects);
            }
            (ColdRead::First { position, send }, Ok(FetchResult::First(record))) => {
                self.first_read(now, waiter, position, *send, record, effects);
            }
            (ColdRead::History(question), Ok(FetchResult::History(page))) => {
                self.reply_history(now, session, tag, &question, page, effects);
            }
            (ColdRead::List(question), Ok(FetchResult::List(rows))) => {
                self.reply_conversations(now, waiter, &question, rows, effects);
            }
            (ColdRead::Receipt(lookup, receipt), Ok(FetchResult::Messages(found))) => {
                self.receipt_found(now, waiter, lookup.at, *receipt, &found, effects);
            }
            _ => self.refuse(session, tag, Refusal::StorageDamaged, effects),
        }
    }
}
