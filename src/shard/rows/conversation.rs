//! The conversations of this shard: those that it owns, and those of its users. Each has the newest end of its thread
//! in this log, and a seat for each user of this shard that is or was a member; and the source of message ids.
//!
//! Invariants: a conversation has one row for ever, and a seat keeps its number; a seat's `unread` is the number of
//! messages of others in its user's inbox above `read`. The index is by fingerprint, and the rows tell whose they are.

use crate::log::Tail;
use crate::log::record::bytes::{Put, Reader};
use crate::model::{Conversation, ConversationSeq, Fact, GroupId, MessageId, Millis, Seq, ShardId, UserId};
use crate::shard::rows::inbox::InboxTable;
use crate::shard::rows::index::{ConversationIndex, UserIndex};
use crate::shard::rows::packed_row::{ConversationFields, PackedRow};
use crate::shard::rows::seat::Membership;
use crate::shard::table::fingerprint::{Fingerprint, Fingerprints};
use crate::shard::table::index::Index;
use crate::shard::table::rows::Rows;

/// A message id is 42 bits of milliseconds, 10 of the shard, 11 of a counter: unique, ascending within its shard.
const SHARD_BITS: u32 = 10;
const COUNTER_BITS: u32 = 11;

pub(in crate::shard) struct ConversationTable {
    me: ShardId,
    index: Index,
    rows: Rows<PackedRow>,
    newest_message: MessageId,
}

impl ConversationTable {
    pub fn new(me: ShardId) -> Self {
        Self { me, index: Index::default(), rows: Rows::default(), newest_message: MessageId(0) }
    }

    /// For a checkpoint: the newest message id, then each conversation with its seats.
    pub fn put(&self, inboxes: &InboxTable, fingerprints: Fingerprints, out: &mut Vec<u8>) {
        out.put_u64(self.newest_message.0);
        out.put_u64(self.rows.len() as u64);
        for (at, row) in (0..).zip(self.rows.iter()) {
            fingerprints.of_conversation(&row.conversation(inboxes)).put(out);
            out.put_u32(at);
        }
        out.put_u32(u32::try_from(self.rows.len()).expect("rows are numbered in 32 bits"));
        for row in self.rows.iter() {
            put_conversation(&row.conversation(inboxes), out);
            row.tail.tail().put(out);
            out.put_u32(u32::try_from(row.seats().count()).expect("seats are numbered in 32 bits"));
            for Membership { user, unread, joined, left, read, last } in row.seats() {
                out.put_u32(user.0);
                out.put_u32(unread);
                [joined.0, left.0, read.0, last.0].into_iter().for_each(|number| out.put_u64(number));
            }
        }
    }

    /// Passes over what `put` wrote.
    pub fn pass_over(reader: &mut Reader<'_>) -> Option<()> {
        reader.u64()?;
        let names = usize::try_from(reader.u64()?).ok()?;
        reader.take(names.checked_mul(NAME_BYTES)?)?;
        for _row in 0..reader.u32()? {
            reader.short()?;
            reader.short()?;
            reader.take(TAIL_BYTES)?;
            let seats = usize::try_from(reader.u32()?).ok()?;
            reader.take(seats.checked_mul(SEAT_BYTES)?)?;
        }
        Some(())
    }

    /// What `put` wrote, where all users are in their inboxes again.
    pub fn read(me: ShardId, inboxes: &InboxTable, reader: &mut Reader<'_>) -> Option<Self> {
        let mut conversations = Self::new(me);
        conversations.newest_message = MessageId(reader.u64()?);
        let count = u32::try_from(reader.u64()?).ok().filter(|count| *count <= ConversationIndex::COUNT_MAX)?;
        let names = reader.take((count as usize).checked_mul(NAME_BYTES)?)?;
        if reader.u32()? != count {
            return None;
        }
        for _row in 0..count {
            let (conversation, tail) = (read_conversation(reader)?, Tail::read(reader)?);
            let seats = (0..reader.u32()?).map(|_| read_seat(reader)).collect::<Option<Vec<Membership>>>()?;
            if seats.iter().any(|seat| seat.user.0 as usize >= inboxes.len()) {
                return None;
            }
            conversations.rows.push(PackedRow::of(ConversationFields { conversation, tail, seats }, inboxes));
        }
        let (mut names, mut is_named) = (Reader::new(names), vec![false; count as usize]);
        for _name in 0..count {
            let (conversation_key, at) = (Fingerprint::read(&mut names)?, names.u32()?);
            if std::mem::replace(is_named.get_mut(at as usize)?, true) {
                return None;
            }
            conversations.index.insert(conversation_key.random_bits(), at);
        }
        Some(conversations)
    }

    /// The row of the conversation, whose fingerprint is `conversation_key`.
    #[inline]
    pub fn find(
        &self,
        conversation_key: Fingerprint,
        conversation: &Conversation,
        inboxes: &InboxTable,
    ) -> Option<ConversationIndex> {
        let is_meant = |row| self.rows.at(row).is_of(conversation, inboxes);
        self.index.find(conversation_key.random_bits(), is_meant).map(ConversationIndex)
    }

    /// The group whose fingerprint is `conversation_key`.
    pub fn find_group(&self, conversation_key: Fingerprint, fingerprints: Fingerprints) -> Option<ConversationIndex> {
        let is_named = |group| fingerprints.of_conversation(group) == conversation_key;
        let is_meant = |row| self.rows.at(row).group().is_some_and(is_named);
        self.index.find(conversation_key.random_bits(), is_meant).map(ConversationIndex)
    }

    /// The row of the conversation, whose fingerprint is `conversation_key`.
    pub fn find_or_add(
        &mut self,
        conversation_key: Fingerprint,
        conversation: &Conversation,
        inboxes: &InboxTable,
    ) -> ConversationIndex {
        if let Some(at) = self.find(conversation_key, conversation, inboxes) {
            return at;
        }
        let row = ConversationFields { conversation: conversation.clone(), tail: Tail::default(), seats: Vec::new() };
        let at = self.rows.push(PackedRow::of(row, inboxes));
        assert!(at < ConversationIndex::COUNT_MAX, "a shard has fewer conversations than their numbers have bits for");
        self.index.insert(conversation_key.random_bits(), at);
        ConversationIndex(at)
    }

    pub fn at(&self, at: ConversationIndex) -> &PackedRow {
        self.rows.at(at.0)
    }

    pub fn at_mut(&mut self, at: ConversationIndex) -> &mut PackedRow {
        self.rows.at_mut(at.0)
    }

    /// Every row, in order, with its number.
    pub fn all<'a>(
        &'a self,
        inboxes: &'a InboxTable,
    ) -> impl Iterator<Item = (ConversationIndex, ConversationFields)> + 'a {
        (0..).map(ConversationIndex).zip(self.rows.iter().map(|row| row.unpacked(inboxes)))
    }

    /// Every row, in order, with its number, in its packed form.
    pub fn packed(&self) -> impl Iterator<Item = (ConversationIndex, &PackedRow)> + '_ {
        (0..).map(ConversationIndex).zip(self.rows.iter())
    }

    /// Below every id that any shard gave at `time` or later.
    pub fn first_id_of(time: Millis) -> MessageId {
        MessageId(time.0 << (SHARD_BITS + COUNTER_BITS))
    }

    /// The next message gets an id above this one.
    pub fn skip_ids_to(&mut self, message: MessageId) {
        self.newest_message = self.newest_message.max(message);
    }

    /// The next id. If the clock stands still or goes back, or if a millisecond has more messages than the counter
    /// allows, ids of later milliseconds are used.
    pub fn next_id(&self, now: Millis) -> MessageId {
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

    /// The time in the newest id: no message that this shard accepted has a later date.
    pub fn newest_id_time(&self) -> Millis {
        Millis(self.newest_message.0 >> (SHARD_BITS + COUNTER_BITS))
    }

    pub fn newest_message(&self) -> MessageId {
        self.newest_message
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }
}

/// The bytes of a fingerprint with a row's number, of a tail and of a seat in a checkpoint.
const NAME_BYTES: usize = 20;
const TAIL_BYTES: usize = 40;
const SEAT_BYTES: usize = 40;

fn read_seat(reader: &mut Reader<'_>) -> Option<Membership> {
    let (user, unread) = (UserIndex(reader.u32()?), reader.u32()?);
    let mut seq = || reader.u64().map(ConversationSeq);
    let (joined, left, read) = (seq()?, seq()?, seq()?);
    Some(Membership { user, unread, joined, left, read, last: Seq(reader.u64()?) })
}

/// A pair's two ids, sorted; of a group "" and its id.
pub(in crate::shard) fn put_conversation(conversation: &Conversation, out: &mut Vec<u8>) {
    let (first, second) = match conversation {
        Conversation::Pair(a, b) => (a.as_str(), b.as_str()),
        Conversation::Group(id) => ("", id.as_str()),
    };
    out.put_short(first.as_bytes());
    out.put_short(second.as_bytes());
}

pub(in crate::shard) fn read_conversation(reader: &mut Reader<'_>) -> Option<Conversation> {
    let first = std::str::from_utf8(reader.short()?).ok()?;
    let second = std::str::from_utf8(reader.short()?).ok()?;
    if first.is_empty() {
        return Some(Conversation::Group(GroupId::new(second).ok()?));
    }
    Some(Conversation::pair(UserId::new(first).ok()?, UserId::new(second).ok()?))
}

/// Whether the message has a seq in its conversation: messages of users, and changes of the group.
pub(in crate::shard) fn takes_place(fact: Option<&Fact>) -> bool {
    matches!(fact, None | Some(Fact::Group(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_ascend_through_bursts_and_a_clock_that_goes_back() {
        let mut conversations = ConversationTable::new(ShardId(3));
        let mut last = MessageId(0);
        for n in 0..10_000_u64 {
            let now = Millis(if n < 5_000 { 1_000 } else { 900 });
            let id = conversations.next_id(now);
            assert!(id > last);
            assert_eq!(id.0 >> COUNTER_BITS & 1023, 3, "the shard is part of it");
            conversations.skip_ids_to(id);
            last = id;
        }
    }

    #[test]
    fn a_member_hears_of_what_stands_between_its_joining_and_its_leaving() {
        let mut seat = Membership::new(UserIndex(0), ConversationSeq(5));
        assert!(!seat.sees(ConversationSeq(4)) && seat.sees(ConversationSeq(5)), "its joining is told");
        seat.left = ConversationSeq(9);
        assert!(seat.sees(ConversationSeq(9)) && !seat.sees(ConversationSeq(10)), "its leaving is told");
        assert!(seat.receives(ConversationSeq(8)) && !seat.receives(ConversationSeq(9)), "and nothing after it");
    }
}
