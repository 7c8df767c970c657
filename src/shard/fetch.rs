//! What may have to come from a disk is read off the core: a request goes out with all that its answer needs, and comes
//! back with what was found. Its session is paused meanwhile, so that there is one a session and order is kept.

use super::in_flight::Waiter;
use super::sync::Question;
use super::{Effect, Shard};
use crate::log::{Page, Patience, Record, Segments, Storage, Unread, View};
use crate::model::{Millis, Position, Refusal, RequestTag, Send, SessionId};

/// To be read wherever waiting for a disk holds nobody up.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetch {
    session: SessionId,
    tag: RequestTag,
    /// The end of the log when it was asked for.
    end: Position,
    wanted: Wanted,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Page(Question),
    /// The record of the message that a send repeats.
    First {
        position: Position,
        send: Box<Send>,
    },
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
}

impl Fetch {
    /// Reads it; `segments` are those of the shard that asked, at that time or later.
    pub fn read<S: Segments>(self, segments: &S) -> Fetched {
        let view = View::new(segments, self.end, Patience::Unbounded);
        let found = match &self.wanted {
            Wanted::Page(question) => question.answer(view).map(Found::Page),
            Wanted::First { position, .. } => view.read(*position).map(Found::First),
        };
        Fetched { fetch: self, found }
    }
}

impl<S: Storage> Shard<S> {
    pub(super) fn fetch(&mut self, session: SessionId, tag: RequestTag, wanted: Wanted, effects: &mut Vec<Effect>) {
        self.stats.fetched += 1;
        let end = self.journal.end();
        effects.push(Effect::Pause { session });
        effects.push(Effect::Fetch(Box::new(Fetch { session, tag, end, wanted })));
    }

    pub(super) fn fetched(&mut self, now: Millis, fetched: Fetched, effects: &mut Vec<Effect>) {
        let Fetched { fetch: Fetch { session, tag, wanted, .. }, found } = fetched;
        let Some(row) = self.state.sessions.find(session) else { return };
        let author = row.user.clone();
        effects.push(Effect::Resume { session });
        match (wanted, found) {
            (Wanted::Page(Question { tail, .. }), Ok(Found::Page(page))) => {
                self.tell_page(session, tag, tail, page, effects);
            }
            (Wanted::First { position, send }, Ok(Found::First(record))) => {
                let waiter = Waiter { session, tag };
                let Some(waiter) = self.repeat(now, waiter, &send, (position, record), effects) else { return };
                let key = self.state.fingerprints.of_client_message(&author, &send.client_message_id);
                self.state.dedupe.forget(key);
                self.send(now, waiter.session, waiter.tag, *send, effects);
            }
            _ => self.refuse(session, tag, Refusal::StorageDamaged, effects),
        }
    }
}
