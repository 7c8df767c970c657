//! An entry as its user is to see it now: a tombstone where it was revoked, nothing where its time is over, and the name
//! that the user has for the conversation.

use super::State;
use crate::model::{Entry, Millis, UserId};
use std::sync::Arc;

impl State {
    /// Whether the entry is shown to `user` at all.
    pub(super) fn present(&self, now: Millis, user: &UserId, entry: &mut Entry) -> bool {
        if entry.message.is_expired(now) {
            return false;
        }
        if entry.message.header().sync_once && self.consumed.contains(user, entry.message.id) {
            return false;
        }
        if entry.message.fact.is_none() && self.revoked.contains(entry.message.id) {
            entry.message = Arc::new(entry.message.tombstone());
        }
        entry.name = self.name_for(user, &entry.message.conversation);
        true
    }
}
