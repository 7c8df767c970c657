//! What inputs cost a shard: that it is counted, and that no single one costs more than its budget.

use crate::model::{
    Command, Event, GroupId, History, HistoryDirection, Limits, Order, Refusal, Reply, SessionId, UserId,
};
use crate::shard::replay::checkpoint;
use crate::shard::testing::fixtures::{self, Cluster, in_group, to_group};
use crate::shard::*;

fn member(number: usize) -> String {
    format!("member-{number}")
}

/// A group of so many, all of them users of the only shard.
fn group_of(members: usize) -> Cluster {
    let mut cluster = Cluster::new(1, Windows::default());
    let names: Vec<String> = (0..members).map(member).collect();
    for (number, part) in names.chunks(5_000).enumerate() {
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        let order = match number {
            0 => fixtures::create("crowd", part[0], &part),
            _ => fixtures::change("crowd", &part, &[]),
        };
        cluster.order(order);
    }
    cluster
}

#[test]
fn an_input_costs_the_records_and_rows_that_it_looks_at() {
    let mut cluster = group_of(100);
    cluster.connect(1, "member-0");
    cluster.request(1, "member-0", to_group("one", "crowd", "hello"));
    let sent = cluster.shards[0].cost();
    assert_eq!(sent.records, 3, "the message, and links for 64 and for 35 members: {sent:?}");
    assert!((99..200).contains(&sent.rows) && sent.bytes > 1_000, "{sent:?}");
    cluster.settle();
    let history = History {
        conversation: in_group("crowd"),
        direction: HistoryDirection::Before(crate::model::ConversationSeq(u64::MAX)),
        limit: 10,
        topic: None,
    };
    cluster.request(1, "member-0", Command::History(history));
    let read = cluster.shards[0].cost();
    assert!((2..=8).contains(&read.records) && read.effects == 1, "two entries: {read:?}");
    cluster.input(0, Input::Ticked);
    assert_eq!(cluster.shards[0].cost().effects, 0, "each input begins anew");
    let highest_cost = cluster.shards[0].stats().highest_cost;
    assert_eq!(highest_cost.max(sent), highest_cost, "the dearest is remembered");
}

#[test]
fn the_users_of_a_change_are_sorted_by_their_shards_a_part_at_a_time_and_counted() {
    let mut cluster = Cluster::new(2, Windows::default());
    cluster.settle();
    let names: Vec<String> = (0..4_000).map(member).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let order = fixtures::create("crowd", all[0], &all[1..]);
    let home = usize::from(!cluster.shards[0].is_addressee(&order));
    cluster.input(home, Input::Ordered { ticket: Ticket(1), order });
    let mut costs = vec![cluster.shards[home].cost().rows];
    while cluster.shards[home].has_more() {
        cluster.input(home, Input::Continued);
        costs.push(cluster.shards[home].cost().rows);
    }
    assert!(costs[0] >= 1_024 && costs.iter().all(|rows| *rows < 2_048), "{costs:?}");
}

/// Without any waiting: a flood is to be refused for what is on its way, and not for its speed.
fn fast() -> Limits {
    Limits { sends_per_second: 1_000_000, sends_burst: 1_000_000, ..Limits::default() }
}

fn cluster_with(shards: u16, limits: Limits) -> Cluster {
    let disks = (0..shards).map(|_| crate::log::MemoryStorage::new(1 << 20, 1_000)).collect::<Vec<_>>();
    let none = disks.iter().map(|_| Vec::new()).collect();
    let mut cluster = Cluster::start(Windows::default(), limits, disks, none, fixtures::NOW);
    cluster.settle();
    cluster
}

fn crowd(cluster: &mut Cluster, owner: &str, members: usize) -> Vec<String> {
    let names: Vec<String> = (0..members).map(member).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    cluster.order(fixtures::create("crowd", owner, &all));
    cluster.settle_silently();
    names
}

/// What each shard does for an input is within the budget, and is added up.
fn expect_within_budget(cluster: &Cluster) {
    for shard in &cluster.shards {
        let highest_cost = shard.stats().highest_cost;
        assert!(highest_cost.is_within(Cost::BUDGET), "{highest_cost:?}");
    }
}

/// Lanes and disks work, but nothing goes on from turn to turn.
fn turn_without_going_on(cluster: &mut Cluster) {
    for _ in 0..4 {
        cluster.carry_lanes();
        (0..cluster.shards.len()).for_each(|me| cluster.sync(me));
    }
}

#[test]
fn a_group_that_is_flooded_is_refused_by_its_own_bound_and_holds_up_no_other_conversation() {
    let limits = Limits { group_fan_out_entries_max: 10_000, ..fast() };
    let mut cluster = cluster_with(2, limits);
    crowd(&mut cluster, "alice", 2_000);
    cluster.order(fixtures::create("team", "bob", &["alice", "carol"]));
    cluster.settle();
    cluster.connect(1, "alice");
    cluster.connect(2, "bob");
    cluster.connect(3, "carol");
    cluster.outputs();
    for number in 0..500 {
        cluster.request(1, "alice", to_group(&format!("flood-{number}"), "crowd", "x"));
    }
    turn_without_going_on(&mut cluster);
    let (taken, refused): (Vec<_>, Vec<_>) =
        cluster.replies().into_iter().partition(|(_, reply)| matches!(reply, Reply::Sent { .. }));
    assert!((1..=10).contains(&taken.len()) && taken.len() + refused.len() == 500, "{} are taken", taken.len());
    assert!(fixtures::refusals(refused).iter().all(|refusal| *refusal == Refusal::GroupTooBusy));
    let asks = [fixtures::message("pair", "carol", "x"), to_group("team", "team", "x")];
    for ask in asks {
        cluster.request(2, "bob", ask);
        turn_without_going_on(&mut cluster);
        let answers = cluster.replies();
        assert!(matches!(answers[..], [(2, Reply::Sent { .. })]), "{answers:?}");
    }
    cluster.settle_silently();
    cluster.perform(1, "alice", to_group("later", "crowd", "x"));
    assert!(matches!(cluster.replies()[..], [(1, Reply::Sent { .. })]), "what was on its way has come");
    assert!(cluster.shards.iter().all(|shard| shard.fanning_out() == 0));
    expect_within_budget(&cluster);
}

#[test]
fn after_a_restart_what_is_on_its_way_still_counts() {
    let limits = Limits { group_fan_out_messages_max: 3, fan_out_members_at_once_max: 1, ..fast() };
    let mut cluster = cluster_with(2, limits);
    crowd(&mut cluster, "alice", 2_000);
    cluster.connect(1, "alice");
    for number in 0..3 {
        cluster.request(1, "alice", to_group(&format!("m{number}"), "crowd", "x"));
    }
    turn_without_going_on(&mut cluster);
    let disks = cluster.take_disks();
    let mut cluster = Cluster::start(Windows::default(), limits, disks, vec![Vec::new(); 2], fixtures::NOW);
    turn_without_going_on(&mut cluster);
    cluster.open(1, "alice");
    turn_without_going_on(&mut cluster);
    cluster.outputs();
    cluster.request(1, "alice", to_group("fourth", "crowd", "x"));
    turn_without_going_on(&mut cluster);
    assert_eq!(fixtures::refusals(cluster.replies()), [Refusal::GroupTooBusy]);
    cluster.settle_silently();
    cluster.perform(1, "alice", to_group("fifth", "crowd", "x"));
    assert!(matches!(cluster.replies()[..], [(1, Reply::Sent { .. })]));
}

#[test]
fn what_waits_for_one_sync_leaves_a_part_a_turn_and_in_order() {
    let mut cluster = cluster_with(1, fast());
    cluster.connect(1, "alice");
    cluster.outputs();
    for number in 0..5_000 {
        cluster.request(1, "alice", fixtures::message(&format!("m{number}"), "bob", "x"));
    }
    cluster.sync(0);
    let first = cluster.shards[0].cost();
    assert!((1_000..=2_100).contains(&first.effects) && cluster.shards[0].has_more(), "{first:?}");
    cluster.settle();
    let seqs: Vec<u64> = cluster
        .replies()
        .into_iter()
        .map(|(_, reply)| match reply {
            Reply::Sent { seq, .. } => seq.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seqs, (1..=5_000).collect::<Vec<_>>());
    expect_within_budget(&cluster);
}

#[test]
fn a_message_that_is_never_stored_comes_to_a_large_group_a_part_a_turn_and_in_order() {
    let mut cluster = cluster_with(1, fast());
    let names = crowd(&mut cluster, "alice", 2_000);
    (100..).zip(&names).for_each(|(session, name)| cluster.open(session, name));
    cluster.connect(1, "alice");
    cluster.outputs();
    for number in 0..20 {
        let Command::Send(mut send) = to_group(&format!("t{number}"), "crowd", &number.to_string()) else {
            unreachable!("a send")
        };
        let header = crate::model::HeaderFlags { no_persist: true, ..Default::default() };
        send.annotations = Some(Box::new(crate::model::Annotations { header, ..Default::default() }));
        cluster.request(1, "alice", Command::Send(send));
        let cost = cluster.shards[0].cost();
        assert!(cost.effects <= 600 && cost.rows <= 1_100, "{cost:?}");
    }
    while cluster.shards[0].has_more() {
        cluster.input(0, Input::Continued);
        let cost = cluster.shards[0].cost();
        assert!(cost.effects <= 1_100 && cost.rows <= 9_000, "{cost:?}");
    }
    let mut told: std::collections::BTreeMap<UserId, Vec<Vec<u8>>> = Default::default();
    let mut answers = Vec::new();
    for effect in cluster.outputs() {
        match effect {
            Effect::Push { user, event: Event::Transient(message, _), .. } => {
                told.entry(user).or_default().push(message.content.to_vec());
            }
            Effect::Reply { reply, .. } => answers.push(reply),
            _ => {}
        }
    }
    let passed = answers.iter().filter(|reply| matches!(reply, Reply::Sent { .. })).count();
    assert!((10..20).contains(&passed), "beyond its bound a group is refused: {passed}");
    let expected: Vec<Vec<u8>> = (0..passed).map(|number| number.to_string().into_bytes()).collect();
    assert_eq!(told.len(), 2_000);
    assert!(told.values().all(|outputs| *outputs == expected), "each once, in order");
}

#[test]
fn a_user_with_many_watchers_is_told_of_a_part_a_turn_and_they_leave_at_no_cost() {
    let mut cluster = cluster_with(1, Limits { presence_subscribers_max: 10_000, ..fast() });
    let names: Vec<String> = (0..3_000).map(member).collect();
    for (session, name) in (100..).zip(&names) {
        cluster.connect(session, name);
        let watch = crate::model::Presence {
            action: crate::model::PresenceAction::Subscribe,
            users: vec![fixtures::user("star")],
        };
        cluster.request(session, name, Command::Presence(watch));
    }
    cluster.settle_silently();
    cluster.connect(1, "star");
    let told = |cluster: &mut Cluster| {
        let is_told = |effect: &Effect| matches!(effect, Effect::Push { event: Event::Presence(_), .. });
        cluster.outputs().iter().filter(|effect| is_told(effect)).count()
    };
    assert_eq!(told(&mut cluster), 3_000);
    assert!(cluster.shards[0].stats().highest_cost.effects <= 600, "{:?}", cluster.shards[0].stats().highest_cost);
    // It goes, comes and goes before all have been told.
    for session in 2..4 {
        cluster.input(0, Input::Closed { session: SessionId(session - 1) });
        cluster.open(session, "star");
    }
    cluster.settle();
    let last = told(&mut cluster);
    assert!((3_000..9_000).contains(&last), "each hears the last of it: {last}");
    for session in 100..3_100 {
        cluster.input(0, Input::Closed { session: SessionId(session) });
        assert!(cluster.shards[0].cost().rows <= 10);
    }
}

#[test]
fn positions_of_many_devices_are_logged_a_part_a_turn() {
    let mut cluster = cluster_with(1, fast());
    let names = crowd(&mut cluster, "alice", 3_000);
    (100..).zip(&names).for_each(|(session, name)| cluster.open(session, name));
    cluster.settle();
    for (session, name) in (100..).zip(&names) {
        let ack = crate::model::Ack::Through(crate::model::Seq(1));
        cluster.request(session, name, Command::Ack(ack));
    }
    cluster.input(0, Input::Ticked);
    let mut records = cluster.shards[0].cost().records;
    assert!(records <= 1_100 && cluster.shards[0].has_more() && !cluster.shards[0].is_settled(), "{records}");
    while cluster.shards[0].has_more() {
        cluster.input(0, Input::Continued);
        assert!(cluster.shards[0].cost().records <= 1_100);
        records += cluster.shards[0].cost().records;
    }
    assert!(records >= 3_000, "{records}");
}

#[test]
fn who_comes_and_goes_all_the_time_writes_one_record_in_ten_seconds() {
    let mut cluster = cluster_with(1, fast());
    for session in 1..=100 {
        cluster.now = cluster.now.plus(100);
        cluster.connect(session, "alice");
        let before = cluster.shards[0].journal().end();
        cluster.input(0, Input::Closed { session: SessionId(session) });
        let is_written = cluster.shards[0].journal().end() != before;
        assert!(!is_written || session == 1 || session == 100, "session {session}");
    }
}

#[test]
fn a_checkpoint_is_rather_smaller_than_it_is_expected_to_be() {
    let mut cluster = cluster_with(1, fast());
    crowd(&mut cluster, "alice", 1_000);
    cluster.open(1, "alice");
    let content = "x".repeat(500);
    let mut number = 0;
    // Whole segments only are in a checkpoint: what comes behind the last one is little.
    while cluster.shards[0].journal().end().segment() < 3 {
        cluster.request(
            1,
            "alice",
            fixtures::message(&format!("m{number}"), &format!("peer-{}", number % 500), &content),
        );
        cluster.settle();
        number += 1;
    }
    let expected = cluster.shards[0].checkpoint_bytes_about();
    let none: &[&[u8]] = &[];
    let made = checkpoint::survey(&cluster.settings(0), none, cluster.shards[0].journal().storage(), 2);
    let made = made.expect("a sound log").bytes.len() as u64;
    assert!((made..2 * made).contains(&expected), "{made} bytes, expected {expected}");
}

/// Twenty users who are in 500 groups each: a seat is found among all that its user has.
#[test]
fn members_in_very_many_conversations_come_and_go_a_part_a_turn() {
    let mut cluster = cluster_with(1, fast());
    let names: Vec<String> = (0..20).map(member).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for number in 0..500 {
        cluster.order(fixtures::create(&format!("group-{number}"), "alice", &names));
    }
    cluster.settle();
    let order = fixtures::create("crowd", "alice", &names);
    cluster.input(0, Input::Ordered { ticket: Ticket(9), order });
    let mut highest_cost = cluster.shards[0].cost().rows;
    assert!(cluster.shards[0].has_more(), "{highest_cost} rows");
    while cluster.shards[0].has_more() {
        cluster.input(0, Input::Continued);
        highest_cost = highest_cost.max(cluster.shards[0].cost().rows);
        cluster.sync(0);
    }
    assert!(highest_cost <= 9_000, "{highest_cost} of 10,000 rows");
    assert_eq!(cluster.show("crowd").map(|group| group.member_count), Some(21));
    expect_within_budget(&cluster);
}

#[test]
fn a_dissolved_group_s_seats_are_left_a_part_a_turn() {
    let mut cluster = cluster_with(1, fast());
    let names = crowd(&mut cluster, "alice", 5_000);
    cluster.connect(1, &names[4_999]);
    cluster.outputs();
    let order = Order::DissolveGroup { group: GroupId::new("crowd").expect("well formed") };
    cluster.input(0, Input::Ordered { ticket: Ticket(9), order });
    let mut turns = 0;
    let told = |cluster: &mut Cluster| cluster.outputs().iter().any(|effect| matches!(effect, Effect::Push { .. }));
    let mut is_told = false;
    while cluster.shards[0].has_more() {
        assert!(cluster.shards[0].cost().rows <= 2_048, "{:?}", cluster.shards[0].cost());
        cluster.input(0, Input::Continued);
        cluster.sync(0);
        turns += 1;
        is_told |= told(&mut cluster);
    }
    assert!(turns >= 5 && is_told, "{turns} turns");
    assert!(!cluster.shards[0].state.groups.rosters.has_left(), "and their memory is given back");
    cluster.perform(1, &names[4_999], to_group("late", "crowd", "anybody?"));
    assert_eq!(fixtures::refusals(cluster.replies()), [Refusal::ConversationNotExist]);
}

#[test]
fn a_small_group_takes_its_turn_beside_a_large_one_that_was_there_first() {
    let mut cluster = cluster_with(1, fast());
    crowd(&mut cluster, "alice", 5_000);
    cluster.order(fixtures::create("team", "bob", &["carol"]));
    for (session, user) in [(1, "alice"), (2, "bob"), (3, "carol")] {
        cluster.open(session, user);
    }
    cluster.settle_silently();
    for number in 0..5 {
        cluster.request(1, "alice", to_group(&format!("large-{number}"), "crowd", "x"));
    }
    cluster.request(2, "bob", to_group("small", "team", "x"));
    cluster.sync(0);
    cluster.input(0, Input::Continued);
    cluster.sync(0);
    let is_carols = |effect: &Effect| matches!(effect, Effect::Push { user, .. } if user.as_str() == "carol");
    assert!(cluster.outputs().iter().any(is_carols), "it does not wait for 25,000 links");
    assert!(cluster.shards[0].fanning_out() >= 4, "{} of 5 are on their way", cluster.shards[0].fanning_out());
}
