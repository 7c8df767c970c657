//! Revocations: by whom, for how long, and that everybody's copy is a tombstone from then on.

use crate::log::MemoryStorage;
use crate::log::fixtures::Chance;
use crate::model::{
    Command, ConversationRef, Event, Limits, MessageId, Order, Recipient, Refusal, Reply, Revoke, Role,
};
use crate::shard::replay::checkpoint::survey;
use crate::shard::testing::fixtures::*;
use crate::shard::*;

fn revoke(message: MessageId, conversation: ConversationRef) -> Command {
    Command::Revoke(Revoke { message, conversation })
}

#[test]
fn an_author_takes_back_what_it_wrote_and_twice_is_once() {
    for shards in 1..=3 {
        let mut cluster = Cluster::new(shards, Windows::default());
        let id = id_of(&cluster.say("alice", "oh", Recipient::User(user("bob"))));
        assert_eq!(refusal(&cluster.ask("bob", revoke(id, with("alice")))), Some(Refusal::PermissionDenied));
        let unknown = MessageId(id.0 + 1);
        assert_eq!(refusal(&cluster.ask("alice", revoke(unknown, with("bob")))), Some(Refusal::InvalidParam));
        assert_eq!(refusal(&cluster.ask("alice", revoke(id, with("carol")))), Some(Refusal::ConversationNotExist));
        for _ in 0..3 {
            assert_eq!(cluster.ask("alice", revoke(id, with("bob"))), Reply::Done);
            for who in ["alice", "bob"] {
                assert_eq!(told(&cluster.inbox(who)), ["(revoked)", "alice revoked"], "{who}");
            }
            assert_eq!(told(&cluster.history("bob", &with("alice"), 9)), ["(revoked)"], "it takes no place");
            cluster = cluster.restart(Windows::default());
        }
        cluster.now = cluster.now.plus(Limits::default().revoke_window_ms);
        assert_eq!(cluster.ask("alice", revoke(id, with("bob"))), Reply::Done, "it has been so all along");
    }
}

#[test]
fn after_a_day_only_who_runs_the_group_takes_something_back() {
    for shards in 1..=3 {
        let mut cluster = Cluster::new(shards, Windows::default());
        cluster.order(create("g", "alice", &["bob", "carol"]));
        let role = Some(Role::Admin);
        cluster.order(Order::ChangeMember { group: group("g"), member: user("carol"), role, muted_until: None });
        let ids = ["one", "two"].map(|id| id_of(&cluster.say_in("bob", id, "g")));
        cluster.now = cluster.now.plus(Limits::default().revoke_window_ms);
        let by = |cluster: &mut Cluster, who: &str, id| refusal(&cluster.ask(who, revoke(id, in_group("g"))));
        assert_eq!(by(&mut cluster, "bob", ids[0]), Some(Refusal::PermissionDenied), "too late");
        assert_eq!(by(&mut cluster, "carol", ids[0]), None);
        assert_eq!(by(&mut cluster, "alice", ids[1]), None);
        assert_eq!(by(&mut cluster, "dave", ids[1]), Some(Refusal::ConversationNotExist));
        let after = ["(revoked)", "(revoked)", "carol revoked", "alice revoked"];
        assert_eq!(told(&cluster.inbox("bob"))[2..], after);
    }
}

#[test]
fn who_has_left_is_not_told_and_its_copy_is_a_tombstone_all_the_same() {
    for shards in 1..=3 {
        let mut cluster = Cluster::new(shards, Windows::default());
        // Members on every shard, and nobody but bob on his.
        cluster.order(create("g", "alice", &["bob"]));
        let id = id_of(&cluster.say_in("alice", "oh", "g"));
        cluster.order(change("g", &[], &["bob"]));
        assert_eq!(cluster.ask("alice", revoke(id, in_group("g"))), Reply::Done);
        for _ in 0..2 {
            assert_eq!(told(&cluster.inbox("bob")), ["created alice bob", "(revoked)", "removed bob"]);
            cluster = cluster.restart(Windows::default());
        }
    }
}

#[test]
fn a_revocation_survives_in_checkpoints() {
    let disk = MemoryStorage::new(1 << 12, 1_000);
    let mut cluster = Cluster::on(Windows::default(), vec![disk]);
    let id = id_of(&cluster.say("alice", "oh", Recipient::User(user("bob"))));
    assert_eq!(cluster.ask("alice", revoke(id, with("bob"))), Reply::Done);
    while cluster.shards[0].journal().end().segment() < 3 {
        let next = format!("m{}", cluster.shards[0].journal().end().0);
        cluster.say("carol", &next, Recipient::User(user("dave")));
        cluster.now = cluster.now.plus(50);
    }
    let settings = cluster.settings(0);
    let made = survey(&settings, &Vec::<Vec<u8>>::new(), cluster.shards[0].journal().storage(), 2).expect("sound");
    let disks = cluster.take_disks();
    let mut cluster = cluster.crashed(disks, vec![vec![made.bytes]], &mut Chance::new(1));
    assert_eq!(told(&cluster.inbox("bob")), ["(revoked)", "alice revoked"]);
    assert_eq!(cluster.ask("alice", revoke(id, with("bob"))), Reply::Done);
    assert_eq!(cluster.inbox("bob").len(), 2, "nothing is told twice");
}

#[test]
fn what_is_taken_back_while_it_is_on_its_way_arrives_as_a_tombstone() {
    let mut cluster = Cluster::new(1, Windows::default());
    let crowd: Vec<String> = (0..600).map(|n| format!("m{n}")).collect();
    let members: Vec<&str> = crowd.iter().map(String::as_str).collect();
    cluster.order(create("g", "alice", &members));
    cluster.connect(1, "alice");
    cluster.outputs();
    cluster.request(1, "alice", to_group("oh", "g", "oh"));
    cluster.sync(0);
    let id = cluster.replies().iter().map(|(_, reply)| id_of(reply)).next().expect("answered before all have it");
    assert!(cluster.shards[0].stats().fanning_out > 0);
    cluster.perform(1, "alice", revoke(id, in_group("g")));
    assert_eq!(cluster.replies(), [(1, Reply::Done)]);
    assert_eq!(told(&cluster.inbox("m599"))[1..], ["(revoked)", "alice revoked"]);
}

#[test]
fn a_revocation_waits_for_a_window_and_nobody_is_told_twice() {
    let windows = Windows { requests_max: 1, deliveries_max: 1, held_per_input_max: 1, ..Windows::default() };
    let mut cluster = Cluster::new(2, windows);
    let id = id_of(&cluster.say("alice", "oh", Recipient::User(user("bob"))));
    for (session, who) in [(1, "alice"), (2, "alice")] {
        cluster.open(session, who);
    }
    cluster.settle_silently();
    cluster.request(1, "alice", message("next", "bob", "next"));
    cluster.request(1, "alice", revoke(id, with("bob")));
    cluster.request(2, "alice", revoke(id, with("bob")));
    cluster.settle();
    let done = cluster.replies().into_iter().filter(|(_, reply)| *reply == Reply::Done).count();
    assert_eq!(done, 2);
    assert_eq!(told(&cluster.inbox("bob")), ["(revoked)", "next", "alice revoked"]);
}

#[test]
fn a_push_shows_no_tombstone_that_a_crash_could_take_back() {
    let mut cluster = Cluster::with_group_that_waits();
    cluster.outputs();
    cluster.request(1, "alice", to_group("m", "g", "oh"));
    cluster.sync(0);
    let id = cluster.replies().iter().find_map(|(_, reply)| match reply {
        Reply::Sent { message_id, .. } => Some(*message_id),
        _ => None,
    });
    let id = id.expect("she has the answer, and he nothing yet");
    cluster.input(0, Input::Continued);
    let batch = cluster.shards[0].seal().expect("his entry waits for a sync");
    cluster.request(1, "alice", revoke(id, in_group("g")));
    cluster.input(0, Input::Synced { end: batch.to });
    let pushed = |effects: Vec<Effect>| -> Vec<String> {
        let entry = |effect| match effect {
            Effect::Push { event: Event::Entry(entry), .. } => Some(entry),
            _ => None,
        };
        told(&effects.into_iter().filter_map(entry).collect::<Vec<_>>())
    };
    assert_eq!(pushed(cluster.outputs()), ["oh"], "that it was taken back is not durable");
    cluster.settle();
    assert!(pushed(cluster.outputs()).contains(&"alice revoked".to_owned()));
    assert_eq!(told(&cluster.inbox("bob")).last().map(String::as_str), Some("alice revoked"));
}
