//! Readers of several logs that grow at random: everything that is acknowledged is told once and in order, in pieces of any
//! size and over restarts, and a log that cannot be followed costs nothing in the others.

use super::*;
use crate::log::{Journal, MemoryStorage, Record, Segments};
use crate::model::testing::chance::Chance;
use crate::model::{Millis, UserId};
use crate::server::data::directory::shard_path;
use crate::server::disk::segment;
use tempfile::TempDir;

const SEGMENT_BYTES: u32 = 4_096;
const NOW: Millis = Millis(1_700_000_000_000);

/// Logs in files, whose events are numbered from 1 in each.
struct NumberedLogs {
    home: TempDir,
    journals: Vec<Journal<MemoryStorage>>,
    /// Where each record begins.
    places: Vec<Vec<Position>>,
    /// Records of each log that are acknowledged.
    acknowledged: Vec<usize>,
}

/// What a reader was told of each log.
#[derive(Default)]
struct ToldNumbers(Vec<Vec<u64>>);

impl EventVisitor for ToldNumbers {
    fn visit(&mut self, event: LogEvent<'_>, _cursor: &str, shard: ShardId) -> usize {
        self.0[usize::from(shard.0)].push(event.time().0);
        100
    }
}

impl NumberedLogs {
    fn new(shards: u16) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        Manifest::new(shards, SEGMENT_BYTES, NOW).expect("made").store(home.path()).expect("stored");
        let journal = |shard| {
            std::fs::create_dir(shard_path(home.path(), ShardId(shard))).expect("made");
            let storage = MemoryStorage::new(SEGMENT_BYTES, 64);
            Journal::open(storage, ShardId(shard), NOW, None, |_, _| ()).expect("a new log").0
        };
        let journals = (0..shards).map(journal).collect();
        let count = usize::from(shards);
        let mut logs = Self { home, journals, places: vec![Vec::new(); count], acknowledged: vec![0; count] };
        (0..count).for_each(|shard| logs.append(shard, 1));
        logs
    }

    fn append(&mut self, shard: usize, records: usize) {
        let user = UserId::new("ann").expect("an id");
        for _record in 0..records {
            let number = self.places[shard].len() as u64 + 1;
            let online = Record::Online { user: user.clone(), since: Millis(number) };
            self.places[shard].push(self.journals[shard].append(&online));
        }
        for number in self.journals[shard].segments() {
            std::fs::write(self.segment(shard, number), self.journals[shard].storage().bytes(number)).expect("written");
        }
    }

    fn segment(&self, shard: usize, number: u32) -> std::path::PathBuf {
        segment::path(&shard_path(self.home.path(), ShardId(shard as u16)), number)
    }

    fn ends(&self) -> Vec<CommittedEnd> {
        let end = |shard: usize| {
            let written = self.journals[shard].end();
            let next = self.places[shard].get(self.acknowledged[shard]).copied();
            CommittedEnd { acknowledged: next.unwrap_or(written), written }
        };
        (0..self.journals.len()).map(end).collect()
    }

    fn acknowledge_all(&mut self) {
        self.acknowledged = self.places.iter().map(Vec::len).collect();
    }

    fn open(&self, from: ReadFrom) -> EventReader {
        let filter = EventFilter { types: vec!["user.online"], ..EventFilter::default() };
        EventReader::open(self.home.path(), &self.ends(), from, filter, Arc::default()).expect("it opens")
    }

    fn nothing_told(&self) -> ToldNumbers {
        ToldNumbers(vec![Vec::new(); self.journals.len()])
    }
}

#[test]
fn what_is_acknowledged_is_told_once_and_in_order_whatever_happens_meanwhile() {
    for seed in 1..=40 {
        let mut chance = Chance::new(seed);
        let mut logs = NumberedLogs::new(3);
        let (mut reader, mut told) = (logs.open(ReadFrom::Oldest), logs.nothing_told());
        for _step in 0..120 {
            let shard = chance.below(3);
            match chance.below(4) {
                0 => logs.append(shard, 1 + chance.below(12)),
                1 => {
                    let open = logs.places[shard].len() - logs.acknowledged[shard];
                    logs.acknowledged[shard] += chance.below(open + 1);
                }
                2 => {
                    let look = reader.look(&logs.ends(), 1 + chance.below(2_000), &mut told);
                    assert!(look.failures.is_empty(), "{seed}: {:?}", look.failures);
                }
                _ => {
                    let cursor = reader.cursor().to_string().parse().expect("a cursor");
                    reader = logs.open(ReadFrom::After(cursor));
                }
            }
            for (numbers, acknowledged) in told.0.iter().zip(&logs.acknowledged) {
                assert!(numbers.len() <= *acknowledged, "{seed}: told before it was acknowledged");
            }
        }
        logs.acknowledge_all();
        while reader.look(&logs.ends(), 700, &mut told).progress == ReadProgress::Budget {}
        for (numbers, places) in told.0.iter().zip(&logs.places) {
            assert!(numbers.iter().copied().eq(1..=places.len() as u64), "{seed}: {numbers:?}");
        }
    }
}

#[test]
fn one_busy_log_leaves_room_for_the_others() {
    let mut logs = NumberedLogs::new(3);
    logs.append(0, 200);
    [1, 2].into_iter().for_each(|shard| logs.append(shard, 1));
    logs.acknowledge_all();
    let (mut reader, mut told) = (logs.open(ReadFrom::Oldest), logs.nothing_told());
    for _look in 0..3 {
        let look = reader.look(&logs.ends(), 500, &mut told);
        assert_eq!(look.progress, ReadProgress::Budget);
    }
    assert_eq!([told.0[1].len(), told.0[2].len()], [2, 2], "{:?}", told.0);
}

#[test]
fn a_log_that_cannot_be_followed_costs_nothing_in_the_others() {
    let mut logs = NumberedLogs::new(3);
    (0..3).for_each(|shard| logs.append(shard, 299));
    logs.acknowledge_all();
    let broken = logs.places[1][150];
    let path = logs.segment(1, broken.segment());
    let mut bytes = std::fs::read(&path).expect("readable");
    bytes[broken.offset() as usize + 20] ^= 1;
    std::fs::write(path, bytes).expect("written");
    std::fs::remove_file(logs.segment(2, 1)).expect("removed");

    let (mut reader, mut told) = (logs.open(ReadFrom::Oldest), logs.nothing_told());
    reader.place_anew(ShardId(2), Some(logs.places[2][0])).expect("placed");
    let look = reader.look(&logs.ends(), 1_000_000, &mut told);
    let failures = &look.failures[..];
    let [FollowError::Damaged { shard: ShardId(1), .. }, FollowError::Expired { shard: ShardId(2), .. }] = failures
    else {
        panic!("{failures:?}");
    };
    assert!(told.0[0].iter().copied().eq(1..=300) && told.0[1].iter().copied().eq(1..=150));
    assert!(told.0[2].is_empty());
    reader.place_anew(ShardId(2), None).expect("placed");
    reader.look(&logs.ends(), 1_000_000, &mut told);
    let first = told.0[2][0];
    assert!(first > 1 && told.0[2].iter().copied().eq(first..=300), "what retention has left");
    assert_eq!((told.0[0].len(), told.0[1].len()), (300, 150), "nothing twice");
}
