//! Retention under a wall clock that is wrong.

use super::*;

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
