//! Large work is done in parts: no input costs more than its budget (`Cluster::input` checks every one), and all work
//! is completed in the end.

use crate::log::MemoryStorage;
use crate::model::{
    Annotations, Answer, Command, Conversations, Limits, Order, Recipient, Reply, Seq, SessionId, Sync, SyncDirection,
    UserId,
};
use crate::shard::testing::fixtures::{self, Cluster, group, in_group, message, send_to, user};
use crate::shard::*;

/// A cluster with high rates and large limits.
fn cluster_of(shards: u16) -> Cluster {
    let limits = Limits { sends_per_second: 1_000_000, sends_burst: 1_000_000, ..Limits::default() };
    let disks: Vec<_> = (0..shards).map(|_| MemoryStorage::new(1 << 20, 1_000)).collect();
    let none = disks.iter().map(|_| Vec::new()).collect();
    let mut cluster = Cluster::start(Windows::default(), limits, disks, none, fixtures::NOW);
    cluster.settle();
    cluster
}

/// Runs until nothing is left to do. Returns the highest cost of an input in each dimension.
fn settle(cluster: &mut Cluster) -> Cost {
    cluster.highest_cost = Cost::default();
    cluster.settle();
    cluster.highest_cost
}

fn members(from: usize, count: usize) -> Vec<UserId> {
    (from..from + count).map(|number| user(&format!("member-{number:05}"))).collect()
}

fn change(add: Vec<UserId>, remove: Vec<UserId>) -> Order {
    Order::ChangeMembers { group: group("crowd"), add, remove }
}

#[test]
fn thousands_join_and_leave_a_group_a_part_a_turn() {
    let mut cluster = cluster_of(2);
    let count = Order::MEMBERS_MAX;
    let create = Order::CreateGroup { group: group("crowd"), owner: user("alice"), members: members(0, count) };
    cluster.highest_cost = Cost::default();
    assert_eq!(cluster.order(create.clone()), Answer::Done);
    assert_eq!(cluster.order(create), Answer::Unchanged);
    // Half of those whom each list names are members already, or none.
    let steps = [
        (change(members(count / 2, count), Vec::new()), count + count / 2),
        (change(Vec::new(), members(count, count)), count),
        (change(members(2 * count, count), members(count / 2, count)), count + count / 2),
    ];
    for (order, expected) in steps {
        assert_eq!(cluster.order(order.clone()), Answer::Done);
        assert_eq!(cluster.show("crowd").map(|group| group.member_count), Some(expected as u64 + 1));
        assert_eq!(cluster.order(order), Answer::Unchanged, "said twice");
    }
    let rows = cluster.highest_cost.rows;
    assert!(rows <= 4_000, "{rows} rows in one input");
    let expected = members(0, count / 2).into_iter().chain(members(2 * count, count));
    for member in expected.step_by(700) {
        let said = cluster.say_in(member.as_str(), &format!("of {member}"), "crowd");
        assert!(matches!(said, Reply::Sent { .. }), "{member}: {said:?}");
    }
    for stranger in members(count / 2, count).into_iter().step_by(700) {
        let said = cluster.say_in(stranger.as_str(), "let me in", "crowd");
        assert_eq!(fixtures::refusal(&said), Some(crate::model::Refusal::PermissionDenied), "{stranger}");
    }
}

#[test]
fn orders_about_groups_are_carried_out_in_their_order_and_others_do_not_wait() {
    let mut cluster = cluster_of(1);
    let create = |id: &str| fixtures::create(id, "alice", &["bob"]);
    cluster.order(create("crowd"));
    let mut tell = |number, order| cluster.input(0, Input::Ordered { ticket: Ticket(number), order });
    tell(101, change(members(0, 2_000), Vec::new()));
    tell(102, change(Vec::new(), members(0, 1)));
    tell(103, change(members(0, 1), Vec::new()));
    tell(104, Order::DissolveGroup { group: group("crowd") });
    tell(105, create("crowd"));
    tell(106, Order::ShowUser { user: user("bob") });
    cluster.settle();
    let answers: Vec<(u64, bool)> = cluster
        .outputs()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::External(ExternalEffect::Answer { ticket, answer }) => {
                Some((ticket.0, matches!(answer, Answer::Refused(_))))
            }
            _ => None,
        })
        .collect();
    assert_eq!(answers, [106, 101, 102, 103, 104, 105].map(|ticket| (ticket, false)));
    assert_eq!(cluster.show("crowd").map(|group| group.member_count), Some(2), "made anew");
}

#[test]
fn sessions_that_come_within_one_sync_are_answered_a_part_a_turn() {
    let mut cluster = cluster_of(1);
    cluster.connect(1, "star");
    let name = |number: usize| format!("user-{number}");
    let expiring = Annotations { expire_s: 1, ..Annotations::default() };
    let write = |cluster: &mut Cluster, what: &str, notes: Option<&Annotations>| {
        for number in 0..100 {
            let mut send = send_to(&format!("{what}-{number}"), Recipient::User(user(&name(number))), "x");
            send.annotations = notes.cloned().map(Box::new);
            cluster.request(1, "star", Command::Send(send));
        }
    };
    for round in 0..100 {
        write(&mut cluster, &round.to_string(), Some(&expiring));
        cluster.settle();
    }
    cluster.now = cluster.now.plus(2_000);
    write(&mut cluster, "awaited", None);
    cluster.outputs();
    for number in 0..100 {
        cluster.open_behind(1_000 + number as u64, &name(number));
    }
    let highest_cost = settle(&mut cluster);
    assert!(highest_cost.records <= 2_000, "{highest_cost:?}");
    let pushed = cluster.outputs().into_iter().filter(|effect| matches!(effect, Effect::Push { .. })).count();
    assert_eq!(pushed, 100, "each is pushed the one that is shown");
}

#[test]
fn sessions_that_waited_for_a_window_go_on_a_part_a_turn() {
    let mut cluster = cluster_of(2);
    let peers = cluster.home("aaron");
    let authors: Vec<String> =
        (0..).map(|n| format!("author-{n}")).filter(|name| cluster.home(name) != peers).take(1_500).collect();
    for (session, author) in (1..).zip(&authors) {
        cluster.open(session, author);
    }
    cluster.settle_silently();
    let large = "x".repeat(64 << 10);
    for (n, (session, author)) in (1..).zip(&authors).enumerate() {
        // A few fill the window, and leave together.
        cluster.request(session, author, message("one", "aaron", if n < 64 { &large } else { "x" }));
    }
    let highest_cost = settle(&mut cluster);
    assert!(highest_cost.effects <= 1_200, "{highest_cost:?}");
    assert_eq!(cluster.replies().len(), authors.len(), "every one is answered");
}

#[test]
fn what_is_large_is_passed_over_a_part_a_turn() {
    let mut cluster = cluster_of(1);
    cluster.connect(1, "bob");
    let large = "x".repeat(60 << 10);
    for number in 0..200 {
        let mut send = send_to(&format!("m{number}"), Recipient::User(user("alice")), &large);
        send.annotations = Some(Box::new(Annotations { expire_s: 1, ..Annotations::default() }));
        cluster.perform(1, "bob", Command::Send(send));
    }
    cluster.now = cluster.now.plus(2_000);
    cluster.request(1, "bob", message("shown", "alice", "x"));
    cluster.settle_silently();
    cluster.highest_cost = Cost::default();
    let page = cluster.ask("alice", Command::Sync(Sync { direction: SyncDirection::After(Seq(0)), limit: 1 }));
    let Reply::Synced { entries, .. } = page else { panic!("{page:?}") };
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [Seq(201)]);
    cluster.open_behind(2, "alice");
    cluster.settle();
    let highest_cost = cluster.highest_cost;
    assert!(highest_cost.bytes <= 2 << 20, "{highest_cost:?}");
    let pushed = cluster.outputs().into_iter().filter(|effect| matches!(effect, Effect::Push { .. })).count();
    assert_eq!(pushed, 1, "the backlog goes on to what is shown");
}

#[test]
fn very_many_conversations_are_listed_a_part_a_turn() {
    let mut cluster = cluster_of(1);
    let count = 9_000;
    cluster.connect(1, "star");
    for number in 0..count {
        cluster.request(1, "star", message(&format!("m{number}"), &format!("peer-{number}"), "x"));
        if number % 100 == 0 {
            cluster.settle();
        }
    }
    cluster.settle_silently();
    cluster.highest_cost = Cost::default();
    let mut before = Seq(0);
    for page in 0..3 {
        cluster.request(1, "star", Command::Conversations(Conversations { before, limit: 100 }));
        let outputs = cluster.outputs();
        assert_eq!(outputs, [Effect::Pause { session: SessionId(1) }], "it goes on in later turns");
        // What comes meanwhile is not in the answer.
        cluster.perform(1, "star", message(&format!("late-{page}"), "late", "x"));
        let outputs = cluster.outputs();
        assert!(outputs.contains(&Effect::Resume { session: SessionId(1) }), "{outputs:?}");
        let rows = outputs.into_iter().find_map(|effect| match effect {
            Effect::Reply { reply: Reply::Conversations { rows, has_more }, .. } => Some((rows, has_more)),
            _ => None,
        });
        let Some((rows, true)) = rows else { panic!("{rows:?}") };
        before = rows.last().expect("a page of them").last_seq;
        let seqs: Vec<u64> = rows.iter().map(|row| row.last_seq.0).collect();
        let newest = count - 100 * page;
        assert_eq!(seqs, (newest - 99..=newest).rev().collect::<Vec<_>>());
    }
    let highest_cost = cluster.highest_cost;
    assert!(highest_cost.rows <= 9_000, "{highest_cost:?}");
}

#[test]
fn a_notice_goes_through_the_seats_of_all_who_have_left_a_part_a_turn() {
    let mut cluster = cluster_of(1);
    let create = Order::CreateGroup { group: group("crowd"), owner: user("alice"), members: members(0, 4_000) };
    cluster.order(create);
    cluster.order(change(Vec::new(), members(0, 3_990)));
    cluster.open(1, "alice");
    for (session, member) in (2..).zip(members(3_980, 20)) {
        cluster.open(session, member.as_str());
    }
    cluster.settle_silently();
    cluster.highest_cost = Cost::default();
    let typing = crate::model::Typing { conversation: in_group("crowd"), status: 1 };
    cluster.request(1, "alice", Command::Typing(typing));
    assert!(cluster.highest_cost.rows <= 600, "{:?}", cluster.highest_cost);
    cluster.settle();
    let told: Vec<SessionId> = cluster
        .outputs()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Push { sessions, event: crate::model::Event::Typing(_), .. } => Some(sessions),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(told, (12..22).map(SessionId).collect::<Vec<_>>(), "those who are in it");
}
