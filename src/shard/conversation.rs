//! The conversations of this shard: those that it orders, and those that its users take part in. For each the newest end
//! of its thread in this log, and a seat for each user of this shard that is or was in it; and the ids of new messages.
//!
//! Invariants: a conversation has one row for ever, and a seat stays where it is; a seat's `unread` is how many messages
//! of others stand in its user's inbox above `read`.

use super::fingerprint::Fingerprint;
use super::inbox::Place;
use super::rows::Rows;
use super::table::Table;
use crate::log::Tail;
use crate::log::bytes::{Put, Reader};
use crate::model::{Conversation, ConversationSeq, GroupId, Message, MessageId, Millis, Seq, ShardId, UserId};
use smallvec::SmallVec;

/// A message id is 42 bits of milliseconds, 10 of the shard, 11 of a counter: unique, ascending within its shard.
const SHARD_BITS: u32 = 10;
const COUNTER_BITS: u32 = 11;

/// A conversation's row, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ConversationAt(pub u32);

/// One user's part in a conversation. Who comes back to a group takes its seat anew: its inbox keeps what it was told
/// before, its history and what is unread begin with its coming back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub user: Place,
    pub unread: u32,
    /// It sees what stands here or behind.
    pub joined: ConversationSeq,
    /// It sees nothing behind this; `STAYS` while it is in.
    pub left: ConversationSeq,
    pub read: ConversationSeq,
    /// The newest entry of this conversation in its inbox.
    pub last: Seq,
}

pub(super) const STAYS: ConversationSeq = ConversationSeq(u64::MAX);

impl Seat {
    pub fn new(user: Place, joined: ConversationSeq) -> Self {
        let read = ConversationSeq(joined.0.saturating_sub(1));
        Self { user, unread: 0, joined, left: STAYS, read, last: Seq(0) }
    }

    pub fn is_taken(&self) -> bool {
        self.left == STAYS
    }

    /// Its user has read up to `through`; so many messages of others stand behind it. Not where it has come back since,
    /// and begun anew.
    pub fn mark_read(&mut self, through: ConversationSeq, unread: u32) {
        if through >= self.read {
            self.read = through;
            self.unread = unread;
        }
    }

    /// Its user's inbox has this entry, and its user wrote it.
    pub fn note_own(&mut self, seq: Seq) {
        self.last = seq;
    }

    /// Its user's inbox has this entry, of somebody else: unread if somebody wrote it.
    pub fn note(&mut self, seq: Seq, message: &Message) {
        self.last = seq;
        if message.fact.is_none() && message.conversation_seq > self.read {
            self.unread = self.unread.saturating_add(1);
        }
    }

    /// Whether its user sees what has this place in the conversation.
    pub fn sees(&self, seq: ConversationSeq) -> bool {
        self.joined <= seq && seq <= self.left
    }

    /// Whether its user is told what happened when the conversation had got to `seq`, without a place of its own.
    pub fn hears(&self, seq: ConversationSeq) -> bool {
        self.joined <= seq && seq < self.left
    }
}

#[derive(Debug)]
pub(super) struct Row {
    pub conversation: Conversation,
    /// Its messages in this log; `tail.seq` is the newest place that this shard knows of.
    pub tail: Tail,
    pub seats: SmallVec<[Seat; 1]>,
}

pub(super) struct Conversations {
    me: ShardId,
    index: Table<ConversationAt>,
    rows: Rows<Row>,
    newest_message: MessageId,
}

impl Conversations {
    pub fn new(me: ShardId) -> Self {
        Self { me, index: Table::default(), rows: Rows::default(), newest_message: MessageId(0) }
    }

    /// For a checkpoint: the newest message id, then each conversation with its seats.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.newest_message.0);
        self.index.put(out, |at, out| out.put_u32(at.0));
        out.put_u32(u32::try_from(self.rows.len()).expect("rows are numbered in 32 bits"));
        for row in self.rows.iter() {
            put_conversation(&row.conversation, out);
            row.tail.put(out);
            out.put_u32(u32::try_from(row.seats.len()).expect("seats are numbered in 32 bits"));
            for Seat { user, unread, joined, left, read, last } in &row.seats {
                out.put_u32(user.0);
                out.put_u32(*unread);
                [joined.0, left.0, read.0, last.0].into_iter().for_each(|number| out.put_u64(number));
            }
        }
    }

    pub fn read(me: ShardId, reader: &mut Reader<'_>) -> Option<Self> {
        let newest_message = MessageId(reader.u64()?);
        let index = Table::read(reader, |reader| reader.u32().map(ConversationAt))?;
        let mut rows = Rows::default();
        for _row in 0..reader.u32()? {
            let conversation = read_conversation(reader)?;
            let tail = Tail::read(reader)?;
            let seats = (0..reader.u32()?).map(|_| read_seat(reader)).collect::<Option<_>>()?;
            rows.push(Row { conversation, tail, seats });
        }
        let is_whole = index.len() == rows.len() && index.rows().all(|(_, at)| (at.0 as usize) < rows.len());
        is_whole.then_some(Self { me, index, rows, newest_message })
    }

    pub fn find(&self, name: Fingerprint) -> Option<ConversationAt> {
        self.index.find(name)
    }

    /// The row of a conversation whose fingerprint is `name`.
    pub fn find_or_add(&mut self, name: Fingerprint, conversation: &Conversation) -> ConversationAt {
        if let Some(at) = self.index.find(name) {
            return at;
        }
        let row = Row { conversation: conversation.clone(), tail: Tail::default(), seats: SmallVec::new() };
        let at = ConversationAt(self.rows.push(row));
        self.index.insert(name, at);
        at
    }

    pub fn at(&self, at: ConversationAt) -> &Row {
        self.rows.at(at.0)
    }

    pub fn at_mut(&mut self, at: ConversationAt) -> &mut Row {
        self.rows.at_mut(at.0)
    }

    /// Every row, in order, with its number.
    pub fn all(&self) -> impl Iterator<Item = (ConversationAt, &Row)> + '_ {
        (0..).map(ConversationAt).zip(self.rows.iter())
    }

    /// Below every id that any shard gave at `time` or later.
    pub fn first_id_of(time: Millis) -> MessageId {
        MessageId(time.0 << (SHARD_BITS + COUNTER_BITS))
    }

    /// The next message gets an id above this one.
    pub fn skip_ids_to(&mut self, message: MessageId) {
        self.newest_message = self.newest_message.max(message);
    }

    /// A clock that stands still or goes back, or more messages in a millisecond than the counter counts, borrow from
    /// the milliseconds to come.
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

    pub fn newest_message(&self) -> MessageId {
        self.newest_message
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }
}

fn read_seat(reader: &mut Reader<'_>) -> Option<Seat> {
    let (user, unread) = (Place(reader.u32()?), reader.u32()?);
    let mut seq = || reader.u64().map(ConversationSeq);
    let (joined, left, read) = (seq()?, seq()?, seq()?);
    Some(Seat { user, unread, joined, left, read, last: Seq(reader.u64()?) })
}

/// A pair's two ids, sorted; of a group "" and its id.
pub(super) fn put_conversation(conversation: &Conversation, out: &mut Vec<u8>) {
    let (first, second) = match conversation {
        Conversation::Pair(a, b) => (a.as_str(), b.as_str()),
        Conversation::Group(id) => ("", id.as_str()),
    };
    out.put_short(first.as_bytes());
    out.put_short(second.as_bytes());
}

pub(super) fn read_conversation(reader: &mut Reader<'_>) -> Option<Conversation> {
    let first = std::str::from_utf8(reader.short()?).ok()?;
    let second = std::str::from_utf8(reader.short()?).ok()?;
    if first.is_empty() {
        return Some(Conversation::Group(GroupId::new(second).ok()?));
    }
    Some(Conversation::pair(UserId::new(first).ok()?, UserId::new(second).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_ascend_through_bursts_and_a_clock_that_goes_back() {
        let mut conversations = Conversations::new(ShardId(3));
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
        let mut seat = Seat::new(Place(0), ConversationSeq(5));
        assert!(!seat.sees(ConversationSeq(4)) && seat.sees(ConversationSeq(5)), "its joining is told");
        seat.left = ConversationSeq(9);
        assert!(seat.sees(ConversationSeq(9)) && !seat.sees(ConversationSeq(10)), "its leaving is told");
        assert!(seat.hears(ConversationSeq(8)) && !seat.hears(ConversationSeq(9)), "and nothing after it");
    }
}
