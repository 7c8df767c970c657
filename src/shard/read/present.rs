//! An entry as its user is to see it now: a tombstone where it was revoked, nothing where its time is over, and the name
//! that the user has for the conversation.

use crate::model::{Entry, Millis};
use crate::shard::State;
use crate::shard::rows::inbox::UserIndex;
use std::sync::Arc;

impl State {
    /// Whether the entry is shown to `user` at all, in an answer that waits for the newest revocation to be acknowledged.
    pub(in crate::shard) fn present(&self, now: Millis, user: UserIndex, entry: &mut Entry) -> bool {
        if self.revoked.contains(entry.message.id) {
            take_back(entry);
        }
        self.present_as_it_is(now, user, entry)
    }

    /// The same for what leaves at once: what a crash may take back has not happened yet, and is told when it has.
    pub(in crate::shard) fn present_at_once(&self, now: Millis, user: UserIndex, entry: &mut Entry) -> bool {
        if self.revoked.contains_for_good(entry.message.id) {
            take_back(entry);
        }
        self.present_as_it_is(now, user, entry)
    }

    fn present_as_it_is(&self, now: Millis, user: UserIndex, entry: &mut Entry) -> bool {
        if entry.message.is_expired(now) {
            return false;
        }
        if entry.message.header().sync_once && self.consumed.contains(self.inboxes.user_at(user), entry.message.id) {
            return false;
        }
        entry.name = self.name_for(user, &entry.message.conversation);
        true
    }
}

fn take_back(entry: &mut Entry) {
    if entry.message.fact.is_none() {
        entry.message = Arc::new(entry.message.tombstone());
    }
}
