//! The conversations of this shard: each one's newest seq, and the ids of the messages that they take.

use super::fingerprint::Fingerprint;
use super::table::Table;
use crate::log::bytes::{Put, Reader};
use crate::model::{ConversationSeq, MessageId, Millis, ShardId};

/// A message id is 42 bits of milliseconds, 10 of the shard, 11 of a counter: unique, ascending within its shard.
const SHARD_BITS: u32 = 10;
const COUNTER_BITS: u32 = 11;

pub(super) struct Conversations {
    me: ShardId,
    newest: Table<ConversationSeq>,
    newest_message: MessageId,
}

impl Conversations {
    pub fn new(me: ShardId) -> Self {
        Self { me, newest: Table::default(), newest_message: MessageId(0) }
    }

    /// For a checkpoint: the newest message id, then each conversation.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.newest_message.0);
        self.newest.put(out, |seq, out| out.put_u64(seq.0));
    }

    pub fn read(me: ShardId, reader: &mut Reader<'_>) -> Option<Self> {
        let newest_message = MessageId(reader.u64()?);
        Some(Self { me, newest_message, newest: Table::read(reader, |reader| reader.u64().map(ConversationSeq))? })
    }

    /// What the conversation's next message is called.
    pub fn next(&self, conversation: Fingerprint, now: Millis) -> (ConversationSeq, MessageId) {
        let newest = self.newest.find(conversation).unwrap_or_default();
        (ConversationSeq(newest.0 + 1), self.next_message(now))
    }

    /// The conversation has taken this message.
    pub fn take(&mut self, conversation: Fingerprint, seq: ConversationSeq, message: MessageId) {
        let newest = self.newest.find(conversation).unwrap_or_default();
        self.newest.insert(conversation, newest.max(seq));
        self.skip_ids_to(message);
    }

    /// The next message gets an id above this one.
    pub fn skip_ids_to(&mut self, message: MessageId) {
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

    /// Each conversation and its newest seq.
    pub fn all(&self) -> impl Iterator<Item = (Fingerprint, ConversationSeq)> + '_ {
        self.newest.rows()
    }

    pub fn newest_message(&self) -> MessageId {
        self.newest_message
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
        let mut conversations = Conversations::new(ShardId(3));
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
