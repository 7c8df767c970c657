//! Damage everywhere: what is salvaged is what was written but for what the damage touched.

use super::*;
use crate::log::fixtures::{self, Chance, Replayed, SHARD};
use crate::log::{Journal, MemoryStorage, ThreadLinks, inspect};

const SEGMENT_BYTES: u32 = 4_096;

/// A log at rest, and its records.
fn written(seed: u64) -> (MemoryStorage, Replayed) {
    let mut chance = Chance::new(seed);
    let (mut journal, _) = fixtures::open(MemoryStorage::new(SEGMENT_BYTES, 100)).expect("a new log");
    for _ in 0..60 {
        let record = fixtures::any_record(&mut chance);
        journal.append(&record);
        if chance.below(4) == 0 {
            sync(&mut journal);
        }
    }
    sync(&mut journal);
    journal.append_durability_mark();
    let storage = journal.into_storage();
    let mut records = Replayed::new();
    inspect(&storage, SHARD, |position, record| records.push((position, record))).expect("sound");
    (storage, records)
}

fn sync(journal: &mut Journal<MemoryStorage>) {
    let Some(batch) = journal.seal() else { return };
    journal.synced(batch.to);
}

fn salvaged(storage: &MemoryStorage) -> (Salvage, Replayed) {
    let mut kept = Replayed::new();
    let identity = made_at(storage, SHARD).map(|log| LogIdentity { log, durable: Position::NONE });
    let found = salvage(storage, SHARD, identity, |position, record| kept.push((position, record))).expect("salvaged");
    (found, kept)
}

#[test]
fn a_sound_log_is_salvaged_whole() {
    for seed in 0..20 {
        let (storage, records) = written(seed);
        let (found, kept) = salvaged(&storage);
        assert_eq!((found.cuts, found.tail_bytes), (Vec::new(), 0));
        assert!(kept == records);
    }
}

#[test]
fn a_stretch_of_zeros_or_rubbish_anywhere_costs_what_stands_before_the_next_claim_and_nothing_is_forged() {
    let mut cut = 0;
    for seed in 0..40 {
        let (intact, records) = written(seed);
        let mut chance = Chance::new(seed + 1_000);
        for _ in 0..40 {
            let mut storage = intact.clone();
            let segment = 1 + chance.below(intact.segments().len()) as u32;
            let from = chance.below(SEGMENT_BYTES as usize);
            let length = 1 + chance.below(300).min(SEGMENT_BYTES as usize - from - 1);
            let rubbish: Vec<u8> = match chance.below(2) {
                0 => vec![0; length],
                _ => (0..length).map(|_| chance.next() as u8).collect(),
            };
            storage.corrupt(segment, from as u32, &rubbish);
            let (found, kept) = salvaged(&storage);
            cut += found.cuts.len();
            let is_new = |at: &usize| storage.bytes(segment)[*at] != intact.bytes(segment)[*at];
            let mut changed = (from..from + length).filter(is_new);
            let Some(first) = changed.next() else { continue };
            let last = changed.next_back().unwrap_or(first);
            let (low, high) = (Position::new(segment, first as u32), Position::new(segment, last as u32 + 1));
            let touches = |position: Position, record: &Record| {
                position < high && Position(position.0 + record.encoded_bytes() as u64) > low
            };
            // Records behind the last claim of their segment and behind the damage are lost with it.
            let is_cut = |position: Position| {
                let in_cut = |it: &Cut| it.from <= position && position.0 < it.from.0 + u64::from(it.bytes);
                found.cuts.iter().any(in_cut)
            };
            let mut expected = records.iter().filter(|(at, record)| !is_cut(*at) && !touches(*at, record));
            let context = format!("seed {seed} segment {segment} offset {from} length {length}: {:?}", found.cuts);
            assert!(kept.iter().all(|it| records.contains(it)), "forged: {context}");
            let lost_tail = records.iter().rev().take_while(|it| !kept.contains(it)).count();
            let until = records.len() - lost_tail;
            assert!(
                kept.iter().all(|it| expected.next() == Some(it)),
                "what is not cut is kept, up to {until}: {context}"
            );
            for cut in &found.cuts {
                // A lost header may also mean that the rest of the segment before was not blank.
                let reach = (2_u64 << 32) + u64::from(SEGMENT_BYTES);
                assert!(cut.from < high && cut.from.0 + reach > low.0 & !7, "a cut touches the damage: {context}");
            }
        }
    }
    assert!(cut > 300, "{cut} cuts");
}

#[test]
fn damage_in_the_middle_of_a_batch_of_many_marks_costs_only_the_record_it_touches() {
    let (alice, bob) = (fixtures::user("alice"), fixtures::user("bob"));
    let (mut journal, _) = fixtures::open(MemoryStorage::new(1 << 16, 4)).expect("a new log");
    let record = fixtures::posted(&fixtures::message(&alice, &bob, 100), ThreadLinks::new());
    let mut places = Vec::new();
    for _ in 0..20 {
        places.push(journal.append(&record));
        sync(&mut journal);
    }
    let mut storage = journal.into_storage();
    storage.flip(Position(places[7].0 + 30), 1);
    let (found, kept) = salvaged(&storage);
    assert_eq!(found.cuts, [Cut { from: places[7], bytes: record.encoded_bytes() as u32 }]);
    assert_eq!(kept.iter().filter(|(_, it)| *it == record).count(), 19);
}

#[test]
fn a_record_planted_in_a_content_is_never_taken_for_one() {
    let (alice, bob) = (fixtures::user("alice"), fixtures::user("bob"));
    // A whole log's worth of records, claims and all, as a client would plant them.
    let (bait, _) = written(3);
    let content = bait.bytes(1)[SEGMENT_HEADER_BYTES..2_000].to_vec();
    for shift in 0..8 {
        let mut message = (*fixtures::message(&alice, &bob, 0)).clone();
        message.content = [vec![0; shift], content.clone()].concat().into();
        let planted = fixtures::posted(&message.into(), ThreadLinks::new());
        let plain = fixtures::posted(&fixtures::message(&alice, &bob, 10), ThreadLinks::new());
        let (mut journal, _) = fixtures::open(MemoryStorage::new(1 << 16, 4)).expect("a new log");
        journal.append(&plain);
        let place = journal.append(&planted);
        journal.append(&plain);
        sync(&mut journal);
        sync(&mut journal);
        journal.append_durability_mark();
        let mut storage = journal.into_storage();
        storage.flip(Position(place.0 + 20), 1);
        let (found, kept) = salvaged(&storage);
        assert_eq!(found.cuts, [Cut { from: place, bytes: planted.encoded_bytes() as u32 }], "shift {shift}");
        assert_eq!(kept.iter().filter(|(_, it)| *it == plain).count(), 2);
        assert!(kept.iter().all(|(_, it)| matches!(it, Record::Start { .. } | Record::Mark { .. }) || *it == plain));
    }
}
