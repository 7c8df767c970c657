//! The users who are erased: their words are still in the logs, and no stream of events tells them any more.
//!
//! Filled by the control thread. Invariant: as long as the shards have not been asked who is erased, everybody counts as erased.

use crate::log::Record;
use crate::model::{Message, UserId};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use tokio::sync::Notify;

#[derive(Default)]
pub struct ErasedUsers {
    users: OnceLock<RwLock<BTreeSet<UserId>>>,
    learned: Notify,
}

impl ErasedUsers {
    pub fn contains(&self, user: &UserId) -> bool {
        let Some(users) = self.users.get() else { return true };
        let users = users.read().unwrap_or_else(PoisonError::into_inner);
        !users.is_empty() && users.contains(user)
    }

    /// How many are erased: what was read when there were fewer may have words that it must have no more.
    pub fn count(&self) -> usize {
        self.users.get().map_or(0, |users| users.read().unwrap_or_else(PoisonError::into_inner).len())
    }

    /// The record as followers are told it: a message of an erased user is a tombstone.
    pub fn without_their_words(&self, record: Record) -> Record {
        match record {
            Record::Posted { message, deliveries, links } => {
                Record::Posted { message: self.without_words_of(message), deliveries, links }
            }
            Record::Delivered { source, number, message, links } => {
                Record::Delivered { source, number, message: self.without_words_of(message), links }
            }
            other => other,
        }
    }

    /// The same for one message.
    pub fn without_words_of(&self, message: Arc<Message>) -> Arc<Message> {
        match message.fact.is_none() && self.contains(&message.author) {
            true => Arc::new(message.tombstone()),
            false => message,
        }
    }

    /// Waits until the shards have told who was erased earlier, which takes a moment after a start.
    pub async fn until_known(&self) {
        loop {
            let learned = self.learned.notified();
            if self.users.get().is_some() {
                return;
            }
            learned.await;
        }
    }

    /// The shards have told who was erased earlier.
    pub fn learn(&self, users: BTreeSet<UserId>) {
        self.users.get_or_init(|| RwLock::new(users));
        self.learned.notify_waiters();
    }

    /// One more is erased.
    pub fn insert(&self, user: &UserId) {
        if let Some(users) = self.users.get() {
            users.write().unwrap_or_else(PoisonError::into_inner).insert(user.clone());
        }
    }
}
