//! Checkpoints of earlier versions.

use super::*;
use crate::log::MemoryStorage;
use crate::log::checkpoint::CHECKPOINT_VERSION_OLDEST;
use crate::model::Millis;
use crate::shard::CatchUp;
use crate::shard::testing::duo::*;

/// Header, seed of the manifest, first segment.
const BEFORE_AGES_BYTES: usize = 56 + 8 + 4;

/// The counts of users with devices that are woken and of groups with requests to join, and before them the counts of
/// erased users, of profiles of users and of profiles of groups: there are none. The last count is of conversations that
/// users have cleared; behind it is what the clock was set to.
const SINCE_SEVEN_BYTES: usize = 20;
const SINCE_SIX_BYTES: usize = 8 + SINCE_SEVEN_BYTES;
const SINCE_FIVE_BYTES: usize = 2 * 8 + SINCE_SIX_BYTES;
const SINCE_FOUR_BYTES: usize = 3 * 8 + SINCE_FIVE_BYTES;

/// As an earlier version wrote it, without what later ones added at the end.
fn of_version(version: u16, added_bytes: usize, checkpoint: &[u8]) -> Vec<u8> {
    let mut bytes = checkpoint[..checkpoint.len() - 4 - added_bytes].to_vec();
    bytes[8..10].copy_from_slice(&version.to_le_bytes());
    checkpoint::finish(&mut bytes);
    bytes
}

/// As the oldest version wrote it: without erased users, profiles, the times of the oldest messages, and what the clock was set to.
fn of_oldest_version(checkpoint: &[u8]) -> Vec<u8> {
    let (head, rest) = checkpoint[..checkpoint.len() - 4].split_at(BEFORE_AGES_BYTES);
    let (count, rest) = rest.split_first_chunk::<4>().expect("a count");
    let (ages, rest) = rest.split_at(16 * u32::from_le_bytes(*count) as usize);
    let mut bytes = [head, count].concat();
    ages.chunks_exact(16).for_each(|age| bytes.extend(&age[..8]));
    bytes.extend(&rest[..rest.len() - 16 - SINCE_FOUR_BYTES]);
    bytes[8..10].copy_from_slice(&CHECKPOINT_VERSION_OLDEST.to_le_bytes());
    checkpoint::finish(&mut bytes);
    bytes
}

#[test]
fn checkpoints_of_earlier_versions_are_read_and_the_oldest_takes_every_message_to_be_as_old_as_can_be() {
    let mut duo = Duo::on([0, 1].map(|_| MemoryStorage::new(4_096, 64)), |_| {});
    let me = Duo::home(ALICE);
    duo.open(1, ALICE, "desk", CatchUp::Sync);
    for number in 0..80 {
        duo.ask(1, ALICE, message(&format!("m{number}"), ALICE));
    }
    let (settings, storage) = (duo.shards[me].settings, duo.shards[me].log.journal.storage().clone());
    let through = duo.shards[me].log.journal.end().segment() - 1;
    assert!(through >= 2, "a checkpoint is due");
    let made = survey(&settings, &[] as &[&[u8]], &storage, through).expect("sound").bytes;
    let opened = |checkpoint: Vec<u8>| {
        let (shard, found) = Shard::open(settings, storage.clone(), &[checkpoint], duo.now).expect("opens");
        let alice = shard.state.tables.inboxes.find(&user(ALICE)).expect("it has been here");
        let (tail, seen) = (shard.state.tables.inboxes.tail_at(alice), shard.state.tables.inboxes.last_seen(alice));
        (found.begun_with, (tail, seen), shard.state.segments.times.newest(), shard.state.segments.times.oldest_left())
    };
    let (begun_with, now, newest, oldest) = opened(made.clone());
    assert_eq!((begun_with, newest, oldest), (Some(0), Some(NOW.wall), NOW.wall));
    for (version, added_bytes) in
        [(6, SINCE_SEVEN_BYTES), (5, SINCE_SIX_BYTES), (4, SINCE_FIVE_BYTES), (3, SINCE_FOUR_BYTES)]
    {
        assert_eq!(opened(of_version(version, added_bytes, &made)), (Some(0), now, newest, NOW.wall), "{version}");
    }
    assert_eq!(opened(of_oldest_version(&made)), (Some(0), now, newest, Millis(0)));
}
