//! Typing notices that were sent recently, for their rate limit.

use crate::model::{Moment, Steady};
use crate::shard::rows::index::{ConversationIndex, UserIndex};
use std::collections::{BTreeMap, VecDeque};

/// The least time between two typing notices of a user in a conversation, in milliseconds.
const TYPING_PAUSE_MS: u64 = 1_000;

/// The most entries that one turn removes.
const FORGOTTEN_A_TURN_MAX: usize = 1_024;
/// Entries that are removed for each new one: more than one, so that none are left when all are old.
const FORGOTTEN_FOR_ONE: usize = 2;

/// When each user last sent a typing notice in each conversation; entries are removed when they do not matter any more.
#[derive(Debug, Default)]
pub(in crate::shard) struct TypingTimes {
    told: BTreeMap<(ConversationIndex, UserIndex), Steady>,
    /// All of them, in order of time.
    oldest_first: VecDeque<(Steady, (ConversationIndex, UserIndex))>,
}

impl TypingTimes {
    /// Whether enough time has passed; if so, the time is noted.
    pub fn may_tell(&mut self, now: Moment, at: ConversationIndex, user_index: UserIndex) -> bool {
        self.forget_some(now, FORGOTTEN_FOR_ONE);
        let is_due = self.told.get(&(at, user_index)).is_none_or(|last| now.steady.since(*last) >= TYPING_PAUSE_MS);
        if is_due {
            self.told.insert((at, user_index), now.steady);
            self.oldest_first.push_back((now.steady, (at, user_index)));
        }
        is_due
    }

    /// Forgets old entries, a part at a time. To be called once in each tick.
    pub fn forget(&mut self, now: Moment) {
        self.forget_some(now, FORGOTTEN_A_TURN_MAX);
    }

    fn forget_some(&mut self, now: Moment, count: usize) {
        for _told in 0..count {
            let is_old = |(told, _): &mut (Steady, _)| now.steady.since(*told) >= TYPING_PAUSE_MS;
            let Some((told, key)) = self.oldest_first.pop_front_if(is_old) else { return };
            // Told again since, it stands further back as well.
            if self.told.get(&key) == Some(&told) {
                self.told.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;

    #[test]
    fn what_no_longer_matters_is_forgotten_a_part_at_a_time() {
        let (mut times, start) = (TypingTimes::default(), Moment::told(Millis(0)));
        (0..5_000).for_each(|user| assert!(times.may_tell(start, ConversationIndex(0), UserIndex(user))));
        assert!(!times.may_tell(start.plus(999), ConversationIndex(0), UserIndex(7)));
        let later = start.plus(1_000);
        assert!(times.may_tell(later, ConversationIndex(0), UserIndex(7)));
        times.forget(later);
        assert!((3_000..4_000).contains(&times.told.len()), "{} are left", times.told.len());
        (0..5).for_each(|_tick| times.forget(later));
        assert_eq!((times.told.len(), times.oldest_first.len()), (1, 1), "the one who typed again");
    }
}
