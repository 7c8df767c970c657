//! Nobody is added beyond its limit, and no stranger to a closed directory: by every way in, on one, two and three
//! shards.

use crate::model::{
    Answer, Command, Directory, GroupAct, GroupRequest, JoinPolicy, JoinVerdict, Limits, Order, ProfileChange, Refusal,
    Reply, ShardId,
};
use crate::shard::testing::fixtures::*;
use crate::shard::*;

const FULL: Option<Refusal> = Some(Refusal::TooManyGroups);
const UNKNOWN: Option<Refusal> = Some(Refusal::UserNotExist);

fn asked(id: &str, act: GroupAct) -> Command {
    Command::Group(Box::new(GroupRequest { group: group(id), act }))
}

fn add(id: &str, whom: &[&str]) -> Command {
    asked(id, GroupAct::ChangeMembers { add: users(whom), remove: Vec::new() })
}

fn remove(id: &str, whom: &[&str]) -> Command {
    asked(id, GroupAct::ChangeMembers { add: Vec::new(), remove: users(whom) })
}

fn policy(id: &str, join: JoinPolicy) -> Command {
    let change = ProfileChange { join: Some(join), ..ProfileChange::default() };
    asked(id, GroupAct::ChangeProfile(Box::new(change)))
}

fn approve(id: &str, of: &str) -> Command {
    asked(id, GroupAct::AnswerRequest { user: user(of), verdict: JoinVerdict::Approve })
}

impl Cluster {
    fn within(shards: usize, groups_per_user_max: usize) -> Self {
        let limits = Limits { groups_per_user_max, ..Limits::default() };
        let disks = (0..shards).map(|_| crate::log::MemoryStorage::new(1 << 20, 16)).collect();
        let mut cluster = Self::start(Windows::default(), limits, disks, vec![Vec::new(); shards], NOW);
        cluster.settle();
        cluster
    }

    fn done(&mut self, who: &str, command: Command) -> Option<Refusal> {
        match self.ask(who, command) {
            Reply::Done => None,
            Reply::Refused(refused) => Some(refused.refusal),
            other => panic!("it is done or refused, not {other:?}"),
        }
    }

    fn ordered_to(&mut self, order: Order) -> Option<Refusal> {
        match self.order(order) {
            Answer::Refused(refused) => Some(refused.refusal),
            _ => None,
        }
    }

    fn count(&mut self, id: &str) -> Option<u64> {
        self.show(id).map(|state| state.member_count)
    }
}

#[test]
fn nobody_becomes_a_member_of_more_groups_than_it_may_by_any_way() {
    for shards in 1..=3 {
        let mut cluster = Cluster::within(shards, 2);
        for id in ["a", "b"] {
            assert_eq!(cluster.ordered_to(create(id, "alice", &["bob"])), None);
        }
        assert_eq!(cluster.ordered_to(create("c", "alice", &[])), FULL, "not even by the operator");
        assert_eq!(cluster.ordered_to(create("c", "carol", &["bob"])), FULL);
        assert_eq!(cluster.count("c"), None);
        assert_eq!(cluster.ordered_to(create("c", "carol", &["dave"])), None);
        assert_eq!(cluster.ordered_to(change("c", &["erin", "bob"], &[])), FULL);
        assert_eq!(cluster.done("carol", add("c", &["erin", "bob"])), FULL);
        assert_eq!(cluster.done("carol", policy("c", JoinPolicy::Open)), None);
        assert_eq!(cluster.done("bob", asked("c", GroupAct::Join)), FULL);
        assert_eq!(cluster.done("carol", policy("c", JoinPolicy::Request)), None);
        assert_eq!(cluster.done("bob", asked("c", GroupAct::Join)), None, "asking is no membership");
        assert_eq!(cluster.done("carol", approve("c", "bob")), FULL);
        assert_eq!(cluster.count("c"), Some(2), "no refusal has changed anything");
        // Whoever is in stays, and is passed over.
        assert_eq!(cluster.ordered_to(change("a", &["bob"], &[])), None);
        assert_eq!(cluster.done("alice", add("a", &["bob"])), None);
        let mut cluster = cluster.restart(Windows::default());
        assert_eq!(cluster.done("bob", remove("a", &["bob"])), None);
        assert_eq!(cluster.done("carol", approve("c", "bob")), None, "it has room again");
    }
}

#[test]
fn who_leaves_or_whose_group_ends_may_join_another_also_after_a_checkpoint() {
    for shards in 1..=2 {
        let mut cluster = Cluster::within(shards, 2);
        for (id, owner) in [("a", "alice"), ("b", "alice"), ("c", "carol"), ("d", "carol"), ("e", "erin")] {
            cluster.order(create(id, owner, &[]));
            assert_eq!(cluster.done(owner, policy(id, JoinPolicy::Open)), None);
        }
        let join = |id: &str| asked(id, GroupAct::Join);
        for _round in 0..3 {
            assert_eq!((cluster.done("bob", join("a")), cluster.done("bob", join("c"))), (None, None));
            assert_eq!(cluster.done("bob", join("e")), FULL);
            assert_eq!(cluster.done("bob", remove("a", &["bob"])), None);
            assert_eq!(cluster.done("bob", join("e")), None);
            assert_eq!(cluster.done("bob", join("a")), FULL);
            assert_eq!(
                (cluster.done("bob", remove("e", &["bob"])), cluster.done("bob", remove("c", &["bob"]))),
                (None, None)
            );
        }
        assert_eq!((cluster.done("bob", join("d")), cluster.done("bob", join("e"))), (None, None));
        assert_eq!(cluster.done("carol", asked("d", GroupAct::Dissolve)), None);
        assert_eq!(cluster.done("bob", join("b")), None);
        let counted = |cluster: &Cluster| {
            let tables = &cluster.shards[cluster.home("bob")].state.tables.inboxes;
            tables.groups_of(tables.find(&user("bob")).expect("it is here"))
        };
        assert_eq!(counted(&cluster), 2);
        let home = cluster.home("bob");
        cluster.sync(home);
        let cluster = cluster.restart(Windows::default());
        assert_eq!(counted(&cluster), 2);
    }
}

#[test]
fn groups_that_add_a_user_at_once_do_not_exceed_its_limit() {
    for shards in 2..=3 {
        let mut cluster = Cluster::within(shards, 3);
        let ids: Vec<String> = (0..12).map(|number| format!("g{number}")).collect();
        for (number, id) in ids.iter().enumerate() {
            cluster.order(create(id, &format!("owner{number}"), &[]));
        }
        for (ticket, id) in (100..).zip(&ids) {
            let order = change(id, &["bob"], &[]);
            let me = cluster.addressee(&order);
            cluster.input(me, Input::Ordered { ticket: Ticket(ticket), order });
        }
        cluster.settle();
        let done =
            |effect: &Effect| matches!(effect, Effect::External(ExternalEffect::Answer { answer: Answer::Done, .. }));
        assert_eq!(cluster.outputs().iter().filter(|effect| done(effect)).count(), 3);
        let member_of = ids.iter().filter(|id| cluster.count(id) == Some(2)).count();
        assert_eq!(member_of, 3);
    }
}

#[test]
fn an_order_that_adds_thousands_asks_for_them_a_part_at_a_time() {
    for shards in 1..=3 {
        let mut cluster = Cluster::within(shards, 2);
        cluster.order(create("g", "alice", &[]));
        let many: Vec<String> = (0..3_000).map(|number| format!("m{number:04}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(cluster.ordered_to(change("g", &many, &[])), None);
        assert_eq!(cluster.count("g"), Some(3_001));
        assert_eq!(cluster.ordered_to(create("h", "alice", &many)), None);
        assert_eq!(cluster.ordered_to(create("i", "zoe", &many[2_999..])), FULL);
    }
}

#[test]
fn strangers_to_a_closed_directory_and_the_erased_are_added_by_nobody() {
    for shards in 1..=3 {
        let disks: Vec<_> = (0..shards).map(|_| crate::log::MemoryStorage::new(1 << 20, 16)).collect();
        let count = disks.len();
        let mut closed = settings(0, 1, Windows::default(), Limits::default());
        closed.policies.directory = Directory::Closed;
        let mut cluster = Cluster::start_with(closed, disks, vec![Vec::new(); count], NOW);
        cluster.settle();
        for known in ["alice", "bob", "carol"] {
            cluster.order(Order::KnowUser { user: user(known) });
        }
        assert_eq!(cluster.ordered_to(create("g", "nobody", &["bob"])), UNKNOWN);
        assert_eq!(cluster.ordered_to(create("g", "alice", &["bob", "nobody"])), UNKNOWN);
        assert_eq!(cluster.ordered_to(create("g", "alice", &["bob"])), None);
        assert_eq!(cluster.ordered_to(change("g", &["nobody"], &[])), UNKNOWN);
        assert_eq!(cluster.done("alice", add("g", &["carol", "nobody"])), UNKNOWN);
        assert_eq!(cluster.count("g"), Some(2));
        assert_eq!(cluster.done("alice", policy("g", JoinPolicy::Request)), None);
        assert_eq!(cluster.done("carol", asked("g", GroupAct::Join)), None);
        for shard in 0..count {
            let shard = ShardId(shard as u16);
            let order = Order::EraseUser { shard, user: user("carol") };
            cluster.input(usize::from(shard.0), Input::Ordered { ticket: Ticket(7), order });
        }
        cluster.settle();
        assert_eq!(cluster.done("alice", approve("g", "carol")), UNKNOWN, "who has asked and was erased");
        assert_eq!(cluster.ordered_to(change("g", &["carol"], &[])), UNKNOWN);
        assert_eq!(cluster.count("g"), Some(2));
    }
}

#[test]
fn nobody_is_asked_about_members_of_a_change_that_may_not_begin() {
    let mut cluster = Cluster::within(2, 1);
    assert_eq!(cluster.ordered_to(create("a", "alice", &["bob"])), None);
    let many: Vec<String> = (0..600).map(|number| format!("u{number}")).collect();
    let added: Vec<&str> = many.iter().map(String::as_str).chain(["bob"]).collect();
    assert_eq!(cluster.ordered_to(change("nowhere", &added, &[])), Some(Refusal::ConversationNotExist));
    let granted =
        |cluster: &Cluster| cluster.shards.iter().all(|shard| shard.state.peers.admissions.granted.is_empty());
    assert!(granted(&cluster), "no place is held for it");
}
