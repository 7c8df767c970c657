//! Appends the records of one shard and reads them back. `opening` opens a log.
//!
//! Owned by the shard. Invariants: `durable` ≤ `end`, and neither goes back; a record lies in one segment; after the
//! last record there is always room for a `Mark`, so a batch can always be sealed.

use super::segment::{FORMAT_VERSION, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::{Meter, ReadMode, Record, RecordRef, Storage, View};
use crate::log::record::body::{DurabilityMark, MARK_BODY_BYTES, START_BODY_BYTES};
use crate::log::record::envelope::{self, record_bytes};
use crate::model::{Millis, Position, ShardId};

/// The range of bytes to sync: from the first byte that may not be durable to the end of the batch. If the range spans
/// segments, each of them must be synced, headers included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The first byte that may not be durable.
    pub from: Position,
    /// The end of the batch.
    pub to: Position,
}

/// One shard's open log.
pub struct Journal<S> {
    pub(super) storage: S,
    pub(super) shard: ShardId,
    /// The wall-clock time of the log's creation, which identifies the log.
    pub(super) log: Millis,
    pub(super) epoch: u64,
    pub(super) end: Position,
    pub(super) durable: Position,
    /// The end of the newest record that is not a `Mark`.
    pub(super) said: Position,
    /// The durable position that the newest `Mark` or `Start` records.
    pub(super) marked_durable: Position,
    /// The CRC of the last record, which the next record repeats.
    pub(super) chain: u32,
    /// Whether an effect waits for a record after the last seal.
    pub(super) is_awaited: bool,
    /// The `Start` of this epoch, until there is room for it.
    pub(super) pending_start: Option<Record>,
    pub(super) meter: Meter,
}

const MARK_BYTES: usize = record_bytes(MARK_BODY_BYTES);
const START_BYTES: usize = record_bytes(START_BODY_BYTES);

impl<S: Storage> Journal<S> {
    /// Whether a record of `record_bytes` (see `Record::encoded_bytes`) can be appended now.
    pub fn has_room(&self, record_bytes: usize) -> bool {
        let start_bytes = if self.pending_start.is_some() { START_BYTES } else { 0 };
        let Some(needed) = record_bytes.checked_add(start_bytes + MARK_BYTES) else { return false };
        needed <= self.room_here() || self.next_segment_bytes().is_some_and(|next| needed <= room_of_new(next))
    }

    /// Whether there is no room for this record now, and a segment with room for it is being allocated.
    pub fn awaits_room(&self, record_bytes: usize) -> bool {
        !self.has_room(record_bytes) && self.next_segment_bytes().is_none() && !self.storage.is_full()
    }

    /// Appends a record for which somebody waits: requests a sync. Returns the record's position.
    ///
    /// # Panics
    ///
    /// There is no room; callers ask `has_room` first.
    pub fn append<'a>(&mut self, record: impl Into<RecordRef<'a>>) -> Position {
        self.is_awaited = true;
        self.append_lazily(record)
    }

    /// As `append`, for a record whose encoded bytes the caller has computed.
    pub fn append_measured<'a>(&mut self, record: impl Into<RecordRef<'a>>, record_bytes: usize) -> Position {
        self.is_awaited = true;
        self.append_of(record.into(), record_bytes)
    }

    /// Appends a record for which nobody waits: the next sync makes it durable. Returns the record's position.
    pub fn append_lazily<'a>(&mut self, record: impl Into<RecordRef<'a>>) -> Position {
        let record = record.into();
        self.append_of(record, record.encoded_bytes())
    }

    fn append_of(&mut self, record: RecordRef<'_>, record_bytes: usize) -> Position {
        assert!(self.has_room(record_bytes), "a caller asks has_room before it appends");
        if let Some(start) = self.pending_start.take() {
            self.place((&start).into(), start.encoded_bytes());
        }
        let position = self.place(record, record_bytes);
        self.meter.count_record();
        self.meter.count_bytes(record_bytes);
        position
    }

    /// Gives the run that is to begin another number than the next one of this log. Before `begin_run`.
    pub(crate) fn number_run(&mut self, number: u64) {
        if let Some(Record::Start { epoch, .. }) = &mut self.pending_start {
            (*epoch, self.epoch) = (number, number);
        }
    }

    /// Begins the run: appends its `Start`, at once or as soon as there is room. Once, before anything is appended.
    pub(crate) fn begin_run(&mut self) {
        if self.has_room(0)
            && let Some(start) = self.pending_start.take()
        {
            self.place((&start).into(), start.encoded_bytes());
        }
    }

    /// The appended records, read in this mode.
    pub fn view(&self, read_mode: ReadMode) -> View<'_, S> {
        View::new(&self.storage, self.end, read_mode).metered(&self.meter)
    }

    /// Counters of the records and bytes read and appended since the last reset.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The numbers of the segments, oldest first; the last one is written to.
    pub fn segments(&self) -> std::ops::Range<u32> {
        self.storage.segments()
    }

    /// The end of the last record.
    pub fn end(&self) -> Position {
        self.end
    }

    /// The position before which everything is on stable storage.
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// Ends the batch with a `Mark` and returns the range to sync; `None` if no record waits for a sync.
    pub fn seal(&mut self) -> Option<Batch> {
        if !self.is_awaited {
            return None;
        }
        self.is_awaited = false;
        self.put((&Record::Mark { durable: self.durable }).into(), MARK_BYTES);
        Some(Batch { from: self.durable, to: self.end })
    }

    /// Appends a `Mark` if the durable position has moved since the last one, without requesting a sync. So rot in the
    /// last batch of an idle log cannot look like a torn tail. Keeps the room for the `Mark` of records that are not
    /// durable.
    pub fn append_durability_mark(&mut self) {
        let kept = if self.durable < self.said { MARK_BYTES } else { 0 };
        // The first record of a run is its `Start`.
        let may_mark = self.pending_start.is_none() && !self.is_awaited;
        if self.marked_durable < self.durable && may_mark && MARK_BYTES + kept <= self.room_here() {
            self.put((&Record::Mark { durable: self.durable }).into(), MARK_BYTES);
        }
    }

    /// Records that everything before `to` is on stable storage. The caller must have synced it: later marks rely on
    /// it.
    ///
    /// # Panics
    ///
    /// `to` is after the end of the log.
    pub fn synced(&mut self, to: Position) {
        assert!(to <= self.end, "nothing is synced that was not appended");
        self.durable = self.durable.max(to);
    }

    /// The storage of the log.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The storage of the log, for its owner, who allocates and syncs.
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    /// The storage, when the log is closed.
    pub fn into_storage(self) -> S {
        self.storage
    }

    /// Writes a record into the current segment or, if it and a `Mark` do not fit, into the next one.
    fn place(&mut self, record: RecordRef<'_>, record_bytes: usize) -> Position {
        if record_bytes + MARK_BYTES > self.room_here() {
            self.rotate();
        }
        self.put(record, record_bytes)
    }

    /// Encodes a record in its place in the current segment, in which it fits. What a crash leaves of it there has no
    /// CRC that fits, as with any record that was not written whole.
    fn put(&mut self, record: RecordRef<'_>, record_bytes: usize) -> Position {
        let position = self.end;
        if matches!(record, RecordRef::Whole(Record::Start { .. } | Record::Mark { .. })) {
            self.marked_durable = self.durable;
        }
        let claim = DurabilityMark { durable: self.durable, at: position, log: self.log };
        debug_assert_eq!(record_bytes, record.encoded_bytes());
        let start = position.offset() as usize;
        let here = self.storage.bytes_mut(position.segment(), start..start + record_bytes);
        self.chain = envelope::write(here, record.kind(), self.chain, |out| record.encode(claim, out));
        self.end = Position(position.0 + record_bytes as u64);
        if !matches!(record, RecordRef::Whole(Record::Mark { .. })) {
            self.said = self.end;
        }
        position
    }

    fn rotate(&mut self) {
        let next = self.end.segment() + 1;
        if !self.storage.segments().contains(&next) {
            assert_eq!(self.storage.take_spare(), next, "segments have no gap");
        }
        self.begin_segment(next);
    }

    /// Writes the header of a zeroed segment and continues after it.
    pub(super) fn begin_segment(&mut self, segment: u32) {
        let length = u32::try_from(self.storage.bytes(segment).len()).expect("a segment's offsets are 32 bits");
        let header = SegmentHeader {
            version: FORMAT_VERSION,
            shard: self.shard,
            segment,
            length,
            chain: self.chain,
            epoch: self.epoch,
            log: self.log,
        };
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        header.encode(&mut bytes);
        self.storage.write(segment, 0, &bytes);
        self.end = Position::new(segment, SEGMENT_HEADER_BYTES as u32);
    }

    fn room_here(&self) -> usize {
        let length = self.storage.bytes(self.end.segment()).len();
        length.saturating_sub(self.end.offset() as usize)
    }

    /// The size of the next segment: one that a crash left empty, or else the spare.
    fn next_segment_bytes(&self) -> Option<usize> {
        let next = self.end.segment() + 1;
        if self.storage.segments().contains(&next) {
            return Some(self.storage.bytes(next).len());
        }
        self.storage.spare_bytes().map(|bytes| bytes as usize)
    }
}

fn room_of_new(segment_bytes: usize) -> usize {
    segment_bytes.saturating_sub(SEGMENT_HEADER_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::fixtures::{self, Chance};
    use crate::log::{Damage, MemoryStorage, ThreadLink, ThreadLinks, Unread};
    use crate::model::Seq;

    const SEGMENT_BYTES: u32 = 1 << 10;

    fn journal(segment_bytes: u32, spares: u32) -> Journal<MemoryStorage> {
        fixtures::open(MemoryStorage::new(segment_bytes, spares)).expect("a new log").0
    }

    /// A record of exactly so many bytes.
    fn record_of(bytes: usize) -> Record {
        let (author, peer) = (fixtures::user("alice"), fixtures::user("bob"));
        let record = |content| fixtures::posted(&fixtures::message(&author, &peer, content), ThreadLinks::new());
        record(bytes - record(0).encoded_bytes())
    }

    #[test]
    fn a_small_posted_record_costs_what_the_format_page_says() {
        let (alice, bob) = (fixtures::user("alice"), fixtures::user("bob"));
        let link =
            |side| ThreadLink { side, seq: Seq(1), previous: Position::NONE, skip: Position::NONE, is_away: false };
        let links = ThreadLinks::from_iter([super::super::Side::Author, super::super::Side::Peer].map(link));
        let record = fixtures::posted(&fixtures::message(&alice, &bob, 128), links);
        assert_eq!(record.encoded_bytes(), 288);
    }

    #[test]
    fn a_record_is_read_back_where_it_was_written_and_nowhere_else() {
        let mut journal = journal(1 << 14, 50);
        let mut chance = Chance::new(8);
        let mut written = Vec::new();
        for _ in 0..500 {
            let record = fixtures::any_record(&mut chance);
            written.push((journal.append(&record), record));
            journal.seal();
        }
        let view = journal.view(ReadMode::Unbounded);
        for (position, record) in &written {
            assert_eq!(view.read(*position).as_ref(), Ok(record));
            let beside = Position(position.0 + 8);
            assert_eq!(view.read(beside), Err(Unread::Damaged(Damage { position: beside })));
        }
        for position in
            [Position::NONE, Position::new(1, 0), Position::new(9_999, 64), journal.end(), Position(u64::MAX)]
        {
            assert_eq!(view.read(position), Err(Unread::Damaged(Damage { position })));
        }
    }

    #[test]
    fn segments_follow_each_other_at_every_boundary() {
        for first in (120..=840).step_by(8) {
            let mut journal = journal(SEGMENT_BYTES, 5);
            let positions = [first, 480, 480].map(|bytes| {
                let position = journal.append(&record_of(bytes));
                journal.seal().expect("somebody waits");
                position
            });
            assert_eq!(positions[0].segment(), 1);
            let end = journal.end();
            let (journal, opening, replayed) = fixtures::open_all(journal.into_storage()).expect("an intact log");
            assert_eq!((opening.epoch, opening.records, opening.cut_bytes), (2, 7, 0), "first of {first} bytes");
            let posted = replayed.iter().filter(|(_, record)| matches!(record, Record::Posted { .. }));
            assert_eq!(posted.map(|(position, _)| *position).collect::<Vec<_>>(), positions);
            assert_eq!(journal.durable(), end);
        }
    }

    #[test]
    fn without_room_nothing_is_promised_and_with_a_spare_it_is_again() {
        let mut journal = journal(SEGMENT_BYTES, 1);
        let record = record_of(200);
        let mut appended = 0;
        while journal.has_room(record.encoded_bytes()) {
            journal.append(&record);
            appended += 1;
        }
        assert_eq!(appended, 4);
        assert!(journal.seal().is_some(), "there is always room to close the batch");
        assert!(journal.end().offset() <= SEGMENT_BYTES);

        journal.storage_mut().set_spares(1);
        assert!(journal.has_room(record.encoded_bytes()));
        assert_eq!(journal.append(&record), Position::new(2, 64));
    }

    #[test]
    fn a_record_larger_than_a_segment_never_has_room() {
        let journal = journal(SEGMENT_BYTES, 5);
        let most = SEGMENT_BYTES as usize - SEGMENT_HEADER_BYTES - MARK_BYTES;
        assert!(journal.has_room(most));
        assert!(!journal.has_room(most + 8));
        assert!(!journal.has_room(usize::MAX));
    }

    #[test]
    fn a_full_log_opens_again_and_again_and_owes_its_start_until_there_is_room() {
        let mut journal = journal(SEGMENT_BYTES, 1);
        while journal.has_room(120) {
            journal.append(&record_of(120));
            journal.seal();
        }
        let mut storage = journal.into_storage();
        for _ in 0..50 {
            let (journal, _) = fixtures::open(storage).expect("a full log opens");
            assert!(!journal.has_room(120));
            storage = journal.into_storage();
        }
        storage.set_spares(1);
        let (mut journal, opening) = fixtures::open(storage).expect("a log with room");
        let position = journal.append(&record_of(120));
        assert!(position.segment() == 2);
        let (_, later) = fixtures::open(journal.into_storage()).expect("an intact log");
        assert_eq!(later.epoch, opening.epoch + 1);
    }

    #[test]
    fn only_what_somebody_waits_for_asks_for_a_sync() {
        let mut journal = journal(SEGMENT_BYTES, 5);
        assert_eq!(journal.seal(), None);
        journal.append_lazily(&record_of(120));
        assert_eq!(journal.seal(), None);
        journal.append(&record_of(120));
        let batch = journal.seal().expect("somebody waits");
        assert_eq!(batch, Batch { from: Position::new(1, 0), to: journal.end() });
        assert_eq!(journal.seal(), None);

        journal.append(&record_of(120));
        let second = journal.seal().expect("somebody waits");
        assert_eq!(second.from, batch.from, "nothing is durable yet");
        journal.synced(second.to);
        journal.synced(batch.to);
        assert_eq!(journal.durable(), second.to, "durable never goes back");
    }
}
