//! Presence: answers in order, changes once, and nothing left of who has gone.

use crate::model::{
    BlockState, Command, Event, Millis, Order, Presence, PresenceAction, PresenceState, Refusal, Reply,
};
use crate::shard::testing::duo::*;
use crate::shard::*;

fn presence(action: PresenceAction, users: &[&str]) -> Command {
    Command::Presence(Presence { action, users: users.iter().map(|id| user(id)).collect() })
}

fn query(users: &[&str]) -> Command {
    presence(PresenceAction::Query, users)
}

fn subscribe(users: &[&str]) -> Command {
    presence(PresenceAction::Subscribe, users)
}

/// Who is shown as online, in order.
fn shown(reply: Reply) -> Vec<(String, bool)> {
    match reply {
        Reply::Presence(states) => states.into_iter().map(|it| (it.user.to_string(), it.is_online)).collect(),
        other => panic!("presence is answered by states, not {other:?}"),
    }
}

fn told(duo: &mut Duo, session: u64) -> Vec<PresenceState> {
    let state = |event| match event {
        Event::Presence(state) => Some(state),
        _ => None,
    };
    duo.events(session).into_iter().filter_map(state).collect()
}

fn on(user: &str) -> (String, bool) {
    (user.to_owned(), true)
}

fn off(user: &str) -> (String, bool) {
    (user.to_owned(), false)
}

#[test]
fn states_of_both_shards_come_in_the_order_asked_for() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "desk", CatchUp::Sync);
    duo.connect(2, ALICE, "desk", CatchUp::Sync);
    let reply = duo.ask(1, BOB, query(&[ALICE, "nobody", BOB, ALICE]));
    assert_eq!(shown(reply), [on(ALICE), off("nobody"), on(BOB), on(ALICE)]);
    assert_eq!(shown(duo.ask(1, BOB, query(&[]))), []);
    duo.close(2, ALICE);
    let left = duo.now;
    assert_eq!(
        duo.ask(1, BOB, query(&[ALICE])),
        Reply::Presence(vec![PresenceState { user: user(ALICE), is_online: false, last_seen: left.wall }])
    );
}

#[test]
fn when_a_user_was_seen_last_survives_a_restart() {
    let mut duo = Duo::new();
    duo.open(1, ALICE, "desk", CatchUp::Sync);
    duo.now = NOW.plus(5_000);
    duo.close(1, ALICE);
    duo.now = NOW.plus(9_000);
    let mut duo = duo.restart();
    duo.connect(2, BOB, "desk", CatchUp::Sync);
    let Reply::Presence(states) = duo.ask(2, BOB, query(&[ALICE])) else { panic!("states") };
    assert_eq!(states[0].last_seen, NOW.wall.plus(5_000));
}

#[test]
fn who_watches_is_told_once_when_the_first_session_comes_and_when_the_last_goes() {
    for (watcher, watched) in [(BOB, ALICE), (ALICE, BOB), (BOB, BOB)] {
        let mut duo = Duo::new();
        duo.connect(1, watcher, "desk", CatchUp::Sync);
        duo.ask(1, watcher, subscribe(&[watched]));
        duo.events(1);
        if watcher == watched {
            continue;
        }
        duo.connect(2, watched, "desk", CatchUp::Sync);
        duo.connect(3, watched, "phone", CatchUp::Backlog);
        // The same device again: it was never away.
        duo.open(4, watched, "phone", CatchUp::Backlog);
        duo.disconnect(2, watched);
        let states = told(&mut duo, 1);
        assert_eq!(states, [PresenceState { user: user(watched), is_online: true, last_seen: Millis(0) }]);
        duo.disconnect(4, watched);
        let states = told(&mut duo, 1);
        assert_eq!(states, [PresenceState { user: user(watched), is_online: false, last_seen: duo.now.wall }]);
        duo.ask(1, watcher, presence(PresenceAction::Unsubscribe, &[watched]));
        duo.connect(5, watched, "desk", CatchUp::Sync);
        assert_eq!(told(&mut duo, 1), []);
    }
}

/// Of a user of its own shard it knows at once; the answer waits for the other one.
#[test]
fn an_answer_that_waits_does_not_say_what_has_changed_meanwhile() {
    let mut duo = Duo::new();
    let mut others = (0..).map(|n| format!("user-{n}"));
    let neighbour = others.find(|id| Duo::home(id) == Duo::home(BOB)).expect("one in two");
    duo.connect(1, BOB, "desk", CatchUp::Sync);
    duo.connect(2, &neighbour, "desk", CatchUp::Sync);
    duo.outputs();
    duo.request(1, BOB, subscribe(&[&neighbour, ALICE]));
    duo.disconnect(2, &neighbour);
    let answer = duo.replies(1).remove(0);
    assert_eq!(shown(answer), [off(&neighbour), off(ALICE)]);
}

#[test]
fn a_session_that_ends_leaves_no_subscription_anywhere() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "desk", CatchUp::Sync);
    duo.connect(2, BOB, "phone", CatchUp::Sync);
    for session in [1, 2] {
        duo.ask(session, BOB, subscribe(&[ALICE, BOB]));
    }
    duo.request(1, BOB, query(&[ALICE]));
    duo.disconnect(1, BOB);
    assert_eq!(duo.shards[1].state.live.watch.sizes(), [0, 1, 0], "one of them still watches");
    duo.disconnect(2, BOB);
    assert!(duo.shards.iter().all(|shard| shard.state.live.watch.sizes() == [0, 0, 0]));
}

#[test]
fn a_watcher_who_returns_while_its_shard_unsubscribes_is_told_of_changes() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "desk", CatchUp::Sync);
    for _ in 0..3 {
        duo.request(1, BOB, subscribe(&[ALICE]));
        duo.request(1, BOB, presence(PresenceAction::Unsubscribe, &[ALICE]));
    }
    duo.request(1, BOB, subscribe(&[ALICE]));
    duo.settle_silently();
    duo.connect(2, ALICE, "desk", CatchUp::Sync);
    assert_eq!(told(&mut duo, 1).len(), 1);
}

#[test]
fn a_user_who_comes_and_goes_faster_than_lanes_carry_is_told_as_it_is() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "desk", CatchUp::Sync);
    duo.ask(1, BOB, subscribe(&[ALICE]));
    for session in 10..200 {
        duo.open(session, ALICE, "desk", CatchUp::Sync);
        duo.close(session, ALICE);
    }
    duo.open(200, ALICE, "desk", CatchUp::Sync);
    let news = duo
        .lanes
        .iter()
        .filter(|(.., shard_message)| matches!(shard_message, ShardMessage::PresenceNews { .. }))
        .count();
    assert_eq!(news, 1, "one shard message at a time");
    duo.settle();
    assert_eq!(told(&mut duo, 1).last().map(|state| state.is_online), Some(true));
}

#[test]
fn subscriptions_are_bounded_by_session_and_by_user() {
    let mut duo = Duo::with(|settings| {
        settings.limits.presence_subscriptions_max = 2;
        settings.limits.presence_subscribers_max = 1;
    });
    duo.connect(1, BOB, "desk", CatchUp::Sync);
    duo.connect(2, BOB, "phone", CatchUp::Sync);
    let three: Vec<String> = (0..3).map(|n| format!("user-{n}")).collect();
    let three: Vec<&str> = three.iter().map(String::as_str).collect();
    assert_eq!(refusal(&duo.ask(1, BOB, subscribe(&three))), Some(Refusal::InvalidParam));
    assert_eq!(refusal(&duo.ask(1, BOB, subscribe(&three[..2]))), None);
    assert_eq!(refusal(&duo.ask(1, BOB, subscribe(&three[..2]))), None, "again is no more");
    assert_eq!(refusal(&duo.ask(1, BOB, subscribe(&three[2..]))), Some(Refusal::InvalidParam));
    assert_eq!(refusal(&duo.ask(2, BOB, subscribe(&three[..1]))), Some(Refusal::Busy));
    let too_many: Vec<String> = (0..=Presence::USERS_MAX).map(|n| format!("user-{n}")).collect();
    let too_many: Vec<&str> = too_many.iter().map(String::as_str).collect();
    assert_eq!(refusal(&duo.ask(1, BOB, query(&too_many))), Some(Refusal::InvalidParam));
}

#[test]
fn questions_to_a_shard_that_does_not_answer_are_bounded() {
    let mut duo = Duo::with(|settings| {
        settings.limits.queries_per_second = 1_000_000;
        settings.limits.queries_burst = 1_000_000;
    });
    duo.connect(1, BOB, "desk", CatchUp::Sync);
    duo.outputs();
    let questions = crate::shard::peers::message::PRESENCE_QUESTIONS_MAX;
    for _ in 0..questions + 3 {
        duo.request(1, BOB, query(&[ALICE]));
    }
    assert_eq!(duo.lanes.len(), questions);
    assert!(duo.replies(1).iter().all(|reply| refusal(reply) == Some(Refusal::Busy)));
    duo.settle();
    assert_eq!(duo.replies(1).len(), questions);
}

#[test]
fn who_is_blocked_sees_nobody_there() {
    for (by, other) in [(ALICE, BOB), (BOB, ALICE)] {
        let mut duo = Duo::new();
        duo.connect(1, by, "desk", CatchUp::Sync);
        duo.connect(2, other, "desk", CatchUp::Sync);
        // Alice's shard orders the pair.
        let order = Order::Block { by: user(by), other: user(other), state: BlockState::Blocked };
        duo.input(1, Input::Ordered { ticket: Ticket(1), order });
        assert_eq!(shown(duo.ask(2, other, subscribe(&[by]))), [off(by)]);
        assert_eq!(shown(duo.ask(1, by, query(&[other]))), [on(other)]);
        duo.close(1, by);
        duo.connect(3, by, "desk", CatchUp::Sync);
        assert_eq!(told(&mut duo, 2), []);
    }
}

#[test]
fn a_block_ends_a_subscription_on_whichever_shard_the_pair_is() {
    for (watcher, watched) in [(BOB, ALICE), (ALICE, BOB)] {
        let mut duo = Duo::new();
        duo.connect(1, watcher, "desk", CatchUp::Sync);
        duo.ask(1, watcher, subscribe(&[watched]));
        let order = Order::Block { by: user(watched), other: user(watcher), state: BlockState::Blocked };
        duo.order(order);
        duo.connect(2, watched, "desk", CatchUp::Sync);
        duo.disconnect(2, watched);
        assert_eq!(told(&mut duo, 1), [], "{watcher} is blocked by {watched}");
        assert!(duo.shards.iter().all(|shard| shard.state.live.watch.sizes() == [0, 0, 0]));
    }
}
