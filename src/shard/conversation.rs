//! The conversations of this shard: each one's newest seq, and the ids of the messages that they take.

use super::fingerprint::Fingerprint;
use crate::model::{ConversationSeq, MessageId, Millis, ShardId};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// A message id is 42 bits of milliseconds, 10 of the shard, 11 of a counter: unique, ascending within its shard.
const SHARD_BITS: u32 = 10;
const COUNTER_BITS: u32 = 11;

pub(super) struct Conversations {
    me: ShardId,
    newest: HashMap<Fingerprint, ConversationSeq, FixedState>,
    newest_message: MessageId,
}

impl Conversations {
    pub fn new(me: ShardId, seed: u64) -> Self {
        Self { me, newest: HashMap::with_hasher(FixedState::with_seed(seed)), newest_message: MessageId(0) }
    }

    /// What the conversation's next message is called.
    pub fn next(&self, conversation: Fingerprint, now: Millis) -> (ConversationSeq, MessageId) {
        let newest = self.newest.get(&conversation).copied().unwrap_or_default();
        (ConversationSeq(newest.0 + 1), self.next_message(now))
    }

    /// The conversation has taken this message.
    pub fn take(&mut self, conversation: Fingerprint, seq: ConversationSeq, message: MessageId) {
        self.newest.insert(conversation, seq);
        self.newest_message = self.newest_message.max(message);
    }

    /// A clock that stands still or goes back, or more messages in a millisecond than the counter counts, borrow from
    /// the milliseconds to come.
    fn next_message(&self, now: Millis) -> MessageId {
        let newest_ms = self.newest_message.0 >> (SHARD_BITS + COUNTER_BITS);
        let counter = self.newest_message.0 & ((1 << COUNTER_BITS) - 1);
        if now.0 > newest_ms {
            return self.id(now.0, 0);
        }
        if counter + 1 < 1 << COUNTER_BITS { self.id(newest_ms, counter + 1) } else { self.id(newest_ms + 1, 0) }
    }

    fn id(&self, time_ms: u64, counter: u64) -> MessageId {
        MessageId((time_ms << SHARD_BITS | u64::from(self.me.0)) << COUNTER_BITS | counter)
    }

    pub fn len(&self) -> usize {
        self.newest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint::Fingerprints;
    use super::*;
    use crate::model::{Conversation, UserId};

    #[test]
    fn message_ids_ascend_through_bursts_and_a_clock_that_goes_back() {
        let user = |id| UserId::new(id).expect("well formed");
        let pair = Fingerprints::new(1).of_conversation(&Conversation::pair(user("a"), user("b")));
        let mut conversations = Conversations::new(ShardId(3), 1);
        let mut last = MessageId(0);
        for n in 0..10_000_u64 {
            let now = Millis(if n < 5_000 { 1_000 } else { 900 });
            let (seq, id) = conversations.next(pair, now);
            assert!(id > last && seq.0 == n + 1);
            assert_eq!(id.0 >> COUNTER_BITS & 1023, 3, "the shard is part of it");
            conversations.take(pair, seq, id);
            last = id;
        }
    }
}
