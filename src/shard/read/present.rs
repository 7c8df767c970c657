//! An entry as its user may see it now: a tombstone if it was revoked or its author erased, nothing if it has expired
//! or the user has cleared it, and with the user's own name for the conversation.

use crate::model::{ClearExtent, ConversationSeq, Entry, Message, Millis, Position};
use crate::shard::State;
use crate::shard::core::state::RowTables;
use crate::shard::rows::index::UserIndex;
use crate::shard::rows::seat::Seated;
use std::sync::Arc;

impl State {
    /// Whether the entry is shown to `user_index`, in a reply that waits until the newest revocation is acknowledged.
    pub(in crate::shard) fn present(&self, now: Millis, user_index: UserIndex, entry: &mut Entry) -> bool {
        if self.is_taken_back(&entry.message) {
            take_back(entry);
        }
        if !self.is_shown_to(now, user_index, &entry.message) || self.is_cleared(user_index, &entry.message) {
            return false;
        }
        entry.name = self.name_for(user_index, &entry.message.conversation);
        true
    }

    /// The same for the operator, who reads for nobody: what some user has consumed is shown.
    pub(in crate::shard) fn present_to_operator(&self, now: Millis, entry: &mut Entry) -> bool {
        if self.is_taken_back(&entry.message) {
            take_back(entry);
        }
        !entry.message.is_expired(now)
    }

    /// The same for an entry that is pushed at once: revocations that a crash could undo are not applied; they are
    /// pushed when they are acknowledged.
    pub(in crate::shard) fn present_at_once(&self, user_index: UserIndex, entry: &mut Entry) {
        let RowTables { revoked, erased, .. } = &self.tables;
        if revoked.contains_for_good(entry.message.id) || erased.contains_for_good(&entry.message.author) {
            take_back(entry);
        }
        entry.name = self.name_for(user_index, &entry.message.conversation);
    }

    /// Whether nobody may read the message any more: it was revoked, or its author erased.
    fn is_taken_back(&self, message: &Message) -> bool {
        self.tables.revoked.contains(message.id) || self.tables.erased.contains(&message.author)
    }

    /// An answer with entries waits for this record, since by it any of them may be a tombstone, or be left out.
    pub(in crate::shard) fn newest_tombstone(&self) -> Position {
        let RowTables { revoked, erased, cleared, .. } = &self.tables;
        revoked.newest_record().max(erased.newest_record()).max(cleared.newest_record())
    }

    /// Whether the user has cleared the conversation up to this message or a later one. What is pushed when it comes needs
    /// no look: the user clears what its inbox has.
    pub(in crate::shard) fn is_cleared(&self, user_index: UserIndex, message: &Message) -> bool {
        let cleared = &self.tables.cleared;
        if message.fact.is_some() || !cleared.has(user_index) {
            return false;
        }
        let row = self.find_row(&message.conversation).and_then(|at| cleared.find(user_index, at));
        row.is_some_and(|cleared| message.conversation_seq <= cleared.through)
    }

    /// The first message of the conversation that is shown to the user on this seat.
    pub(in crate::shard) fn first_shown(&self, Seated { at, seat }: Seated) -> ConversationSeq {
        let seat = self.tables.conversations.at(at).seat(seat);
        let cleared = self.tables.cleared.find(seat.user, at);
        cleared.map_or(seat.joined, |cleared| seat.joined.max(ConversationSeq(cleared.through.0.saturating_add(1))))
    }

    /// Whether the user has deleted the conversation, and nothing has come since.
    pub(in crate::shard) fn is_left_out(&self, user_index: UserIndex, seated: Seated) -> bool {
        let cleared = self.tables.cleared.find(user_index, seated.at);
        cleared.is_some_and(|cleared| {
            cleared.extent == ClearExtent::Conversation && self.seen_through(seated) <= cleared.through
        })
    }

    /// Whether a message is shown to the user: it has not expired, and no device of the user has consumed it for all
    /// devices. Revoked messages are shown, too.
    #[inline]
    pub(in crate::shard) fn is_shown_to(&self, now: Millis, user_index: UserIndex, message: &Message) -> bool {
        message.annotations.as_ref().is_none_or(|annotations| {
            let is_consumed = || {
                annotations.header.sync_once
                    && self.tables.consumed.contains(self.tables.inboxes.user_at(user_index), message.id)
            };
            !message.is_expired(now) && !is_consumed()
        })
    }
}

fn take_back(entry: &mut Entry) {
    if entry.message.fact.is_none() {
        entry.message = Arc::new(entry.message.tombstone());
    }
}
