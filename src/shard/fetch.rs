//! What may have to come from a disk is read off the core: a question goes out with all that its answer needs, and comes
//! back with what was found. A session that asked is paused meanwhile, so that there is one a session and order is kept.

use super::conversation::ConversationAt;
use super::conversations::ListQuestion;
use super::history::{HistoryPage, HistoryQuestion};
use super::in_flight::Waiter;
use super::mark_read::Recount;
use super::parcel::{Ask, Post};
use super::sync::Question;
use super::{Effect, Shard, State};
use crate::log::{Page, Patience, Record, Segments, Storage, Tail, Thread, Unread, View};
use crate::model::{
    Conversation, ConversationRow, Message, MessageId, Moment, Position, Receipt, Refusal, RequestTag, Send, SessionId,
    ShardId,
};
use std::sync::Arc;

/// To be read wherever waiting for a disk holds nobody up.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetch {
    whose: Whose,
    /// The end of the log when it was asked for.
    end: Position,
    wanted: Wanted,
}

#[derive(Debug, PartialEq, Eq)]
enum Whose {
    Session(SessionId, RequestTag),
    /// The backlog of a session, which is not held up.
    Backlog(SessionId),
    /// A post of that shard.
    Post(ShardId, Arc<Post>),
    /// The shard's own.
    Nobody,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Page(Question),
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

/// Messages of one conversation, by their ids.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lookup {
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

    pub fn at(state: &State, at: ConversationAt, ids: Vec<MessageId>) -> Self {
        Self { conversation: state.conversation_at(at), tail: state.conversations.at(at).tail.tail(), ids }
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
    found: Result<Found, Unread>,
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Page(Page),
    First(Record),
    History(HistoryPage),
    List(Vec<ConversationRow>),
    Messages(Vec<Option<Arc<Message>>>),
    Count(u32),
}

impl Fetch {
    /// Reads it; `segments` are those of the shard that asked, at that time or later.
    pub fn read<S: Segments>(self, segments: &S) -> Fetched {
        let view = View::new(segments, self.end, Patience::Unbounded);
        let found = match &self.wanted {
            Wanted::Page(question) => question.answer(view).map(Found::Page),
            Wanted::First { position, .. } => view.read(*position).map(Found::First),
            Wanted::History(question) => question.answer(view).map(Found::History),
            Wanted::List(question) => question.answer(view).map(Found::List),
            Wanted::Messages(lookup) | Wanted::Receipt(lookup, _) => lookup.answer(view).map(Found::Messages),
            Wanted::Recount(recount) => recount.answer(view).map(Found::Count),
        };
        Fetched { fetch: self, found }
    }
}

impl<S: Storage> Shard<S> {
    pub(super) fn fetch(&mut self, session: SessionId, tag: RequestTag, wanted: Wanted, effects: &mut Vec<Effect>) {
        effects.push(Effect::Pause { session });
        self.order(Whose::Session(session, tag), wanted, effects);
    }

    /// For a session that is behind.
    pub(super) fn fetch_backlog(&mut self, session: SessionId, wanted: Wanted, effects: &mut Vec<Effect>) {
        self.order(Whose::Backlog(session), wanted, effects);
    }

    /// For a post, which waits for its answer anyhow.
    pub(super) fn fetch_for_post(&mut self, from: ShardId, post: Arc<Post>, wanted: Wanted, effects: &mut Vec<Effect>) {
        self.order(Whose::Post(from, post), wanted, effects);
    }

    /// For nobody who waits.
    pub(super) fn fetch_apart(&mut self, wanted: Wanted, effects: &mut Vec<Effect>) {
        self.order(Whose::Nobody, wanted, effects);
    }

    fn order(&mut self, whose: Whose, wanted: Wanted, effects: &mut Vec<Effect>) {
        self.stats.fetched += 1;
        effects.push(Effect::Fetch(Box::new(Fetch { whose, end: self.journal.end(), wanted })));
    }

    pub(super) fn fetched(&mut self, now: Moment, fetched: Fetched, effects: &mut Vec<Effect>) {
        let Fetched { fetch: Fetch { whose, wanted, .. }, found } = fetched;
        match whose {
            Whose::Session(session, tag) => {
                self.fetched_for_session(now, Waiter { session, tag }, wanted, found, effects)
            }
            Whose::Backlog(session) => match (wanted, found) {
                (Wanted::Page(question), Ok(Found::Page(page))) => {
                    self.backlog_read(now, session, &question, page, effects);
                }
                _ => self.give_up_backlog(session),
            },
            Whose::Post(from, post) => self.fetched_for_post(now, from, &post, found, effects),
            Whose::Nobody => {
                if let (Wanted::Recount(recount), Ok(Found::Count(unread))) = (wanted, found) {
                    self.recounted(&recount, unread);
                }
            }
        }
    }

    fn fetched_for_session(
        &mut self,
        now: Moment,
        waiter: Waiter,
        wanted: Wanted,
        found: Result<Found, Unread>,
        effects: &mut Vec<Effect>,
    ) {
        let Waiter { session, tag } = waiter.clone();
        let Some(row) = self.state.sessions.find(session) else { return };
        let user = row.user.clone();
        effects.push(Effect::Resume { session });
        match (wanted, found) {
            (Wanted::Page(question), Ok(Found::Page(page))) => {
                self.page_read(now, waiter, question, page, effects);
            }
            (Wanted::First { position, send }, Ok(Found::First(record))) => {
                let Some(waiter) = self.repeat(now, waiter, &send, (position, record), effects) else { return };
                let key = self.state.fingerprints.of_client_message(&user, &send.client_message_id);
                self.state.dedupe.forget(key);
                self.send(now, waiter.session, waiter.tag, *send, effects);
            }
            (Wanted::History(question), Ok(Found::History(page))) => {
                self.tell_history(now, session, tag, &question, page, effects);
            }
            (Wanted::List(question), Ok(Found::List(rows))) => {
                self.tell_list(now, waiter, &question, rows, effects);
            }
            (Wanted::Receipt(_, receipt), Ok(Found::Messages(found))) => {
                self.receipt_found(now, waiter, *receipt, &found, effects);
            }
            _ => self.refuse(session, tag, Refusal::StorageDamaged, effects),
        }
    }

    fn fetched_for_post(
        &mut self,
        now: Moment,
        from: ShardId,
        post: &Arc<Post>,
        found: Result<Found, Unread>,
        effects: &mut Vec<Effect>,
    ) {
        use super::post::Verdict;
        let verdict = match (&post.ask, found) {
            (Ask::Revoke(id), Ok(Found::Messages(mut found))) => {
                self.commit_revocation(now, post, *id, Some(found.pop().flatten()))
            }
            _ => Verdict::refused(Refusal::StorageDamaged),
        };
        self.conclude(now, from, post, verdict, effects);
    }
}
