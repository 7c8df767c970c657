//! Marks on messages that outlive their records: revoked messages, messages that one device consumed for all, blocks,
//! and the receipts that readers have sent.
//!
//! Invariants: every mark follows from the log; marks of messages whose segments are dropped are removed in parts, and a
//! message that comes after that keeps its mark.

use crate::log::record::bytes::{Put, Reader};
use crate::model::{BlockState, ConversationSeq, MessageId, Position, UserId};
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::table::fresh_marks::FreshMarks;
use crate::shard::table::hash_table::Table;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The most marks that are removed at once, and the most users who are looked at for that.
const FORGOTTEN_AT_ONCE_MAX: usize = 1_024;

/// Messages that were taken back and are only tombstones now.
#[derive(Debug, Default)]
pub(in crate::shard) struct Revoked {
    messages: BTreeSet<MessageId>,
    /// The revocations whose records are not acknowledged yet.
    fresh: FreshMarks<MessageId>,
    /// Marks of messages with smaller ids are to be removed.
    forgotten_before: MessageId,
}

impl Revoked {
    /// The record at `position` takes the message back.
    pub fn insert(&mut self, message: MessageId, position: Position) {
        self.forgotten_before = self.forgotten_before.min(message);
        if self.messages.insert(message) {
            self.fresh.insert(message, position);
        }
    }

    /// Records before `end` may be shown.
    pub fn acknowledged(&mut self, end: Position) {
        self.fresh.acknowledged(end);
    }

    /// An answer that may show any of the tombstones waits for this record.
    pub fn newest_record(&self) -> Position {
        self.fresh.newest_record()
    }

    pub fn contains(&self, message: MessageId) -> bool {
        !self.messages.is_empty() && self.messages.contains(&message)
    }

    /// The same, if the record is acknowledged, so that a crash cannot undo it.
    pub fn contains_for_good(&self, message: MessageId) -> bool {
        self.contains(message) && !self.fresh.contains(&message)
    }

    /// A rewrite of the data directory restores the mark.
    pub fn restore(&mut self, message: MessageId) {
        self.messages.insert(message);
    }

    /// Messages with smaller ids are in no log any more. `forget_some` removes their marks.
    pub fn forget_before(&mut self, message: MessageId) {
        self.forgotten_before = message;
    }

    pub fn has_forgotten(&self) -> bool {
        self.messages.first().is_some_and(|oldest| *oldest < self.forgotten_before)
    }

    /// Removes a bounded number of marks. Returns how many.
    pub fn forget_some(&mut self) -> usize {
        let mut removed = 0;
        while removed < FORGOTTEN_AT_ONCE_MAX && self.has_forgotten() {
            self.messages.pop_first();
            removed += 1;
        }
        removed
    }

    pub fn all(&self) -> impl Iterator<Item = MessageId> + '_ {
        self.messages.iter().copied()
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.messages.len() as u64);
        self.messages.iter().for_each(|message| out.put_u64(message.0));
    }

    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let messages = (0..reader.u64()?).map(|_| reader.u64().map(MessageId)).collect::<Option<_>>()?;
        Some(Self { messages, ..Self::default() })
    }
}

/// `syncOnce` messages that one of a user's devices has acknowledged (PROTOCOL 3.10); for each user the newest ones.
#[derive(Debug, Default)]
pub(in crate::shard) struct Consumed {
    users: BTreeMap<UserId, BTreeSet<MessageId>>,
    /// Marks of messages with smaller ids are to be removed.
    forgotten_before: MessageId,
    /// Set while users are looked through for such marks.
    search: Option<ForgottenSearch>,
}

/// The search of all users for marks to be removed.
#[derive(Debug, Default)]
struct ForgottenSearch {
    /// The last user who was looked at; `None`: nobody yet.
    after: Option<UserId>,
    /// More has been forgotten since the search began, so another one follows.
    is_outdated: bool,
}

/// Consumed messages that are remembered for a user; a user who consumes more may see the oldest again on a new device.
const CONSUMED_MAX: usize = 1_024;

impl Consumed {
    pub fn insert(&mut self, user: &UserId, message: MessageId) {
        self.forgotten_before = self.forgotten_before.min(message);
        let messages = match self.users.get_mut(user) {
            Some(messages) => messages,
            None => self.users.entry(user.clone()).or_default(),
        };
        messages.insert(message);
        if messages.len() > CONSUMED_MAX {
            messages.pop_first();
        }
    }

    pub fn contains(&self, user: &UserId, message: MessageId) -> bool {
        !self.users.is_empty() && self.users.get(user).is_some_and(|messages| messages.contains(&message))
    }

    /// Messages with smaller ids are in no log any more. `forget_some` removes their marks.
    pub fn forget_before(&mut self, message: MessageId) {
        self.forgotten_before = message;
        match &mut self.search {
            Some(search) => search.is_outdated = true,
            None if self.users.is_empty() => {}
            None => self.search = Some(ForgottenSearch::default()),
        }
    }

    pub fn has_forgotten(&self) -> bool {
        self.search.is_some()
    }

    /// Removes a bounded number of marks, and looks at a bounded number of users. Returns how many of both.
    pub fn forget_some(&mut self) -> usize {
        let Some(search) = &mut self.search else { return 0 };
        let (mut visited, mut emptied, mut is_complete) = (0, Vec::new(), true);
        let from = search.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        for (user, messages) in self.users.range_mut((from, Bound::Unbounded)) {
            while visited < FORGOTTEN_AT_ONCE_MAX
                && messages.first().is_some_and(|oldest| *oldest < self.forgotten_before)
            {
                messages.pop_first();
                visited += 1;
            }
            if visited >= FORGOTTEN_AT_ONCE_MAX {
                // The user may have more of them.
                is_complete = false;
                break;
            }
            visited += 1;
            search.after = Some(user.clone());
            if messages.is_empty() {
                emptied.push(user.clone());
            }
        }
        if is_complete {
            self.search = search.is_outdated.then(ForgottenSearch::default);
        }
        emptied.iter().for_each(|user| drop(self.users.remove(user)));
        visited
    }

    pub fn all(&self) -> impl Iterator<Item = (MessageId, &UserId)> + '_ {
        self.users.iter().flat_map(|(user, messages)| messages.iter().map(move |message| (*message, user)))
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.all().count() as u64);
        for (message, user) in self.all() {
            out.put_u64(message.0);
            out.put_short(user.as_str().as_bytes());
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let one = |reader: &mut Reader<'_>| {
            let message = MessageId(reader.u64()?);
            Some((message, UserId::new(std::str::from_utf8(reader.short()?).ok()?).ok()?))
        };
        let mut consumed = Self::default();
        for _message in 0..reader.u64()? {
            let (message, user) = one(reader)?;
            consumed.insert(&user, message);
        }
        Some(consumed)
    }
}

/// Pairs of users of whom one blocks the other; on the shard that owns their conversation.
#[derive(Debug, Default)]
pub(in crate::shard) struct Blocks {
    pairs: Table<u8>,
}

impl Blocks {
    /// `by` blocks `other`, or does not any more. Returns whether this is a change.
    pub fn set(&mut self, pair: Fingerprint, by: &UserId, other: &UserId, state: BlockState) -> bool {
        let before = self.pairs.find(pair).unwrap_or_default();
        let after = match state {
            BlockState::Blocked => before | bit(by, other),
            BlockState::Allowed => before & !bit(by, other),
        };
        match after {
            0 => self.pairs.remove(pair),
            _ => self.pairs.insert(pair, after),
        }
        before != after
    }

    pub fn is_blocked(&self, pair: Fingerprint, by: &UserId, other: &UserId) -> bool {
        self.pairs.find(pair).is_some_and(|bits| bits & bit(by, other) != 0)
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        self.pairs.put(out, |bits, out| out.put_u8(bits));
    }

    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { pairs: Table::read(reader, |reader| reader.u8())? })
    }

    pub fn all(&self) -> impl Iterator<Item = (Fingerprint, u8)> + '_ {
        self.pairs.rows()
    }

    /// Restores a pair as `all` returned it.
    pub fn restore(&mut self, pair: Fingerprint, bits: u8) {
        self.pairs.insert(pair, bits);
    }
}

/// The bit of `by` in the state of the pair: the smaller id has the lower bit.
fn bit(by: &UserId, other: &UserId) -> u8 {
    if by <= other { 1 } else { 2 }
}

/// The messages for which each reader of a conversation has sent receipts, as ranges of seqs; on the shard that owns
/// the conversation.
#[derive(Debug)]
pub(in crate::shard) struct Receipts {
    readers: HashMap<Fingerprint, Ranges, FixedState>,
}

/// Ascending ranges that neither overlap nor touch, with inclusive ends.
type Ranges = SmallVec<[(ConversationSeq, ConversationSeq); 1]>;

/// The most ranges of one reader; if there are more, the two oldest are joined.
const RANGES_MAX: usize = 32;

impl Receipts {
    pub fn new(seed: u64) -> Self {
        Self { readers: HashMap::with_hasher(FixedState::with_seed(seed)) }
    }

    pub fn contains(&self, reader: Fingerprint, seq: ConversationSeq) -> bool {
        let ranges = self.readers.get(&reader);
        ranges.is_some_and(|ranges| ranges.iter().any(|(from, through)| (*from..=*through).contains(&seq)))
    }

    pub fn insert(&mut self, reader: Fingerprint, seq: ConversationSeq) {
        let ranges = self.readers.entry(reader).or_default();
        let at = ranges.partition_point(|(_, through)| through.0 + 1 < seq.0);
        match ranges.get_mut(at) {
            Some((from, through)) if from.0 <= seq.0 + 1 => {
                *from = (*from).min(seq);
                *through = (*through).max(seq);
            }
            _ => ranges.insert(at, (seq, seq)),
        }
        if ranges.get(at + 1).is_some_and(|next| next.0.0 <= ranges[at].1.0 + 1) {
            ranges[at].1 = ranges[at + 1].1;
            ranges.remove(at + 1);
        }
        if ranges.len() > RANGES_MAX {
            ranges[0].1 = ranges[1].1;
            ranges.remove(1);
        }
    }

    /// Every reader and its ranges.
    pub fn all(&self) -> impl Iterator<Item = (Fingerprint, &[(ConversationSeq, ConversationSeq)])> + '_ {
        self.readers.iter().map(|(reader, ranges)| (*reader, ranges.as_slice()))
    }

    /// Restores a reader as `all` returned it.
    pub fn restore(&mut self, reader: Fingerprint, ranges: &[(ConversationSeq, ConversationSeq)]) {
        self.readers.insert(reader, SmallVec::from_slice(ranges));
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.readers.len() as u64);
        for (reader, ranges) in &self.readers {
            reader.put(out);
            out.put_u8(u8::try_from(ranges.len()).expect("ranges are bounded"));
            for (from, through) in ranges {
                out.put_u64(from.0);
                out.put_u64(through.0);
            }
        }
    }

    pub fn read(seed: u64, reader: &mut Reader<'_>) -> Option<Self> {
        let mut receipts = Self::new(seed);
        for _reader in 0..reader.u64()? {
            let name = Fingerprint::read(reader)?;
            let count = reader.u8()?;
            let range =
                |reader: &mut Reader<'_>| Some((ConversationSeq(reader.u64()?), ConversationSeq(reader.u64()?)));
            let ranges = (0..count).map(|_| range(reader)).collect::<Option<_>>()?;
            receipts.readers.insert(name, ranges);
        }
        Some(receipts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Slot;

    fn name() -> Fingerprint {
        Fingerprint::of_halves([u64::from(Slot(1).0), 7])
    }

    #[test]
    fn what_was_read_is_known_in_whatever_order_it_was_told() {
        let mut receipts = Receipts::new(1);
        for seq in [5, 3, 9, 4, 10, 8, 1] {
            assert!(!receipts.contains(name(), ConversationSeq(seq)));
            receipts.insert(name(), ConversationSeq(seq));
            assert!(receipts.contains(name(), ConversationSeq(seq)));
        }
        let known: Vec<u64> = (0..12).filter(|seq| receipts.contains(name(), ConversationSeq(*seq))).collect();
        assert_eq!(known, [1, 3, 4, 5, 8, 9, 10]);
        assert_eq!(receipts.readers[&name()].len(), 3, "neighbours are one range");
        let mut bytes = Vec::new();
        receipts.put(&mut bytes);
        let read = Receipts::read(2, &mut Reader::new(&bytes)).expect("as written");
        assert_eq!(read.readers[&name()], receipts.readers[&name()]);
    }

    #[test]
    fn a_reader_in_many_pieces_costs_no_more_memory() {
        let mut receipts = Receipts::new(1);
        (0..1_000).for_each(|n| receipts.insert(name(), ConversationSeq(n * 2)));
        assert_eq!(receipts.readers[&name()].len(), RANGES_MAX);
        assert!(
            receipts.contains(name(), ConversationSeq(1_998)) && !receipts.contains(name(), ConversationSeq(1_997))
        );
    }

    #[test]
    fn of_what_a_user_has_consumed_the_newest_is_remembered() {
        let (mut consumed, user) = (Consumed::default(), UserId::new("a").expect("well formed"));
        (0..2 * CONSUMED_MAX as u64).for_each(|id| consumed.insert(&user, MessageId(id)));
        let oldest = MessageId(CONSUMED_MAX as u64);
        assert!(consumed.contains(&user, oldest) && !consumed.contains(&user, MessageId(oldest.0 - 1)));
        let mut bytes = Vec::new();
        consumed.put(&mut bytes);
        let read = Consumed::read(&mut Reader::new(&bytes)).expect("as written");
        assert!(read.all().eq(consumed.all()));
        consumed.forget_before(MessageId(u64::MAX));
        forget_all(&mut consumed);
        assert!(consumed.users.is_empty());
    }

    /// Returns the number of parts.
    fn forget_all(consumed: &mut Consumed) -> usize {
        let mut parts = 0;
        while consumed.has_forgotten() {
            assert!(consumed.forget_some() <= FORGOTTEN_AT_ONCE_MAX);
            parts += 1;
        }
        parts
    }

    #[test]
    fn revocations_are_forgotten_in_parts_and_what_comes_meanwhile_stays() {
        let mut revoked = Revoked::default();
        let many = 3 * FORGOTTEN_AT_ONCE_MAX as u64;
        (0..many).for_each(|id| revoked.insert(MessageId(10 + id), Position::NONE));
        revoked.forget_before(MessageId(10 + many));
        assert_eq!(revoked.forget_some(), FORGOTTEN_AT_ONCE_MAX);
        assert!(revoked.has_forgotten());
        // A message that another shard sent late: its record is in the log.
        revoked.insert(MessageId(5), Position::NONE);
        while revoked.has_forgotten() {
            revoked.forget_some();
        }
        assert!(revoked.contains(MessageId(5)));
        revoked.forget_before(MessageId(10 + many));
        while revoked.has_forgotten() {
            revoked.forget_some();
        }
        assert_eq!(revoked.all().count(), 0, "it is in no log any more");
    }

    #[test]
    fn what_users_consumed_is_forgotten_in_parts_and_what_comes_meanwhile_stays() {
        let mut consumed = Consumed::default();
        let user = |n: u64| UserId::new(&format!("user-{n:05}")).expect("well formed");
        let many = 3 * FORGOTTEN_AT_ONCE_MAX as u64;
        for n in 0..many {
            [10, 100].into_iter().for_each(|id| consumed.insert(&user(n), MessageId(id)));
        }
        (0..CONSUMED_MAX as u64).for_each(|id| consumed.insert(&user(7), MessageId(10 + id)));
        consumed.forget_before(MessageId(50));
        consumed.forget_some();
        // More is forgotten while the search goes on: the users at its beginning are looked at again.
        consumed.forget_before(MessageId(60));
        assert!(forget_all(&mut consumed) > 6);
        assert!(consumed.all().all(|(message, _)| message >= MessageId(60)));
        assert_eq!(consumed.users.len() as u64, many);
        consumed.forget_before(MessageId(200));
        consumed.forget_some();
        consumed.insert(&user(1), MessageId(150));
        forget_all(&mut consumed);
        assert!(consumed.contains(&user(1), MessageId(150)), "it came after that");
        consumed.forget_before(MessageId(u64::MAX));
        forget_all(&mut consumed);
        assert!(consumed.users.is_empty());
    }

    #[test]
    fn each_side_of_a_pair_blocks_for_itself() {
        let (a, b) = (UserId::new("a").expect("well formed"), UserId::new("b").expect("well formed"));
        let mut blocks = Blocks::default();
        assert!(blocks.set(name(), &a, &b, BlockState::Blocked));
        assert!(!blocks.set(name(), &a, &b, BlockState::Blocked), "no news");
        assert!(blocks.is_blocked(name(), &a, &b) && !blocks.is_blocked(name(), &b, &a));
        assert!(blocks.set(name(), &a, &b, BlockState::Allowed));
        assert!(!blocks.is_blocked(name(), &a, &b) && blocks.all().next().is_none());
    }
}
