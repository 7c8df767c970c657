//! What is done to the wall clock changes nothing that goes by elapsed time.

use super::*;
use crate::model::testing::chance::Chance;
use crate::model::{
    Command, Conversation, ConversationRef, Event, Limits, MessageId, Millis, Recipient, Reply, Typing,
};
use crate::shard::testing::duo::*;

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
        duo.connect(1, BOB, "desk", CatchUp::Sync);
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
    duo.connect(1, BOB, "desk", CatchUp::Sync);
    duo.connect(2, ALICE, "desk", CatchUp::Sync);
    duo.ask(1, BOB, message("hello", ALICE));
    let told = |duo: &mut Duo| {
        duo.outputs();
        duo.perform(1, BOB, typing());
        duo.outputs().iter().filter(|it| matches!(it, Effect::Push { event: Event::Typing(_), .. })).count()
    };
    assert_eq!(told(&mut duo), 1);
    set_wall(&mut duo, Millis(NOW.wall.0 + HOUR_MS));
    assert_eq!(told(&mut duo), 0, "no time has passed");
    set_wall(&mut duo, Millis(NOW.wall.0 - HOUR_MS));
    duo.now = duo.now.plus(1_000);
    assert_eq!(told(&mut duo), 1);
}

/// What BOB has been told, in the order of its inbox: each message's date and id.
fn dates(duo: &mut Duo, id: &str) -> Vec<(u64, MessageId)> {
    duo.whole_inbox(id).iter().map(|entry| (entry.message.server_time.0, entry.message.id)).collect()
}

#[test]
fn dates_never_go_back_in_a_conversation_and_other_conversations_have_the_right_ones_at_once() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "desk", CatchUp::Sync);
    let right = NOW.wall.0;
    set_wall(&mut duo, Millis(right + HOUR_MS));
    duo.ask(1, BOB, message("ahead", BOB));
    set_wall(&mut duo, Millis(right + 1_000));
    duo.ask(1, BOB, message("back", BOB));
    duo.ask(1, BOB, message("elsewhere", ALICE));
    let mut duo = duo.restart();
    duo.open(1, BOB, "desk", CatchUp::Sync);
    duo.ask(1, BOB, message("after-a-start", BOB));
    set_wall(&mut duo, Millis(right + 2 * HOUR_MS));
    duo.ask(1, BOB, message("caught-up", BOB));
    let told = dates(&mut duo, BOB);
    let expected = [HOUR_MS, HOUR_MS, 1_000, HOUR_MS, 2 * HOUR_MS].map(|ms| right + ms);
    assert_eq!(told.iter().map(|(date, _)| *date).collect::<Vec<_>>(), expected);
    let own: Vec<_> = told.iter().map(|(_, id)| *id).collect();
    assert!([own[0], own[1], own[3], own[4]].is_sorted_by(|one, next| one < next), "ids ascend: {own:?}");
}

/// Time goes on; the wall clock does what it likes.
struct Chaos {
    chance: Chance,
    stands_still: bool,
}

impl Chaos {
    fn set(&mut self, duo: &mut Duo) {
        let right = NOW.wall.0 + duo.now.steady.since(NOW.steady);
        let far = [20, 1_000, HOUR_MS, 30 * 24 * HOUR_MS, 400 * 24 * HOUR_MS];
        let by_ms = self.chance.next() % self.chance.pick(&far);
        self.stands_still = self.chance.one_in(4);
        set_wall(duo, Millis(*self.chance.pick(&[right, right + by_ms, right - by_ms, 0])));
    }

    fn pass(&mut self, duo: &mut Duo) {
        let wall = duo.now.wall;
        duo.now = duo.now.plus(self.chance.next() % 3_000);
        if self.stands_still {
            duo.now.wall = wall;
        }
    }
}

#[test]
fn whatever_the_wall_clock_does_rates_dates_ids_and_repetitions_are_right() {
    for seed in 1..=60 {
        let mut chaos = Chaos { chance: Chance::new(seed), stands_still: false };
        let (per_second, burst) = (2, 4);
        let mut duo = Duo::with(|settings| {
            settings.limits.sends_per_second = per_second;
            settings.limits.sends_burst = burst;
        });
        duo.connect(1, BOB, "desk", CatchUp::Sync);
        let (mut full_at, mut sent) = (0, Vec::new());
        for step in 0..80 {
            match chaos.chance.below(8) {
                0 => chaos.set(&mut duo),
                1 | 2 => chaos.pass(&mut duo),
                3 => duo.tick_after(0),
                _ => {
                    let is_again = chaos.chance.one_in(3) && !sent.is_empty();
                    let (name, to, first): (String, &str, Option<Reply>) = if is_again {
                        let (name, to, reply) = chaos.chance.pick(&sent);
                        (String::clone(name), *to, Some(Reply::clone(reply)))
                    } else {
                        (format!("m-{step}"), if chaos.chance.one_in(2) { BOB } else { ALICE }, None)
                    };
                    let (now, token) = (duo.now.steady.0, 1_000 / u64::from(per_second));
                    let may_send = now.max(full_at) + token - now <= token * u64::from(burst);
                    full_at = if may_send { now.max(full_at) + token } else { full_at };
                    let reply = duo.ask(1, BOB, message(&name, to));
                    assert_eq!(matches!(reply, Reply::Sent { .. }), may_send, "seed {seed}, step {step}: {reply:?}");
                    match first {
                        Some(first) if may_send => assert_eq!(reply, first, "seed {seed}, step {step}"),
                        None if may_send => sent.push((name, to, reply)),
                        _ => {}
                    }
                }
            }
        }
        let inbox = duo.whole_inbox(BOB);
        assert_eq!(inbox.len(), sent.len(), "seed {seed}");
        for to in [BOB, ALICE] {
            let conversation = Conversation::pair(user(BOB), user(to));
            let of_it = inbox.iter().filter(|entry| entry.message.conversation == conversation);
            let dated: Vec<_> = of_it.map(|entry| (entry.message.server_time, entry.message.id)).collect();
            assert!(dated.is_sorted_by(|one, next| one.0 <= next.0 && one.1 < next.1), "seed {seed}: {dated:?}");
        }
    }
}

#[test]
fn a_repetition_is_answered_as_one_while_the_clock_is_wrong_and_afterwards() {
    for by_ms in [30 * 24 * HOUR_MS.cast_signed(), -30 * 24 * HOUR_MS.cast_signed()] {
        let mut duo = Duo::new();
        duo.connect(1, BOB, "desk", CatchUp::Sync);
        let before = duo.ask(1, BOB, message("before", BOB));
        duo.tick_after(1_000);
        set_wall(&mut duo, Millis(NOW.wall.0.saturating_add_signed(by_ms)));
        assert_eq!(duo.ask(1, BOB, message("before", BOB)), before);
        (0..3).for_each(|_| duo.tick_after(1_000));
        assert_eq!(duo.ask(1, BOB, message("before", BOB)), before);
        let meanwhile = duo.ask(1, BOB, message("meanwhile", BOB));
        let back = NOW.wall.plus(duo.now.steady.since(NOW.steady));
        set_wall(&mut duo, back);
        (0..3).for_each(|_| duo.tick_after(1_000));
        assert_eq!(duo.ask(1, BOB, message("before", BOB)), before);
        assert_eq!(duo.ask(1, BOB, message("meanwhile", BOB)), meanwhile);
        assert_eq!(duo.shards[Duo::home(BOB)].stats().clock_jumps, 2, "there and back");
        for _half in 0..4 {
            duo.tick_after(Limits::default().dedupe_window_ms / 2 + 1);
        }
        assert_eq!(duo.shards[Duo::home(BOB)].stats().dedupe_rows, 0, "and forgotten in its time");
    }
}

/// Two hours behind are more than this dedupe window, and less than any leap that shows in dates.
#[test]
fn a_start_answers_a_repetition_as_one_whose_first_was_dated_by_a_clock_that_was_behind() {
    let mut duo = Duo::with(|settings| settings.limits.dedupe_window_ms = HOUR_MS);
    duo.connect(1, BOB, "desk", CatchUp::Sync);
    set_wall(&mut duo, Millis(NOW.wall.0 - 2 * HOUR_MS));
    let first = duo.ask(1, BOB, message("behind", BOB));
    duo.tick_after(1_000);
    let right = NOW.wall.plus(duo.now.steady.since(NOW.steady));
    set_wall(&mut duo, right);
    duo.tick_after(1_000);
    for _start in 0..2 {
        duo = duo.restart();
        duo.connect(1, BOB, "desk", CatchUp::Sync);
        assert_eq!(duo.ask(1, BOB, message("behind", BOB)), first);
    }
}

#[test]
fn a_start_knows_that_the_clock_was_behind_when_the_first_message_came_by_when_the_log_was_begun() {
    let mut duo = Duo::with(|settings| settings.limits.dedupe_window_ms = HOUR_MS);
    duo.open(1, BOB, "desk", CatchUp::Sync);
    set_wall(&mut duo, Millis(NOW.wall.0 - 2 * HOUR_MS));
    let first = duo.ask(1, BOB, message("behind", BOB));
    // The process ends before it has looked at its clocks.
    set_wall(&mut duo, NOW.wall);
    let mut duo = duo.restart();
    duo.connect(1, BOB, "desk", CatchUp::Sync);
    assert_eq!(duo.ask(1, BOB, message("behind", BOB)), first);
}
