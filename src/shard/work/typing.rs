//! Typing notices that were sent recently, for their rate limit.

use crate::model::{Moment, Steady};
use crate::shard::rows::index::{ConversationIndex, UserIndex};
use std::collections::BTreeMap;

/// A user's conversation is told of its typing so often at the most.
const TYPING_PAUSE_MS: u64 = 1_000;

/// When each user last told each conversation that it types: only as long as that matters.
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

    /// Forgets what no longer matters. Once a tick: so it holds what a second and a tick of typing bring.
    pub fn forget(&mut self, now: Moment) {
        self.told.retain(|_, last| now.steady.since(*last) < TYPING_PAUSE_MS);
    }
}
