//! Power cuts, rot and strangers' segments: a log opens to what was synced, or refuses; never to wrong data.

use super::*;
use crate::log::fixtures::{self, Chance, NOW, Replayed, SHARD};
use crate::log::record::bytes::Put;
use crate::log::record::envelope;
use crate::log::{Batch, MemoryStorage, ReadMode, TornTail};

const SEGMENT_BYTES: u32 = 4 << 10;

/// A log under a writer, who remembers what it wrote and what was synced.
struct History {
    journal: Journal<MemoryStorage>,
    written: Replayed,
    /// How many of `written` are before the durable position.
    synced: usize,
}

impl History {
    fn new() -> Self {
        let (journal, _) = fixtures::open(MemoryStorage::new(SEGMENT_BYTES, 1_000)).expect("a new log");
        Self { journal, written: Vec::new(), synced: 0 }
    }

    fn append(&mut self, chance: &mut Chance) {
        let record = fixtures::any_record(chance);
        if self.journal.has_room(record.encoded_bytes()) {
            let position =
                if chance.below(5) == 0 { self.journal.append_lazily(&record) } else { self.journal.append(&record) };
            self.written.push((position, record));
        }
    }

    fn sync(&mut self) {
        if let Some(batch) = self.journal.seal() {
            self.journal.storage_mut().sync(batch);
            self.journal.synced(batch.to);
            self.synced = self.written.len();
        }
    }

    fn live(&mut self, chance: &mut Chance) {
        for _ in 0..chance.below(12) {
            for _ in 0..chance.below(6) {
                self.append(chance);
            }
            if chance.below(4) > 0 {
                self.sync();
            } else {
                self.journal.seal();
            }
        }
    }

    /// Opens what is left, and checks that it is what was synced and perhaps a bit of what followed.
    fn reopen(&mut self, storage: MemoryStorage) -> Result<OpenedLog, OpenError> {
        let (journal, opening, replayed) = fixtures::open_all(storage)?;
        let kept = domain_records(replayed);
        assert!(self.written.starts_with(&kept), "what is replayed was written, in order");
        self.written = kept;
        self.synced = self.written.len();
        self.journal = journal;
        Ok(opening)
    }
}

/// Without the log's own: `Start` and `Mark`.
fn domain_records(mut replayed: Replayed) -> Replayed {
    replayed.retain(|(_, record)| !matches!(record, Record::Start { .. } | Record::Mark { .. }));
    replayed
}

#[test]
fn power_cuts_lose_nothing_that_was_synced_and_bring_nothing_back() {
    for seed in 0..500 {
        let mut chance = Chance::new(seed);
        let mut history = History::new();
        for epoch in 2..6 {
            history.live(&mut chance);
            let torn_tail = if chance.below(2) == 0 { TornTail::Sectors } else { TornTail::Garbled };
            let mut storage = history.journal.storage().clone();
            storage.crash(torn_tail, || chance.next());
            let synced = history.synced;
            let opening = history.reopen(storage).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert!(history.written.len() >= synced, "seed {seed}: a synced record is gone");
            assert!(opening.epoch <= epoch, "seed {seed}: one epoch per start at the most");
            let behind = nonzero_bytes_from(history.journal.storage(), history.journal.end());
            assert_eq!(behind.expect("memory"), 0, "seed {seed}");
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_at_all() {
    for seed in 0..200 {
        let mut chance = Chance::new(seed);
        let mut history = History::new();
        history.live(&mut chance);
        let (written, end) = (history.written.len(), history.journal.end());
        let storage = history.journal.storage().clone();
        assert_eq!(history.reopen(storage).expect("an intact log").cut_bytes, 0);
        assert_eq!(history.written.len(), written, "seed {seed}");
        assert_eq!(history.journal.durable(), end, "what is replayed is durable");
    }
}

#[test]
fn a_whole_record_that_followed_another_one_ends_the_log() {
    let lives = [1, 2].map(|through| {
        let (mut journal, _) = fixtures::open(MemoryStorage::new(SEGMENT_BYTES, 3)).expect("a new log");
        journal.append(&Record::Confirmed { target: SHARD, through });
        let second = journal.append(&Record::Confirmed { target: SHARD, through: 9 });
        (second, journal.end(), journal.into_storage())
    });
    let [(second, end, mut storage), (_, _, other)] = lives;
    let range = second.offset() as usize..end.offset() as usize;
    storage.write(1, second.offset(), &other.bytes(1)[range]);
    let (journal, opening, replayed) = fixtures::open_all(storage).expect("a torn tail is cut");
    assert!(opening.cut_bytes > 0);
    assert_eq!(domain_records(replayed).len(), 1);
    assert!(journal.view(ReadMode::Unbounded).read(Position(second.0 - 32)).is_ok());
}

#[test]
fn a_flipped_byte_anywhere_ends_in_a_correct_prefix_or_a_refusal() {
    let (mut opened, mut refused) = (0, 0);
    for seed in 0..60 {
        let mut chance = Chance::new(seed);
        let mut history = History::new();
        history.live(&mut chance);
        history.sync();
        let intact = history.journal.storage().clone();
        for _ in 0..60 {
            let mut storage = intact.clone();
            let segment = 1 + chance.below(intact.segments().len()) as u32;
            let offset = chance.below(SEGMENT_BYTES as usize) as u32;
            storage.flip(Position::new(segment, offset), 1 << chance.below(8));
            match fixtures::open_all(storage) {
                Ok((_, _, replayed)) => {
                    opened += 1;
                    assert!(history.written.starts_with(&domain_records(replayed)), "seed {seed}: wrong data");
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(opened > 100 && refused > 100, "{opened} opened, {refused} refused");
}

#[test]
fn damage_below_a_mark_is_refused_and_named_and_the_log_left_alone() {
    let mut chance = Chance::new(7);
    let mut history = History::new();
    for _ in 0..40 {
        history.append(&mut chance);
        history.sync();
    }
    // The last batch has no mark behind it yet: one more record marks all before it durable.
    let acknowledged = history.written[..history.synced].to_vec();
    history.journal.append(&Record::Confirmed { target: SHARD, through: 1 });
    history.sync();
    for (position, record) in acknowledged {
        for _ in 0..4 {
            let mut storage = history.journal.storage().clone();
            let place = Position(position.0 + chance.below(record.encoded_bytes()) as u64);
            storage.flip(place, 1 << chance.below(8));
            match fixtures::open_all(storage) {
                Err(OpenError::Damaged(damage)) => assert_eq!(damage.position, position),
                other => panic!("a flip at {place} is not refused: {:?}", other.map(|(_, opening, _)| opening)),
            }
        }
    }
}

#[test]
fn after_a_restart_the_whole_log_is_marked_durable() {
    let mut chance = Chance::new(17);
    let mut history = History::new();
    for _ in 0..10 {
        history.append(&mut chance);
    }
    history.sync();
    let storage = history.journal.storage().clone();
    history.reopen(storage).expect("an intact log");
    let (last, _) = history.written[history.written.len() - 1];
    history.journal.storage_mut().flip(Position(last.0 + 20), 1);
    assert!(matches!(fixtures::open(history.journal.into_storage()), Err(OpenError::Damaged(_))));
}

#[test]
fn a_log_at_rest_marks_its_last_batch_durable_once() {
    let mut history = History::new();
    let mut chance = Chance::new(18);
    history.append(&mut chance);
    let last = history.journal.append(&Record::Confirmed { target: SHARD, through: 1 });
    history.sync();
    history.journal.append_durability_mark();
    let end = history.journal.end();
    history.journal.append_durability_mark();
    assert_eq!(history.journal.end(), end, "there is no news");
    history.journal.storage_mut().flip(Position(last.0 + 20), 1);
    assert!(matches!(fixtures::open(history.journal.into_storage()), Err(OpenError::Damaged(_))));
}

#[test]
fn a_damaged_segment_header_is_refused_when_a_mark_says_that_the_segment_is_durable() {
    let mut chance = Chance::new(31);
    let mut history = History::new();
    for _ in 0..60 {
        history.append(&mut chance);
        history.sync();
    }
    let last = history.journal.end().segment();
    assert!(last > 2);
    for segment in 1..last {
        for offset in 0..SEGMENT_HEADER_BYTES as u32 {
            let mut storage = history.journal.storage().clone();
            storage.flip(Position::new(segment, offset), 0x10);
            assert!(fixtures::open(storage).is_err(), "segment {segment}, offset {offset}");
        }
    }
}

/// A whole `Mark` with this claim, as a client could put it into its content.
fn forged(claim: DurabilityMark) -> Vec<u8> {
    let record = Record::Mark { durable: claim.durable };
    let mut mark = vec![0; record.encoded_bytes()];
    envelope::write(&mut mark, KIND_MARK, 0, |out| body::encode(&record, claim, out));
    mark
}

#[test]
fn a_mark_in_a_torn_tail_proves_something_only_at_its_place_and_in_its_log() {
    let mut history = History::new();
    let mut chance = Chance::new(41);
    history.append(&mut chance);
    history.sync();
    let at = Position(history.journal.end().0 + 64);
    let durable = Position(at.0 - 8);
    let opened = |claim| {
        let mut storage = history.journal.storage().clone();
        storage.write(at.segment(), at.offset(), &forged(claim));
        fixtures::open(storage).map(|(_, opening)| opening.cut_bytes)
    };
    assert!(
        opened(DurabilityMark { durable, at: Position(at.0 + 8), log: NOW }).is_ok_and(|cut| cut > 10),
        "another place"
    );
    assert!(opened(DurabilityMark { durable, at, log: Millis(NOW.0 + 1) }).is_ok_and(|cut| cut > 10), "another log");
    assert!(opened(DurabilityMark { durable: history.journal.end(), at, log: NOW }).is_ok(), "nothing behind the end");
    assert!(matches!(opened(DurabilityMark { durable, at, log: NOW }), Err(OpenError::Damaged(_))));
}

/// Rewrites a segment's header with a valid CRC.
fn rewrite(storage: &mut MemoryStorage, segment: u32, change: impl FnOnce(&mut SegmentHeader)) {
    let mut header = SegmentHeader::decode(storage.bytes(segment)).expect("a header");
    change(&mut header);
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    storage.write(segment, 0, &bytes);
}

#[test]
fn what_another_server_wrote_is_refused_by_name() {
    let intact = fixtures::open(MemoryStorage::new(SEGMENT_BYTES, 3)).expect("a new log").0.into_storage();
    let opened = |change: fn(&mut SegmentHeader)| {
        let mut storage = intact.clone();
        rewrite(&mut storage, 1, change);
        fixtures::open(storage).map(|_| ()).expect_err("it is refused")
    };
    let newer = opened(|header| header.version = FORMAT_VERSION + 1);
    let expected = (FORMAT_VERSION + 1, FORMAT_VERSION);
    assert!(matches!(newer, OpenError::Version { segment: 1, version, supported } if (version, supported) == expected));
    let other = opened(|header| header.shard = ShardId(8));
    assert!(matches!(other, OpenError::OtherShard { segment: 1, found: ShardId(8), expected: SHARD }));
    let renamed = opened(|header| header.segment = 2);
    assert!(matches!(renamed, OpenError::OtherSegment { segment: 1 }));
    let truncated = opened(|header| header.length += 8);
    assert!(matches!(truncated, OpenError::OtherSegment { segment: 1 }));
}

#[test]
fn a_log_of_an_older_version_is_read_and_gone_on_with() {
    for version in FORMAT_VERSION_OLDEST..FORMAT_VERSION {
        let mut chance = Chance::new(u64::from(version));
        let mut history = History::new();
        (0..20).for_each(|_| history.append(&mut chance));
        history.sync();
        let mut storage = history.journal.storage().clone();
        storage.segments().for_each(|segment| rewrite(&mut storage, segment, |header| header.version = version));
        let (mut journal, _) = fixtures::open(storage).expect("it has fewer kinds of records, and no other ones");
        let at = journal.append(&Record::Clock { time: NOW, jumped_ms: -40_000 });
        let read = journal.view(ReadMode::Unbounded).read(at);
        assert_eq!(read.expect("as written"), Record::Clock { time: NOW, jumped_ms: -40_000 });
        assert!(fixtures::open(journal.into_storage()).is_ok(), "versions {version} and {FORMAT_VERSION} in one log");
    }
}

#[test]
fn a_record_of_an_unknown_kind_is_refused_by_name() {
    let (mut journal, _) = fixtures::open(MemoryStorage::new(SEGMENT_BYTES, 3)).expect("a new log");
    let position = journal.end();
    let body = b"from the future";
    let mut bytes = vec![0; envelope::record_bytes(body.len())];
    envelope::write(&mut bytes, 77, journal.chain, |out| out.put_bytes(body));
    journal.storage_mut().write(position.segment(), position.offset(), &bytes);
    let error = fixtures::open(journal.into_storage()).map(|_| ()).expect_err("it is refused");
    assert!(matches!(error, OpenError::UnknownKind { position: at, kind: 77 } if at == position));
}

#[test]
fn a_new_log_needs_a_segment() {
    assert!(matches!(fixtures::open(MemoryStorage::new(SEGMENT_BYTES, 0)), Err(OpenError::Storage(_))));
    assert!(matches!(fixtures::open(MemoryStorage::new(8, 3)), Err(OpenError::Storage(_))));
}

#[test]
fn a_power_cut_before_the_first_sync_leaves_a_new_log() {
    for seed in 0..200 {
        let mut chance = Chance::new(seed);
        let mut history = History::new();
        for _ in 0..5 {
            history.append(&mut chance);
        }
        let mut storage = history.journal.storage().clone();
        storage.crash(TornTail::Garbled, || chance.next());
        history.reopen(storage).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn a_log_that_had_to_go_on_in_its_checkpoints_segment_opens_with_that_checkpoint() {
    let (alice, bob) = (fixtures::user("alice"), fixtures::user("bob"));
    let large = fixtures::posted(&fixtures::message(&alice, &bob, 1_000), super::super::ThreadLinks::new());
    let small = Record::Confirmed { target: SHARD, through: 1 };
    let (mut journal, _) = fixtures::open(MemoryStorage::new(SEGMENT_BYTES, 5)).expect("a new log");
    while journal.end().segment() == 1 {
        journal.append(&large);
    }
    let base = survey(journal.storage(), SHARD, None, 1, |_, _| {}).expect("a sound log");
    // Of the second segment nothing had been synced.
    let mut storage = journal.into_storage();
    let end = Position::new(2, 0);
    storage.secure(SegmentStatus { marked_durable: end, end, torn_bytes: 0 }).expect("memory");
    let reopen = |storage, base: Option<&Base>| {
        let mut replayed = Replayed::new();
        let opened = Journal::open(storage, SHARD, NOW, base, |position, record| replayed.push((position, record)));
        (opened.expect("a sound log").0, replayed)
    };
    let (mut journal, _) = reopen(storage, Some(&base));
    let place = journal.append(&small);
    assert_eq!(place.segment(), 1, "there was room behind the checkpoint's last record");
    journal.append(&large);
    assert_eq!(journal.end().segment(), 2);
    let through_second = |journal: &Journal<MemoryStorage>| {
        survey(journal.storage(), SHARD, Some(&base), 2, |_, _| {}).expect("the next checkpoint can be made")
    };
    assert_eq!(through_second(&journal).end.segment(), 2);
    let (_, replayed) = reopen(journal.into_storage(), Some(&base));
    assert_eq!(domain_records(replayed).into_iter().map(|(_, record)| record).collect::<Vec<_>>(), [small, large]);
}

/// A sync has failed: its process ends, and the next one finds in the cache what the device may not have.
fn fail_a_sync(history: &mut History, chance: &mut Chance) {
    history.append(chance);
    let Some(batch) = history.journal.seal() else { return };
    let disk = history.journal.storage_mut();
    disk.fail_next_sync(chance.next());
    disk.try_sync(batch).expect_err("it was to fail");
}

#[test]
fn what_a_failed_sync_left_only_in_the_cache_is_written_again_before_a_start_marks_it_durable() {
    for seed in 0..500 {
        let mut chance = Chance::new(seed);
        let mut history = History::new();
        history.live(&mut chance);
        fail_a_sync(&mut history, &mut chance);
        let mut storage = history.journal.storage().clone();
        // The disk may not be well again at the next start, which then ends with another failed sync.
        while chance.below(3) == 0 {
            storage.fail_next_sync(chance.next());
            let refused = storage.secure(standing_of(&storage));
            assert!(refused.is_err(), "seed {seed}: what is not synced is not marked durable");
        }
        history.reopen(storage).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        history.append(&mut chance);
        history.sync();
        let synced = history.synced;
        let mut storage = history.journal.storage().clone();
        storage.crash(TornTail::Garbled, || chance.next());
        history.reopen(storage).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(history.written.len() >= synced, "seed {seed}: what was acknowledged is gone");
    }
}

/// What a start makes of a log.
fn standing_of(storage: &MemoryStorage) -> SegmentStatus {
    let prefix = Prefix::scan(storage, SHARD, None, |_, _| {}).expect("a sound log");
    let torn_bytes = nonzero_bytes_from(storage, prefix.end).expect("memory");
    SegmentStatus { marked_durable: prefix.marked_durable, end: prefix.end, torn_bytes }
}

#[test]
fn only_what_the_log_does_not_vouch_for_yet_is_written_again() {
    let (mut journal, _) = fixtures::open(MemoryStorage::new(SEGMENT_BYTES, 3)).expect("a new log");
    let records = [1, 2, 3].map(|through| {
        let position = journal.append(&Record::Confirmed { target: SHARD, through });
        let batch = journal.seal().expect("somebody waits");
        journal.storage_mut().sync(batch);
        journal.synced(batch.to);
        position
    });
    let SegmentStatus { marked_durable, end, .. } = standing_of(journal.storage());
    assert!(
        records[1] < marked_durable && marked_durable <= records[2] && records[2] < end,
        "the last batch, and not the log"
    );
}

#[test]
fn a_power_cut_that_breaks_a_segment_older_than_the_newest_two_leaves_a_log_that_goes_on_in_it() {
    let (mut journal, _) = fixtures::open(MemoryStorage::new(SEGMENT_BYTES, 40)).expect("a new log");
    let record = Record::Confirmed { target: SHARD, through: 1 };
    while journal.end().segment() < 8 {
        journal.append(&record);
    }
    let mut storage = journal.into_storage();
    let end = Position::new(3, SEGMENT_BYTES / 2);
    // Nothing was synced, and of the third segment the device has got half.
    storage.try_sync(Batch { from: Position::new(1, 0), to: end }).expect("it was not to fail");
    let mut sectors = 0;
    storage.crash(TornTail::Sectors, || {
        sectors += 1;
        u64::from(sectors == 1)
    });
    let (mut journal, opening) = fixtures::open(storage).expect("a torn tail is cut");
    assert!(opening.cut_bytes > 0, "and said to be");
    let place = journal.append(&record);
    assert_eq!(place.segment(), 3);
    while journal.end().segment() < 9 {
        journal.append(&record);
    }
    let (_, opening) = fixtures::open(journal.into_storage()).expect("an intact log");
    assert_eq!(opening.cut_bytes, 0);
}
