//! Retention under a wall clock that is wrong.

use super::*;
use crate::log::{Record, inspect};
use crate::model::BlockState;

#[test]
fn a_jump_of_the_clock_drops_no_history_and_one_that_stays_is_believed_in_the_end() {
    let mut rig = Rig::new(Upkeep { retention_ms: 2 * DAY_MS, ..Upkeep::default() });
    talk(&mut rig, 0, 100);
    let right = rig.now;
    let set = |rig: &mut Rig, wall: Millis| rig.now.wall = wall;
    for wall in [right.wall.plus(30 * DAY_MS), Millis(0), right.wall] {
        set(&mut rig, wall);
        (0..100).for_each(|_| rig.tick());
        assert_eq!(rig.first_segment(), 1, "at {wall}");
    }
    assert_eq!(rig.shard.stats().clock_jumps, 3);
    set(&mut rig, right.wall.plus(30 * DAY_MS));
    let mut rig = rig.restart(|_all| ()).expect("opens");
    talk(&mut rig, 100, 160);
    rig.wait(1);
    assert_eq!(rig.first_segment(), 1, "it may have been wrong since the start");
    rig.wait(1);
    assert!(rig.first_segment() > 5, "{} is the first segment", rig.first_segment());
}

#[test]
fn history_dated_in_the_future_goes_in_the_end() {
    let mut rig = Rig::new(Upkeep { retention_ms: 2 * DAY_MS, ..Upkeep::default() });
    let right = rig.now;
    rig.now.wall = right.wall.plus(400 * DAY_MS);
    talk(&mut rig, 0, 100);
    rig.now.wall = right.wall;
    let mut rig = rig.restart(|_all| ()).expect("opens");
    talk(&mut rig, 100, 160);
    rig.wait(2);
    rig.wait(1);
    assert_eq!(rig.first_segment(), 1, "it has been known for a day");
    rig.wait(2);
    assert!(rig.first_segment() > 5, "{} is the first segment", rig.first_segment());
}

#[test]
fn what_was_written_while_the_clock_was_set_back_is_no_older_than_it_is() {
    let dropped_too_early = |restarts_under: Option<i64>| {
        let mut rig = Rig::new(Upkeep { retention_ms: 4 * DAY_MS, ..Upkeep::default() });
        talk(&mut rig, 0, 20);
        // Nobody writes for so long that retention drops what is here.
        let old = rig.shard.journal().end().segment();
        rig.now = rig.now.plus(5 * DAY_MS);
        rig.tick();
        let (began, year_ms) = (rig.now, 365 * DAY_MS);
        rig.now.wall = Millis(began.wall.0 - year_ms);
        talk(&mut rig, 20, 100);
        let right = |rig: &Rig| began.wall.plus(rig.now.steady.since(began.steady));
        if let Some(ahead_ms) = restarts_under {
            rig.now.wall = Millis(right(&rig).0.saturating_add_signed(ahead_ms));
            rig = rig.restart(|_all| ()).expect("opens");
            rig.tick();
        }
        rig.now.wall = right(&rig);
        talk(&mut rig, 100, 160);
        rig.wait(0);
        // By then a clock that was in doubt is trusted.
        rig.wait(3);
        let early = rig.first_segment().saturating_sub(old);
        rig.wait(2);
        assert!(rig.first_segment() > old + 3, "{} is the first segment", rig.first_segment());
        early
    };
    let year_ms = 365 * DAY_MS.cast_signed();
    for restarts_under in [None, Some(0), Some(-year_ms), Some(-2 * year_ms)] {
        assert_eq!(dropped_too_early(restarts_under), 0, "segments, after a start {restarts_under:?} ms ahead");
    }
}

#[test]
fn a_jump_that_there_is_no_room_to_tell_is_told_later() {
    let mut rig = Rig::new(Upkeep::default());
    talk(&mut rig, 0, 1);
    let jumps = |rig: &Rig| {
        let mut jumps = Vec::new();
        let visit = |_, record: Record| {
            if let Record::Clock { jumped_ms, .. } = record
                && jumped_ms != 0
            {
                jumps.push(jumped_ms);
            }
        };
        inspect(rig.shard.journal().storage(), ShardId(0), visit).expect("a log is read");
        jumps
    };
    rig.shard.storage_mut().set_spares(0);
    let jump = |rig: &mut Rig| {
        rig.now.wall = rig.now.wall.plus(DAY_MS);
        rig.tick();
        jumps(rig).len()
    };
    let mut told = 0;
    while jump(&mut rig) > told {
        told += 1;
    }
    jump(&mut rig);
    rig.shard.storage_mut().set_spares(9);
    rig.tick();
    assert_eq!(jumps(&rig)[told..], [2 * DAY_MS.cast_signed()]);
}

#[test]
fn a_segment_without_messages_is_kept_as_long_as_what_was_written_after_it() {
    let mut rig = Rig::new(Upkeep { retention_ms: 2 * DAY_MS, ..Upkeep::default() });
    for turn in 0..400 {
        let state = if turn % 2 == 0 { BlockState::Blocked } else { BlockState::Allowed };
        rig.order(Order::Block { by: user("ann"), other: user("ben"), state });
    }
    let mut rig = rig.restart(|all| all.clear()).expect("opens");
    (0..50).for_each(|_| rig.tick());
    assert!(rig.shard.journal().end().segment() > 4);
    assert_eq!(rig.first_segment(), 1, "nothing is two days old");
    talk(&mut rig, 0, 100);
    (0..50).for_each(|_| rig.tick());
    assert_eq!(rig.first_segment(), 1, "nothing is two days old");
    rig.wait(3);
    assert!(rig.first_segment() > 4, "{} is the first segment", rig.first_segment());
}

#[test]
fn what_is_written_behind_history_dated_in_the_future_is_as_old_as_it_is() {
    let mut rig = Rig::new(Upkeep { retention_ms: 2 * DAY_MS, ..Upkeep::default() });
    let right = rig.now;
    rig.now.wall = right.wall.plus(400 * DAY_MS);
    talk(&mut rig, 0, 100);
    rig.now.wall = right.wall.plus(rig.now.steady.since(right.steady));
    rig.tick();
    let open = rig.shard.journal().end().segment();
    // Almost two days later somebody goes on in the segment that was open, and behind it.
    rig.now = rig.now.plus(2 * DAY_MS - 60_000);
    talk(&mut rig, 100, 160);
    rig.now = rig.now.plus(60_000);
    (0..200).for_each(|_| rig.tick());
    assert_eq!(rig.first_segment(), open, "what was dated in the future is two days old, and no more than that is");
    rig.wait(3);
    assert!(rig.first_segment() > open, "{} is the first segment", rig.first_segment());
}
