//! What is done to the wall clock changes nothing that goes by elapsed time.

use super::duo::*;
use super::*;
use crate::model::{ConversationRef, Millis, Recipient, Typing};

const HOUR_MS: u64 = 3_600_000;

/// The wall clock is set; time itself goes on as it did.
fn set_wall(duo: &mut Duo, wall: Millis) {
    duo.now.wall = wall;
}

fn taken(duo: &mut Duo, prefix: &str, count: u32) -> usize {
    let answers = (0..count).map(|n| duo.ask(1, BOB, message(&format!("{prefix}-{n}"), BOB)));
    answers.filter(|answer| matches!(answer, Reply::Sent { .. })).count()
}

#[test]
fn a_user_may_send_again_in_its_own_time_wherever_the_wall_clock_is_set() {
    for wall in [Millis(0), NOW.wall.plus(HOUR_MS), Millis(NOW.wall.0 - HOUR_MS)] {
        let mut duo = Duo::with(|settings| {
            settings.limits.sends_per_second = 10;
            settings.limits.sends_burst = 3;
        });
        duo.open(1, BOB, "desk", Catching::Sync);
        duo.settle();
        assert_eq!(taken(&mut duo, "before", 5), 3);
        set_wall(&mut duo, wall);
        assert_eq!(taken(&mut duo, "set", 5), 0, "a clock that is set is no new allowance");
        duo.now = duo.now.plus(200);
        assert_eq!(taken(&mut duo, "later", 5), 2, "and takes none away");
        set_wall(&mut duo, NOW.wall);
        duo.now = duo.now.plus(1_000);
        assert_eq!(taken(&mut duo, "again", 5), 3);
    }
}

#[test]
fn typing_is_told_again_a_second_later_wherever_the_wall_clock_is_set() {
    let typing =
        || Command::Typing(Typing { conversation: ConversationRef::With(Recipient::User(user(ALICE))), status: 1 });
    let mut duo = Duo::new();
    duo.open(1, BOB, "desk", Catching::Sync);
    duo.open(2, ALICE, "desk", Catching::Sync);
    duo.settle();
    duo.ask(1, BOB, message("hello", ALICE));
    let told = |duo: &mut Duo| {
        duo.heard();
        duo.request(1, BOB, typing());
        duo.settle();
        duo.heard().iter().filter(|it| matches!(it, Effect::Push { event: Event::Typing(_), .. })).count()
    };
    assert_eq!(told(&mut duo), 1);
    set_wall(&mut duo, Millis(NOW.wall.0 + HOUR_MS));
    assert_eq!(told(&mut duo), 0, "no time has passed");
    set_wall(&mut duo, Millis(NOW.wall.0 - HOUR_MS));
    duo.now = duo.now.plus(1_000);
    assert_eq!(told(&mut duo), 1);
}
