//! A closed directory: only who is known can be written to, and asking costs nobody its order.

use crate::model::{Directory, Order, Refusal};
use crate::shard::peers::message::UserStatus;
use crate::shard::testing::duo::*;
use crate::shard::*;

fn closed() -> Duo {
    Duo::with(|settings| settings.policies.directory = Directory::Closed)
}

fn know(duo: &mut Duo, id: &str) {
    duo.order(Order::KnowUser { user: user(id) });
}

fn questions(duo: &Duo) -> usize {
    duo.lanes.iter().filter(|(.., shard_message)| matches!(shard_message, ShardMessage::IsKnown { .. })).count()
}

#[test]
fn a_stranger_cannot_be_written_to_and_whoever_is_known_can() {
    for (author, peer) in [(ALICE, BOB), (BOB, ALICE), (BOB, BOB)] {
        let mut duo = closed();
        duo.connect(1, author, "desk", CatchUp::Backlog);
        let expected = if author == peer { None } else { Some(Refusal::UserNotExist) };
        assert_eq!(refusal(&duo.ask(1, author, message("a", peer))), expected);
        know(&mut duo, peer);
        assert_eq!(refusal(&duo.ask(1, author, message("b", peer))), None);
        assert!(duo.shards.iter().all(Shard::is_settled));
    }
}

#[test]
fn whoever_has_been_here_is_known_even_after_a_restart() {
    let mut duo = closed();
    duo.connect(1, BOB, "desk", CatchUp::Backlog);
    duo.close(1, BOB);
    let mut duo = duo.restart();
    duo.connect(2, ALICE, "desk", CatchUp::Backlog);
    assert_eq!(refusal(&duo.ask(2, ALICE, message("a", BOB))), None);
}

#[test]
fn an_author_s_sends_keep_their_order_while_the_directory_is_asked_and_it_is_asked_once() {
    let mut duo = closed();
    know(&mut duo, BOB);
    duo.connect(1, ALICE, "desk", CatchUp::Backlog);
    duo.outputs();
    for id in ["a", "b", "c"] {
        duo.request(1, ALICE, message(id, BOB));
    }
    assert_eq!(questions(&duo), 1);
    duo.perform(1, ALICE, message("a", BOB));
    assert_eq!(duo.replies(1).len(), 4);
    let ids: Vec<_> = duo.inbox(BOB).iter().map(|entry| entry.message.client_message_id.to_string()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    duo.request(1, ALICE, message("d", BOB));
    assert_eq!(questions(&duo), 0, "they have talked before");
    duo.settle();
    assert!(duo.shards.iter().all(Shard::is_settled));
}

#[test]
fn who_became_known_before_a_send_can_be_written_to_whatever_an_earlier_question_is_answered() {
    let mut duo = closed();
    duo.connect(1, ALICE, "desk", CatchUp::Backlog);
    duo.outputs();
    duo.request(1, ALICE, message("a", BOB));
    let Some((from, to, ShardMessage::IsKnown { pair, .. })) = duo.lanes.pop_front() else { panic!("a question") };
    know(&mut duo, BOB);
    for id in ["b", "c"] {
        duo.request(1, ALICE, message(id, BOB));
    }
    assert_eq!(questions(&duo), 0, "they wait for the first");
    duo.lanes.push_back((to, from, ShardMessage::Known { pair, standing: UserStatus::Stranger }));
    duo.settle();
    let refused: Vec<_> = duo.replies(1).iter().map(refusal).collect();
    assert_eq!(refused, [Some(Refusal::UserNotExist), None, None]);
    let ids: Vec<_> = duo.inbox(BOB).iter().map(|entry| entry.message.client_message_id.to_string()).collect();
    assert_eq!(ids, ["b", "c"]);
    assert!(duo.shards.iter().all(Shard::is_settled));
}

#[test]
fn the_other_side_may_write_while_the_directory_is_asked() {
    let mut duo = closed();
    duo.connect(1, ALICE, "desk", CatchUp::Backlog);
    duo.connect(2, BOB, "desk", CatchUp::Backlog);
    duo.request(1, ALICE, message("from alice", BOB));
    duo.request(2, BOB, message("from bob", ALICE));
    duo.settle();
    assert_eq!((duo.inbox(ALICE).len(), duo.inbox(BOB).len()), (2, 2));
    assert!(duo.shards.iter().all(Shard::is_settled));
}

#[test]
fn sends_that_find_the_window_full_behind_the_question_come_in_order_too() {
    let mut duo = Duo::with(|settings| {
        settings.policies.directory = Directory::Closed;
        settings.windows = Windows { requests_max: 8, deliveries_max: 1, held_per_input_max: 2, ..Windows::default() };
    });
    know(&mut duo, BOB);
    duo.connect(1, ALICE, "desk", CatchUp::Backlog);
    for id in ["a", "b", "c", "d"] {
        duo.request(1, ALICE, message(id, BOB));
    }
    duo.settle();
    let ids: Vec<_> = duo.inbox(BOB).iter().map(|entry| entry.message.client_message_id.to_string()).collect();
    assert_eq!(ids, ["a", "b", "c", "d"]);
    assert!(duo.shards.iter().all(Shard::is_settled));
}

#[test]
fn what_was_held_while_the_directory_was_asked_stays_behind_what_asked() {
    let mut duo = Duo::with(|settings| {
        settings.policies.directory = Directory::Closed;
        settings.windows = Windows { requests_max: 8, deliveries_max: 1, held_per_input_max: 2, ..Windows::default() };
    });
    let neighbour = (0..).map(|n| format!("bob-{n}")).find(|id| Duo::home(id) == Duo::home(BOB)).expect("one of two");
    know(&mut duo, BOB);
    know(&mut duo, &neighbour);
    duo.connect(1, ALICE, "desk", CatchUp::Backlog);
    assert_eq!(refusal(&duo.ask(1, ALICE, message("an old friend", &neighbour))), None);
    // The first takes the window, the second asks who Bob is; the third finds the window full, and the fourth waits
    // behind it.
    for (id, to) in [("1", &*neighbour), ("a", BOB), ("2", &neighbour), ("b", BOB)] {
        duo.request(1, ALICE, message(id, to));
    }
    duo.settle();
    let ids: Vec<_> = duo.inbox(BOB).iter().map(|entry| entry.message.client_message_id.to_string()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert!(duo.shards.iter().all(Shard::is_settled));
}
