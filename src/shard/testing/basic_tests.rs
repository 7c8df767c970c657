//! The shard's promises, one at a time, with disks and lanes in the test's own hands.

use crate::log::MemoryStorage;
use crate::model::{Ack, Closing, Command, DeviceKey, Limits, Recipient, Refusal, Reply, Seq, SessionId};
use crate::shard::testing::fixtures::*;
use crate::shard::*;

#[test]
fn nothing_is_answered_pushed_or_forwarded_before_it_is_durable() {
    let mut pair = Cluster::new(2, Windows::default());
    pair.open(1, BOB);
    pair.open(2, BOB);
    pair.outputs();
    pair.request(1, BOB, message("m", BOB, "to myself"));
    assert_eq!(pair.outputs(), [], "the record is appended, not durable");
    pair.sync(0);
    let outputs = pair.outputs();
    assert!(
        outputs.iter().any(|it| matches!(it, Effect::Reply { session: SessionId(1), reply: Reply::Sent { .. }, .. }))
    );
    assert!(outputs.iter().any(|it| matches!(it, Effect::Push { sessions, .. } if sessions[..] == [SessionId(2)])));
}

#[test]
fn a_message_between_two_shards_reaches_both_inboxes_whichever_side_sends() {
    for (author, peer) in [(ALICE, BOB), (BOB, ALICE)] {
        let mut pair = Cluster::new(2, Windows::default());
        pair.open(1, author);
        pair.open(2, peer);
        pair.outputs();
        pair.perform(1, author, message("m", peer, "hello"));
        let outputs = pair.outputs();
        assert!(outputs.iter().any(|it| matches!(it, Effect::Reply { reply: Reply::Sent { seq: Seq(1), .. }, .. })));
        assert!(outputs.iter().any(|it| matches!(it, Effect::Push { user, .. } if user.as_str() == peer)));
        assert_eq!(pair.inbox(author), pair.inbox(peer));
        assert!(pair.shards.iter().all(Shard::is_settled));
    }
}

#[test]
fn a_repeated_send_gets_the_first_answer_even_after_a_restart() {
    let mut pair = Cluster::new(2, Windows::default());
    pair.open(1, ALICE);
    pair.outputs();
    pair.perform(1, ALICE, message("m", BOB, "hello"));
    let first = pair.replies();
    pair.request(1, ALICE, message("m", BOB, "hello"));
    assert_eq!(pair.replies(), first);
    let mut pair = pair.restart(Windows::default());
    pair.open(1, ALICE);
    pair.outputs();
    pair.request(1, ALICE, message("m", BOB, "hello"));
    assert_eq!(pair.replies(), first);
    assert_eq!(pair.inbox(BOB).len(), 1);
}

#[test]
fn a_send_repeated_before_its_answer_waits_for_that_answer() {
    let mut pair = Cluster::new(2, Windows::default());
    pair.connect(1, ALICE);
    pair.connect(2, ALICE);
    pair.outputs();
    // Bob's shard owns nothing of this pair but the peer: alice < bob, so alice's shard takes it. The other way round
    // the post travels.
    pair.open(3, BOB);
    pair.outputs();
    pair.request(3, BOB, message("m", ALICE, "hello"));
    pair.request(3, BOB, message("m", ALICE, "hello"));
    pair.settle();
    let replies = pair.replies();
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[0], replies[1]);
    assert_eq!(pair.inbox(ALICE).len(), 1);
}

#[test]
fn a_client_message_id_used_for_something_else_is_refused() {
    let mut pair = Cluster::new(2, Windows::default());
    pair.open(1, BOB);
    pair.request(1, BOB, message("m", ALICE, "hello"));
    pair.request(1, BOB, message("m", ALICE, "while the first is on its way"));
    pair.settle();
    pair.request(1, BOB, message("m", BOB, "hello"));
    assert_eq!(refusals(pair.replies()), [Refusal::ClientMessageIdReused; 2]);
    assert_eq!(pair.inbox(BOB).len(), 1);
}

#[test]
fn an_id_may_be_used_again_when_the_window_is_over() {
    let mut pair = Cluster::new(2, Windows::default());
    pair.open(1, BOB);
    pair.perform(1, BOB, message("m", BOB, "first"));
    pair.now = NOW.plus(Limits::default().dedupe_window_ms);
    pair.perform(1, BOB, message("m", BOB, "second"));
    assert_eq!(pair.inbox(BOB).len(), 2);
}

#[test]
fn what_a_crash_kept_from_being_confirmed_is_delivered_once() {
    let mut pair = Cluster::new(2, Windows::default());
    pair.open(1, ALICE);
    pair.request(1, ALICE, message("m", BOB, "hello"));
    pair.sync(1);
    assert!(
        pair.lanes.iter().any(|(.., shard_message)| matches!(shard_message, ShardMessage::Deliver { number: 1, .. }))
    );
    let mut pair = pair.restart(Windows::default());
    assert_eq!(pair.inbox(BOB).len(), 1);
    let mut pair = pair.restart(Windows::default());
    assert_eq!(pair.inbox(BOB).len(), 1);
}

#[test]
fn a_delivery_past_a_hole_is_not_taken() {
    let mut pair = Cluster::new(2, Windows::default());
    pair.open(1, ALICE);
    pair.request(1, ALICE, message("1", BOB, "lost"));
    pair.request(1, ALICE, message("2", BOB, "past the hole"));
    pair.sync(1);
    let first = pair
        .lanes
        .iter()
        .position(|(.., shard_message)| matches!(shard_message, ShardMessage::Deliver { number: 1, .. }));
    pair.lanes.remove(first.expect("sent"));
    pair.settle();
    assert_eq!(pair.inbox(BOB), []);
    assert_eq!(pair.shards[0].stats().ignored, 1);
}

#[test]
fn a_full_window_pauses_the_session_and_an_answer_lets_it_go_on() {
    let windows = Windows { requests_max: 1, deliveries_max: 1, held_per_input_max: 1, ..Windows::default() };
    let mut pair = Cluster::new(2, windows);
    pair.open(1, BOB);
    pair.outputs();
    pair.request(1, BOB, message("1", ALICE, "one"));
    pair.request(1, BOB, message("2", ALICE, "two"));
    assert_eq!(pair.outputs(), [Effect::Pause { session: SessionId(1) }]);
    pair.settle();
    let outputs = pair.outputs();
    assert!(outputs.contains(&Effect::Resume { session: SessionId(1) }));
    assert_eq!(outputs.iter().filter(|it| matches!(it, Effect::Reply { .. })).count(), 2);
    assert_eq!(pair.inbox(ALICE).len(), 2);
    assert!(pair.shards.iter().all(Shard::is_settled));
}

#[test]
fn room_for_many_at_once_is_used_over_several_turns() {
    let mut pair =
        Cluster::new(2, Windows { requests_max: 16, deliveries_max: 6, held_per_input_max: 2, ..Windows::default() });
    pair.open(1, BOB);
    (0..16).for_each(|n| pair.request(1, BOB, message(&n.to_string(), ALICE, "hello")));
    let mut turns_put_off = 0;
    for _round in 0..20 {
        pair.carry_lanes();
        for me in 0..2 {
            if pair.shards[me].has_more() {
                turns_put_off += 1;
                pair.input(me, Input::Continued);
            }
            pair.sync(me);
        }
    }
    assert!(turns_put_off >= 2, "{turns_put_off}");
    pair.settle();
    let ids: Vec<_> = pair.inbox(ALICE).into_iter().map(|entry| entry.message.client_message_id.to_string()).collect();
    assert_eq!(ids, (0..16).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(pair.shards.iter().all(Shard::is_settled));
}

#[test]
fn a_session_that_goes_while_it_is_paused_leaves_nothing_behind() {
    let mut pair =
        Cluster::new(2, Windows { requests_max: 1, deliveries_max: 1, held_per_input_max: 1, ..Windows::default() });
    pair.open(1, BOB);
    pair.request(1, BOB, message("1", ALICE, "one"));
    pair.request(1, BOB, message("2", ALICE, "never sent"));
    pair.input(0, Input::Closed { session: SessionId(1) });
    pair.settle();
    assert_eq!(pair.inbox(ALICE).len(), 1);
    assert!(pair.shards.iter().all(Shard::is_settled));
}

#[test]
fn a_full_disk_refuses_sends_and_answers_reads() {
    let disks = vec![MemoryStorage::new(4_096, 1), MemoryStorage::new(4_096, 1)];
    let mut pair = Cluster::on(Windows::default(), disks);
    pair.open(1, BOB);
    pair.outputs();
    for n in 0..100 {
        pair.perform(1, BOB, message(&n.to_string(), BOB, "hello"));
    }
    let replies = pair.replies();
    let sent = replies.iter().filter(|(_, reply)| matches!(reply, Reply::Sent { .. })).count();
    let refused = refusals(replies);
    assert!(sent > 0 && refused.len() == 100 - sent && refused.iter().all(|it| *it == Refusal::StorageFull));
    assert_eq!(pair.inbox(BOB).len(), sent);
    pair.shards[0].storage_mut().set_spares(4);
    pair.perform(1, BOB, message("again", BOB, "there is room"));
    assert_eq!(pair.inbox(BOB).len(), sent + 1);
}

#[test]
fn a_delivery_that_found_no_room_comes_again_when_there_is_some() {
    let disks = vec![MemoryStorage::new(1_024, 1), MemoryStorage::new(1 << 20, 4)];
    let mut pair = Cluster::on(Windows::default(), disks);
    pair.open(1, ALICE);
    for n in 0..20 {
        pair.perform(1, ALICE, message(&n.to_string(), BOB, "hello"));
    }
    let before = pair.inbox(BOB).len();
    assert!(before < 20, "bob's disk is full");
    pair.shards[0].storage_mut().set_spares(16);
    pair.input(0, Input::Ticked);
    pair.settle();
    assert_eq!(pair.inbox(BOB).len(), 20);
    assert!(pair.shards.iter().all(Shard::is_settled));
}

#[test]
fn sends_to_a_full_shard_that_is_owed_all_it_may_be_are_refused_and_none_waits() {
    let disks = vec![MemoryStorage::new(1_024, 1), MemoryStorage::new(1 << 20, 4)];
    let mut pair =
        Cluster::on(Windows { requests_max: 2, deliveries_max: 3, held_per_input_max: 1, ..Windows::default() }, disks);
    pair.open(1, ALICE);
    pair.outputs();
    for n in 0..20 {
        pair.perform(1, ALICE, message(&n.to_string(), BOB, "hello"));
    }
    let replies = pair.replies();
    assert_eq!(replies.len(), 20, "every send has its answer");
    let sent = replies.iter().filter(|(_, reply)| matches!(reply, Reply::Sent { .. })).count();
    let refused = refusals(replies);
    assert!(refused.len() == 20 - sent && refused.iter().all(|it| *it == Refusal::StorageFull));
    let unfinished = pair.shards[1].unfinished();
    assert_eq!((unfinished.deliveries, unfinished.to_full_shards), (3, 3));
    assert_eq!(pair.inbox(BOB).len(), sent - 3);

    pair.shards[0].storage_mut().set_spares(16);
    pair.input(0, Input::Ticked);
    pair.settle();
    pair.perform(1, ALICE, message("again", BOB, "there is room"));
    assert_eq!(pair.inbox(BOB).len(), sent + 1);
    assert!(pair.shards.iter().all(Shard::is_settled));
}

#[test]
fn too_much_too_fast_and_to_no_group_are_refused() {
    let mut pair = Cluster::new(2, Windows::default());
    pair.open(1, BOB);
    pair.outputs();
    let Command::Send(mut big) = message("big", BOB, "") else { unreachable!("a send") };
    big.content = vec![0; Limits::default().content_bytes_max + 1].into();
    pair.request(1, BOB, Command::Send(big));
    let Command::Send(mut to_group) = message("group", BOB, "") else { unreachable!("a send") };
    to_group.recipient = Recipient::Group(crate::model::GroupId::new("g").expect("well formed"));
    pair.perform(1, BOB, Command::Send(to_group));
    for n in 0..Limits::default().sends_burst {
        pair.request(1, BOB, message(&n.to_string(), BOB, "hello"));
    }
    let refused = refusals(pair.replies());
    assert_eq!(refused, [Refusal::MessageTooLarge, Refusal::ConversationNotExist, Refusal::SendTooFast]);
}

#[test]
fn a_new_connection_is_no_new_allowance() {
    let mut pair = Cluster::new(2, Windows::default());
    pair.open(1, BOB);
    for n in 0..Limits::default().sends_burst {
        pair.request(1, BOB, message(&n.to_string(), BOB, "hello"));
    }
    pair.input(0, Input::Closed { session: SessionId(1) });
    pair.connect(2, BOB);
    pair.outputs();
    pair.request(2, BOB, message("one more", BOB, "hello"));
    assert_eq!(refusals(pair.replies()), [Refusal::SendTooFast]);
}

#[test]
fn an_acknowledged_position_survives_a_restart() {
    let mut pair = Cluster::new(2, Windows::default());
    pair.open(1, BOB);
    pair.perform(1, BOB, message("m", BOB, "hello"));
    pair.request(1, BOB, Command::Ack(Ack::Through(Seq(7))));
    pair.request(1, BOB, Command::Ack(Ack::Through(Seq(1))));
    pair.input(0, Input::Ticked);
    let pair = pair.restart(Windows::default());
    let device = DeviceKey { flag: 0, id: "device-1".into() };
    assert_eq!(pair.shards[0].delivered(&user(BOB), &device), Some(Seq(1)));
}

#[test]
fn a_seventeenth_session_closes_the_first() {
    let mut pair = Cluster::new(2, Windows::default());
    (1..=17).for_each(|session| pair.open(session, BOB));
    let closed = Effect::Close { session: SessionId(1), closing: Closing::Replaced };
    assert!(pair.outputs().contains(&closed));
}

#[test]
fn a_policy_that_waives_the_sync_acknowledges_and_calls_nothing_durable() {
    let mut pair = Cluster::new(2, Windows::default());
    pair.open(1, BOB);
    pair.outputs();
    let durable = pair.shards[0].journal().durable();
    pair.request(1, BOB, message("m", BOB, "hello"));
    assert!(pair.shards[0].awaits_log());
    pair.input(0, Input::Waived);
    assert!(matches!(pair.replies()[..], [(1, Reply::Sent { .. })]));
    assert_eq!(pair.shards[0].journal().durable(), durable);
}
