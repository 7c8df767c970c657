//! When users were here last, after an end that nobody announced.

use super::*;
use crate::log::MemoryStorage;
use crate::shard::Catching;
use crate::shard::checkpoint::survey;
use crate::shard::duo::*;

const DAY_MS: u64 = 24 * 3_600_000;

fn last_seen(shard: &Shard<MemoryStorage>, id: &str) -> Millis {
    let inboxes = &shard.state.inboxes;
    inboxes.last_seen(inboxes.find(&user(id)).expect("it has been here"))
}

fn alices(duo: &Duo) -> &Shard<MemoryStorage> {
    &duo.shards[Duo::home(ALICE)]
}

fn records(duo: &Duo) -> u64 {
    alices(duo).journal.end().0
}

#[test]
fn who_was_here_at_a_crash_was_seen_last_when_the_log_last_told_the_time() {
    let mut duo = Duo::new();
    duo.open(1, ALICE, "desk", Catching::Sync);
    duo.settle();
    let mut duo = duo.restart();
    assert_eq!(last_seen(alices(&duo), ALICE), NOW.wall, "when it came");

    duo.now = NOW.plus(1_000_000);
    duo.open(2, ALICE, "desk", Catching::Sync);
    (0..500).for_each(|_| duo.tick_after(1_000));
    let crash = duo.now;
    duo.now = crash.plus(3_600_000);
    let duo = duo.restart();
    let seen = last_seen(alices(&duo), ALICE);
    assert!(seen <= crash.wall && crash.wall.since(seen) <= CLOCK_PAUSE_MS, "{}", crash.wall.since(seen));
    let again = duo.restart();
    assert_eq!(last_seen(alices(&again), ALICE), seen, "and it stays so");
}

#[test]
fn who_had_left_before_a_crash_was_seen_last_when_it_left() {
    let mut duo = Duo::new();
    let other = (0..).map(|n| format!("u{n}")).find(|id| Duo::home(id) == Duo::home(ALICE)).expect("there are many");
    duo.open(1, ALICE, "desk", Catching::Sync);
    duo.open(2, &other, "desk", Catching::Sync);
    duo.tick_after(100_000);
    duo.close(1, ALICE);
    let left = duo.now.wall;
    (0..10).for_each(|_| duo.tick_after(20_000));
    assert_eq!(last_seen(alices(&duo.restart()), ALICE), left);
}

#[test]
fn who_comes_back_at_once_is_noted_by_a_later_tick() {
    let mut duo = Duo::new();
    duo.open(1, ALICE, "desk", Catching::Sync);
    duo.now = NOW.plus(60_000);
    duo.close(1, ALICE);
    let before = records(&duo);
    duo.open(2, ALICE, "desk", Catching::Sync);
    assert_eq!(records(&duo), before, "it was here just now, and the log says so");
    duo.tick_after(5_000);
    assert_eq!(records(&duo), before);
    (0..100).for_each(|_| duo.tick_after(1_000));
    let crash = duo.now;
    duo.now = crash.plus(3_600_000);
    let seen = last_seen(alices(&duo.restart()), ALICE);
    assert!(crash.wall.since(seen) <= CLOCK_PAUSE_MS, "{}", crash.wall.since(seen));
}

#[test]
fn while_nobody_is_here_the_log_does_not_tell_the_time() {
    let mut duo = Duo::new();
    duo.open(1, ALICE, "desk", Catching::Sync);
    duo.tick_after(60_000);
    duo.close(1, ALICE);
    duo.tick_after(1_000);
    let before = records(&duo);
    (0..10).for_each(|_| duo.tick_after(60_000));
    assert_eq!(records(&duo), before);
}

#[test]
fn a_checkpoint_knows_who_is_here() {
    let mut duo = Duo::on([0, 1].map(|_| MemoryStorage::new(4_096, 64)), |_| {});
    duo.open(1, ALICE, "desk", Catching::Sync);
    while alices(&duo).journal.end().segment() < 3 {
        duo.tick_after(CLOCK_PAUSE_MS);
    }
    let storage = alices(&duo).journal.storage().clone();
    let settings = alices(&duo).settings;
    let mut made: Vec<Vec<u8>> = Vec::new();
    for through in 1..=2 {
        made.insert(0, survey(&settings, &made, &storage, through).expect("sound").bytes);
    }
    let opened = |checkpoints: &[Vec<u8>]| {
        let (shard, found) = Shard::open(settings, storage.clone(), checkpoints, duo.now.plus(DAY_MS)).expect("opens");
        (last_seen(&shard, ALICE), found.begun_with)
    };
    let seen = opened(&[]).0;
    assert!(duo.now.wall.since(seen) <= CLOCK_PAUSE_MS);
    assert_eq!(opened(&made), (seen, Some(0)));
    assert_eq!(opened(&made[1..]), (seen, Some(0)));
}
