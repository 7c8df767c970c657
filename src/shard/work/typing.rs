//! Typing notices that were sent recently, for their rate limit.

use crate::model::{Moment, Steady};
use crate::shard::rows::index::{ConversationIndex, UserIndex};
use std::collections::BTreeMap;

/// The least time between two typing notices of a user in a conversation, in milliseconds.
const TYPING_PAUSE_MS: u64 = 1_000;

/// When each user last sent a typing notice in each conversation; entries are removed when they do not matter any more.
#[derive(Debug, Default)]
pub(in crate::shard) struct TypingTimes {
    told: BTreeMap<(ConversationIndex, UserIndex), Steady>,
}

impl TypingTimes {
    /// Whether enough time has passed; if so, the time is noted.
    pub fn may_tell(&mut self, now: Moment, at: ConversationIndex, user_index: UserIndex) -> bool {
        let is_due = self.told.get(&(at, user_index)).is_none_or(|last| now.steady.since(*last) >= TYPING_PAUSE_MS);
        if is_due {
            self.told.insert((at, user_index), now.steady);
        }
        is_due
    }

    /// Forgets old entries. To be called once in each tick, so that only the notices of about a second are remembered.
    pub fn forget(&mut self, now: Moment) {
        self.told.retain(|_, last| now.steady.since(*last) < TYPING_PAUSE_MS);
    }
}
