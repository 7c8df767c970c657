//! Arbitrary bytes where a log's and a checkpoint's bytes are expected: decoding is total, and what is decoded is what
//! was encoded.
//!
//! `cargo test --test fuzz` tries each target for a while; `cargo bolero test <target>` (cargo install cargo-bolero)
//! lets libFuzzer look for more, with coverage as its guide.

use mushan::log::checkpoint::{self, Base, Checkpoint};
use mushan::log::{Journal, MemoryStorage, OpenError, Record, Segments, Storage, decode_body, inspect};
use mushan::model::{Limits, Millis, Moment, Policies, Position, ShardId};
use mushan::shard::{Placement, Shard, ShardSettings, Upkeep, Windows};

const SHARD: ShardId = ShardId(0);
const NOW: Millis = Millis(1_790_000_000_000);
const SEGMENT_BYTES: u32 = 4_096;

fn settings() -> ShardSettings {
    ShardSettings {
        me: SHARD,
        placement: Placement::new(1),
        limits: Limits::default(),
        policies: Policies::default(),
        windows: Windows::default(),
        upkeep: Upkeep::default(),
        seed: 1,
        fingerprint_seed: 2,
    }
}

fn new_log() -> Journal<MemoryStorage> {
    Journal::open(MemoryStorage::new(SEGMENT_BYTES, 4), SHARD, NOW, None, |_, _| {}).expect("a new log").0
}

/// Any bytes as a record's body: nothing, or a record that, appended and read back, is the same again.
#[test]
fn record_bodies() {
    bolero::check!().for_each(|input: &[u8]| {
        let Some((kind, body)) = input.split_first() else { return };
        let Some(record) = decode_body(*kind, body) else { return };
        if matches!(record, Record::Start { .. } | Record::Mark { .. }) {
            return;
        }
        let mut journal = new_log();
        if journal.has_room(record.encoded_bytes()) {
            let position = journal.append(&record);
            let mut found = None;
            inspect(journal.storage(), SHARD, |at, read| found = Some((at, read))).expect("a sound log");
            assert_eq!(found, Some((position, record)));
        }
    });
}

/// Any bytes behind a log's beginning: a torn tail, or a refusal; and what opens once opens again.
#[test]
fn log_tails() {
    bolero::check!().for_each(|input: &[u8]| {
        let journal = new_log();
        let end = journal.end();
        let mut storage = journal.into_storage();
        let room = SEGMENT_BYTES as usize - end.offset() as usize;
        storage.write(1, end.offset(), &input[..input.len().min(room)]);
        let opened = Journal::open(storage, SHARD, NOW, None, |position, _| assert!(position < end));
        match opened {
            Ok((journal, _)) => {
                let storage = journal.into_storage();
                assert!(storage.bytes(1)[end.offset() as usize..].iter().any(|byte| *byte != 0), "its own start");
                Journal::open(storage, SHARD, NOW, None, |_, _| {}).expect("it has just been opened");
            }
            Err(OpenError::Damaged(_) | OpenError::UnknownKind { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    });
}

/// Any bytes as a whole checkpoint file.
#[test]
fn checkpoint_files() {
    bolero::check!().for_each(|input: &[u8]| {
        let journal = new_log();
        let opened = Shard::open(settings(), journal.into_storage(), &[input], Moment::told(NOW));
        assert!(opened.is_ok(), "what is no checkpoint is passed over");
        assert!(Checkpoint::decode(input, SHARD).is_err());
    });
}

/// Any bytes as what a sound checkpoint says: they mean nothing, or they are taken; nothing else.
#[test]
fn checkpoint_bodies() {
    bolero::check!().for_each(|input: &[u8]| {
        let journal = new_log();
        let base = Base { end: Position::new(9, 64), last: Position::NONE, chain: 0, epoch: 1, log: NOW, records: 1 };
        let mut bytes = Vec::new();
        checkpoint::begin(SHARD, &base, &mut bytes);
        bytes.extend_from_slice(&2_u64.to_le_bytes());
        bytes.extend_from_slice(input);
        checkpoint::finish(&mut bytes);
        match Shard::open(settings(), journal.into_storage(), &[bytes], Moment::told(NOW)) {
            Ok((_, survey)) => assert_eq!(survey.unusable.len(), 1),
            Err(error) => assert!(matches!(error, OpenError::Shortened { .. }), "{error}"),
        }
    });
}
