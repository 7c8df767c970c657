//! Users who change groups themselves, on one, two and three shards and over restarts: who may, who is told, what it
//! costs, and that requests wait behind operators' orders.

use crate::model::{
    Answer, Command, Extra, GroupAct, GroupProfile, GroupRequest, JoinPolicy, Limits, Millis, Order, Profile,
    ProfileChange, Refusal, Reply, Role, UserProfile,
};
use crate::shard::replay::checkpoint::survey;
use crate::shard::testing::fixtures::*;
use crate::shard::*;

fn asked(id: &str, act: GroupAct) -> Command {
    Command::Group(Box::new(GroupRequest { group: group(id), act }))
}

fn members(id: &str, add: &[&str], remove: &[&str]) -> Command {
    asked(id, GroupAct::ChangeMembers { add: users(add), remove: users(remove) })
}

fn member(id: &str, of: &str, role: Option<Role>, muted_until: Option<u64>) -> Command {
    asked(id, GroupAct::ChangeMember { member: user(of), role, muted_until: muted_until.map(Millis) })
}

fn renamed(id: &str, name: &str) -> Command {
    let change = ProfileChange { name: Some(name.into()), ..ProfileChange::default() };
    asked(id, GroupAct::ChangeProfile(Box::new(change)))
}

fn policy(id: &str, join: JoinPolicy) -> Command {
    let change = ProfileChange { join: Some(join), ..ProfileChange::default() };
    asked(id, GroupAct::ChangeProfile(Box::new(change)))
}

fn named(name: &str) -> Profile {
    let attributes = Extra::new(vec![("k".into(), "v".repeat(200).into())]);
    Profile { name: name.into(), avatar: "a.png".into(), attributes }
}

const NO: Option<Refusal> = Some(Refusal::PermissionDenied);

impl Cluster {
    fn answer(&mut self, who: &str, command: Command) -> Option<Refusal> {
        match self.ask(who, command) {
            Reply::Done => None,
            Reply::Refused(refused) => Some(refused.refusal),
            other => panic!("a change is done or refused, not {other:?}"),
        }
    }

    fn roles(&mut self, id: &str) -> Vec<(String, Role)> {
        let state = self.show(id).expect("it is there");
        state.members.into_iter().map(|member| (member.user.to_string(), member.role)).collect()
    }
}

#[test]
fn owner_and_admins_change_the_group_and_everybody_is_told_by_whom() {
    for shards in 1..=3 {
        let mut cluster = Cluster::new(shards, Windows::default());
        cluster.order(create("g", "alice", &["bob", "carol"]));
        assert_eq!(cluster.answer("alice", member("g", "bob", Some(Role::Admin), None)), None);
        assert_eq!(cluster.answer("bob", members("g", &["dave", "erin"], &[])), None);
        assert_eq!(cluster.answer("bob", renamed("g", "Crew")), None);
        assert_eq!(cluster.answer("bob", members("g", &[], &["erin"])), None);
        assert_eq!(cluster.answer("carol", members("g", &[], &["carol"])), None, "who leaves removes itself");
        for _ in 0..2 {
            let all = ["created alice bob carol", "changed bob", "added dave erin", "profile Crew", "removed erin"];
            let inbox = cluster.inbox("dave");
            assert_eq!(told(&inbox), [&all[2..], &["removed carol"]].concat());
            let authors: Vec<&str> = inbox.iter().map(|entry| entry.message.author.as_str()).collect();
            assert_eq!(authors, ["bob", "bob", "bob", "carol"]);
            assert_eq!(told(&cluster.inbox("erin")), all[2..]);
            assert_eq!(cluster.show("g").expect("it is there").profile.about.name, "Crew");
            cluster = cluster.restart(Windows::default());
        }
        assert_eq!(cluster.answer("alice", member("g", "dave", Some(Role::Owner), None)), None);
        assert_eq!(cluster.answer("alice", asked("g", GroupAct::Dissolve)), NO, "it is another's now");
        let owned = [("alice", Role::Admin), ("bob", Role::Admin), ("dave", Role::Owner)];
        assert_eq!(cluster.roles("g"), owned.map(|(id, role)| (id.to_owned(), role)));
        assert_eq!(cluster.answer("dave", asked("g", GroupAct::Dissolve)), None);
        assert_eq!(cluster.show("g"), None);
        assert_eq!(cluster.answer("dave", renamed("g", "Gone")), Some(Refusal::ConversationNotExist));
    }
}

#[test]
fn who_may_not_changes_nothing() {
    for shards in 1..=2 {
        let mut cluster = Cluster::new(shards, Windows::default());
        cluster.order(create("g", "alice", &["bob", "carol", "dave"]));
        cluster.answer("alice", member("g", "bob", Some(Role::Admin), None));
        cluster.answer("alice", member("g", "dave", Some(Role::Admin), None));
        let before = cluster.show("g");
        let stays = Some(Refusal::InvalidParam);
        for (who, command, expected) in [
            ("carol", members("g", &["erin"], &[]), NO),
            ("carol", members("g", &[], &["bob"]), NO),
            ("carol", renamed("g", "Mine"), NO),
            ("carol", member("g", "carol", Some(Role::Owner), None), NO),
            ("carol", asked("g", GroupAct::Dissolve), NO),
            ("bob", members("g", &[], &["dave"]), NO),
            ("bob", members("g", &["erin"], &["carol", "dave"]), NO),
            ("bob", member("g", "dave", None, Some(9)), NO),
            ("bob", member("g", "carol", Some(Role::Admin), None), NO),
            ("bob", asked("g", GroupAct::Dissolve), NO),
            ("bob", members("g", &["erin"], &["bob"]), stays),
            ("alice", members("g", &[], &["alice"]), stays),
            ("alice", member("g", "alice", Some(Role::Admin), None), stays),
            ("alice", member("g", "zoe", None, Some(9)), Some(Refusal::UserNotExist)),
            ("zoe", members("g", &["zoe"], &[]), NO),
            ("zoe", members("g", &[], &["zoe"]), NO),
            ("zoe", member("g", "zoe", None, Some(9)), NO),
            ("zoe", asked("g", GroupAct::Join), NO),
            ("zoe", members("nowhere", &["zoe"], &[]), Some(Refusal::ConversationNotExist)),
        ] {
            let what = format!("{who}: {command:?}");
            assert_eq!(cluster.answer(who, command), expected, "{what}");
        }
        assert_eq!(cluster.show("g"), before);
        let show = || asked("g", GroupAct::Show { after: None, limit: 10 });
        assert_eq!(refusal(&cluster.ask("zoe", show())), NO);
        assert!(matches!(cluster.ask("carol", show()), Reply::Group(state) if Some(&*state) == before.as_ref()));
    }
}

#[test]
fn members_are_shown_a_page_at_a_time() {
    let mut cluster = Cluster::new(2, Windows::default());
    let ids: Vec<String> = (0..450).map(|number| format!("member-{number:03}")).collect();
    cluster.order(create("g", "member-000", &ids.iter().map(String::as_str).collect::<Vec<_>>()));
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let act = GroupAct::Show { after: after.clone(), limit: 1_000 };
        let Reply::Group(state) = cluster.ask("member-007", asked("g", act)) else { panic!("a group") };
        assert_eq!((state.member_count, state.members.len() <= GroupRequest::SHOWN_MEMBERS_MAX), (450, true));
        let Some(last) = state.members.last() else { break };
        after = Some(last.user.clone());
        seen.extend(state.members.into_iter().map(|member| member.user.to_string()));
    }
    assert_eq!(seen, ids);
}

#[test]
fn everybody_joins_an_open_group_and_nobody_a_closed_one() {
    for shards in 1..=2 {
        let mut cluster = Cluster::new(shards, Windows::default());
        cluster.order(create("g", "alice", &[]));
        assert_eq!(cluster.answer("bob", asked("g", GroupAct::Join)), NO);
        assert_eq!(cluster.answer("alice", policy("g", JoinPolicy::Open)), None);
        let mut cluster = cluster.restart(Windows::default());
        for _ in 0..2 {
            assert_eq!(cluster.answer("bob", asked("g", GroupAct::Join)), None, "again: it is in");
        }
        assert_eq!(told(&cluster.inbox("bob")), ["added bob"]);
        assert_eq!(cluster.answer("alice", policy("g", JoinPolicy::Closed)), None);
        assert_eq!(cluster.answer("carol", asked("g", GroupAct::Join)), NO);
        assert_eq!(cluster.roles("g").len(), 2);
    }
}

#[test]
fn a_group_has_as_many_members_as_it_may_and_a_refusal_changes_nothing() {
    let limits = Limits { group_members_max: 3, ..Limits::default() };
    let disks = (0..2).map(|_| crate::log::MemoryStorage::new(1 << 20, 8)).collect();
    let mut cluster = Cluster::start(Windows::default(), limits, disks, vec![Vec::new(); 2], NOW);
    cluster.settle();
    let full = Some(Refusal::GroupFull);
    let refused = |answer: Answer| match answer {
        Answer::Refused(refused) => Some(refused.refusal),
        _ => None,
    };
    assert_eq!(refused(cluster.order(create("large", "alice", &["b", "c", "d"]))), full);
    assert_eq!(cluster.show("large"), None);
    assert_eq!(refused(cluster.order(create("g", "alice", &["bob", "carol"]))), None);
    assert_eq!(refused(cluster.order(change("g", &["dave"], &[]))), full);
    assert_eq!(refused(cluster.order(change("g", &["dave", "erin"], &["bob"]))), full);
    assert_eq!(cluster.answer("alice", members("g", &["dave"], &[])), full);
    assert_eq!(cluster.answer("alice", members("g", &["bob"], &[])), None, "who is in takes no place");
    assert_eq!(cluster.answer("alice", policy("g", JoinPolicy::Open)), None);
    assert_eq!(cluster.answer("dave", asked("g", GroupAct::Join)), full);
    let ids: Vec<String> = cluster.roles("g").into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["alice", "bob", "carol"]);
    assert_eq!(cluster.answer("alice", members("g", &["dave"], &["bob"])), None, "one for another");
}

#[test]
fn a_request_waits_behind_the_orders_that_came_before_it() {
    let mut cluster = Cluster::new(1, Windows::default());
    cluster.order(create("g", "alice", &["bob"]));
    cluster.connect(1, "alice");
    cluster.outputs();
    let many: Vec<String> = (0..2_000).map(|number| format!("m{number:04}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    cluster.input(0, Input::Ordered { ticket: Ticket(77), order: change("g", &many, &[]) });
    cluster.request(1, "alice", members("g", &[], &["m0007"]));
    cluster.request(1, "alice", renamed("g", "Crowd"));
    assert!(cluster.outputs().is_empty(), "neither is done yet");
    cluster.settle();
    let effects = cluster.outputs();
    let answered = |wanted: &Effect| effects.iter().position(|effect| effect == wanted).expect("it is answered");
    let order = answered(&Effect::answer(Ticket(77), Answer::Done));
    let replies = effects.iter().filter(|effect| matches!(effect, Effect::Reply { reply: Reply::Done, .. })).count();
    assert_eq!(replies, 2);
    assert!(effects[order..].iter().any(|effect| matches!(effect, Effect::Reply { .. })));
    let state = cluster.show("g").expect("it is there");
    assert_eq!((state.member_count, &*state.profile.about.name), (2_001, "Crowd"));
}

#[test]
fn a_change_costs_what_a_message_costs_and_who_is_added_what_a_conversation_costs() {
    let limits = Limits { sends_per_second: 1, sends_burst: 5, new_conversations_per_day: 10, ..Limits::default() };
    let disks = vec![crate::log::MemoryStorage::new(1 << 20, 64)];
    let mut cluster = Cluster::start(Windows::default(), limits, disks, vec![Vec::new()], NOW);
    cluster.settle();
    cluster.order(create("g", "alice", &[]));
    let ten: Vec<String> = (0..10).map(|number| format!("m{number}")).collect();
    let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
    assert_eq!(cluster.answer("alice", members("g", &ten, &[])), None);
    assert_eq!(cluster.answer("alice", members("g", &["one-more"], &[])), Some(Refusal::TooManyConversations));
    for number in 0..3 {
        assert_eq!(cluster.answer("alice", renamed("g", &format!("name {number}"))), None);
    }
    assert_eq!(cluster.answer("alice", renamed("g", "one more")), Some(Refusal::SendTooFast));
    let long = "x".repeat(3_000);
    assert_eq!(cluster.answer("m1", renamed("g", &long)), NO, "and who may not pays as well");
}

#[test]
fn profiles_outlive_restarts_and_checkpoints_and_end_with_their_group() {
    for shards in 1..=2_usize {
        let disks = (0..shards).map(|_| crate::log::MemoryStorage::new(4 << 10, 64)).collect();
        let mut cluster = Cluster::on(Windows::default(), disks);
        cluster.order(create("g", "alice", &["bob"]));
        cluster.order(create("plain", "alice", &[]));
        let change = ProfileChange {
            name: Some("Team".into()),
            avatar: Some("a.png".into()),
            attributes: Some(named("").attributes),
            join: Some(JoinPolicy::Open),
        };
        let order = Order::ChangeProfile { group: group("g"), change: Box::new(change) };
        assert_eq!(cluster.order(order.clone()), Answer::Done);
        assert_eq!(cluster.order(order), Answer::Unchanged);
        let set = |profile: Profile| Order::SetProfile { user: user("bob"), profile: Box::new(profile) };
        assert_eq!(cluster.order(set(named("Bob"))), Answer::Done);
        assert_eq!(cluster.order(set(named("Bob"))), Answer::Unchanged);
        for number in 0..20 {
            cluster.ask("alice", message(&format!("m{number}"), "bob", &"x".repeat(1_000)));
        }
        let mut checkpoints = Vec::new();
        for me in 0..shards {
            cluster.sync(me);
            let journal = cluster.shards[me].journal();
            let through = journal.end().segment() - 1;
            assert!(through > journal.segments().start, "the profiles are in segments that are full");
            let made = survey(&cluster.settings(me), &Vec::<Vec<u8>>::new(), journal.storage(), through);
            checkpoints.push(vec![made.expect("it is sound").bytes]);
        }
        let disks = cluster.take_disks();
        let mut cluster = Cluster::start(Windows::default(), Limits::default(), disks, checkpoints, NOW);
        cluster.settle();
        let expected = GroupProfile { about: named("Team"), join: JoinPolicy::Open };
        assert_eq!(cluster.show("g").expect("it is there").profile, expected);
        assert_eq!(cluster.show("plain").expect("it is there").profile, GroupProfile::default());
        let shown = Reply::Profile(Box::new(UserProfile { user: user("bob"), profile: named("Bob") }));
        assert_eq!(cluster.ask("alice", Command::ShowProfile(user("bob"))), shown);
        cluster.order(Order::DissolveGroup { group: group("g") });
        cluster.order(create("g", "carol", &[]));
        assert_eq!(cluster.show("g").expect("it is there").profile, GroupProfile::default(), "it is another group");
        assert_eq!(cluster.order(set(Profile::default())), Answer::Done);
        let rows = cluster.shards.iter().map(|shard| shard.state.tables.profiles.bytes()).sum::<u64>();
        assert_eq!(rows, 0, "an empty profile takes no memory");
    }
}

#[test]
fn a_profile_is_ones_own_and_who_is_blocked_does_not_see_it() {
    for (shards, (one, other)) in [(1, (ALICE, BOB)), (2, (ALICE, BOB)), (2, (BOB, ALICE))] {
        let mut cluster = Cluster::new(shards, Windows::default());
        let show = |of: &str| Command::ShowProfile(user(of));
        let shown = |of: &str, profile: Profile| Reply::Profile(Box::new(UserProfile { user: user(of), profile }));
        assert_eq!(cluster.answer(one, Command::SetProfile(Box::new(named("One")))), None);
        assert_eq!(cluster.ask(other, show(one)), shown(one, named("One")));
        assert_eq!(cluster.ask(one, show(one)), shown(one, named("One")));
        assert_eq!(cluster.ask(other, show("nobody")), shown("nobody", Profile::default()));
        let state = crate::model::BlockState::Blocked;
        cluster.order(Order::Block { by: user(one), other: user(other), state });
        assert_eq!(refusal(&cluster.ask(other, show(one))), NO);
        assert_eq!(cluster.ask(one, show(other)), shown(other, Profile::default()), "the blocker sees the other");
    }
}
