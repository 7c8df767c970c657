//! The time at which a user was last online, after a crash that ended its sessions without a word.

use super::*;
use crate::log::MemoryStorage;
use crate::model::{Answer, Order};
use crate::shard::CatchUp;
use crate::shard::replay::checkpoint::survey;
use crate::shard::testing::duo::*;

const DAY_MS: u64 = 24 * 3_600_000;

fn last_seen(shard: &Shard<MemoryStorage>, id: &str) -> Millis {
    let inboxes = &shard.state.tables.inboxes;
    inboxes.last_seen(inboxes.find(&user(id)).expect("it has been here"))
}

fn alices(duo: &Duo) -> &Shard<MemoryStorage> {
    &duo.shards[Duo::home(ALICE)]
}

/// Another user of the shard of `ALICE`.
fn neighbour() -> String {
    (0..).map(|n| format!("u{n}")).find(|id| Duo::home(id) == Duo::home(ALICE)).expect("there are many")
}

fn records(duo: &Duo) -> u64 {
    alices(duo).log.journal.end().0
}

#[test]
fn who_was_here_at_a_crash_was_seen_last_when_the_log_last_told_the_time() {
    let mut duo = Duo::new();
    duo.connect(1, ALICE, "desk", CatchUp::Sync);
    let mut duo = duo.restart();
    assert_eq!(last_seen(alices(&duo), ALICE), NOW.wall, "when it came");

    duo.now = NOW.plus(1_000_000);
    duo.open(2, ALICE, "desk", CatchUp::Sync);
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
    let other = neighbour();
    duo.open(1, ALICE, "desk", CatchUp::Sync);
    duo.open(2, &other, "desk", CatchUp::Sync);
    duo.tick_after(100_000);
    duo.close(1, ALICE);
    let left = duo.now.wall;
    (0..10).for_each(|_| duo.tick_after(20_000));
    assert_eq!(last_seen(alices(&duo.restart()), ALICE), left);
}

#[test]
fn who_comes_back_at_once_is_noted_by_a_later_tick() {
    let mut duo = Duo::new();
    duo.open(1, ALICE, "desk", CatchUp::Sync);
    duo.now = NOW.plus(60_000);
    duo.close(1, ALICE);
    let before = records(&duo);
    duo.open(2, ALICE, "desk", CatchUp::Sync);
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
    duo.open(1, ALICE, "desk", CatchUp::Sync);
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
    duo.open(1, ALICE, "desk", CatchUp::Sync);
    while alices(&duo).log.journal.end().segment() < 3 {
        duo.tick_after(CLOCK_PAUSE_MS);
    }
    let storage = alices(&duo).log.journal.storage().clone();
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

#[test]
fn who_comes_and_goes_all_the_time_keeps_nobody_else_from_being_noted() {
    let (mut duo, other) = (Duo::new(), neighbour());
    duo.open(1, ALICE, "desk", CatchUp::Sync);
    duo.open(2, &other, "desk", CatchUp::Sync);
    duo.tick_after(20_000);
    duo.close(1, ALICE);
    duo.close(2, &other);
    duo.open(3, &other, "desk", CatchUp::Sync);
    for session in 10..40 {
        duo.open(session, ALICE, "desk", CatchUp::Sync);
        duo.tick_after(4_000);
        duo.close(session, ALICE);
    }
    let crash = duo.now.wall;
    let seen = last_seen(alices(&duo.restart()), &other);
    assert!(crash.since(seen) <= CLOCK_PAUSE_MS, "{}", crash.since(seen));
}

#[test]
fn what_the_log_had_no_room_for_it_is_told_at_a_later_tick() {
    let (mut duo, other) = (Duo::on([0, 1].map(|_| MemoryStorage::new(4_096, 1)), |_| {}), neighbour());
    duo.open(1, ALICE, "desk", CatchUp::Sync);
    let mut before = 0;
    while records(&duo) > before {
        before = records(&duo);
        duo.tick_after(CLOCK_PAUSE_MS);
    }
    duo.close(1, ALICE);
    let left = duo.now.wall;
    duo.open(2, &other, "desk", CatchUp::Sync);
    duo.tick_after(100_000);
    assert_eq!((records(&duo), last_seen(alices(&duo), ALICE)), (before, left), "it is known here all the same");
    duo.shards[Duo::home(ALICE)].storage_mut().set_spares(1);
    duo.tick_after(1_000);
    let crash = duo.now.wall;
    duo.now = duo.now.plus(DAY_MS);
    let duo = duo.restart();
    assert_eq!(last_seen(alices(&duo), ALICE), left);
    assert_eq!(last_seen(alices(&duo), &other), crash);
}

#[test]
fn an_operator_is_told_when_a_user_was_here_last_and_nothing_while_it_is_here() {
    let mut duo = Duo::new();
    let told = |duo: &mut Duo| match duo.order(Order::ShowUser { user: user(ALICE) }) {
        Answer::User(state) => (state.sessions, state.last_seen),
        other => panic!("a user is shown, not {other:?}"),
    };
    duo.open(1, ALICE, "desk", CatchUp::Sync);
    duo.tick_after(60_000);
    duo.close(1, ALICE);
    let left = duo.now.wall;
    assert_eq!(told(&mut duo), (0, left));
    duo.open(2, ALICE, "desk", CatchUp::Sync);
    assert_eq!(told(&mut duo), (1, Millis(0)));
}
