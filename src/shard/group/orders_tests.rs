//! Groups: who is told what, in inbox and history alike, on one, two and three shards and over restarts.

use crate::log::MemoryStorage;
use crate::log::fixtures::Chance;
use crate::model::{
    Annotations, Answer, BlockState, Command, Event, HeaderFlags, Order, Recipient, Refusal, Reply, Role, Send, Typing,
    UserId,
};
use crate::shard::replay::checkpoint::survey;
use crate::shard::testing::fixtures::*;
use crate::shard::*;

fn on_each(shards: impl IntoIterator<Item = u16>, test: impl Fn(Cluster)) {
    shards.into_iter().for_each(|shards| test(Cluster::new(shards, Windows::default())));
}

#[test]
fn a_member_sees_what_is_said_from_its_joining_to_its_removal() {
    on_each(1..=3, |mut cluster| {
        assert_eq!(cluster.order(create("g", "alice", &["bob"])), Answer::Done);
        cluster.say_in("alice", "one", "g");
        assert_eq!(cluster.order(change("g", &["carol"], &[])), Answer::Done);
        cluster.say_in("bob", "two", "g");
        assert_eq!(cluster.order(change("g", &[], &["carol"])), Answer::Done);
        cluster.say_in("bob", "three", "g");
        for _ in 0..2 {
            let all = ["created alice bob", "one", "added carol", "two", "removed carol", "three"];
            assert_eq!(told(&cluster.inbox("alice")), all);
            assert_eq!(told(&cluster.inbox("bob")), all);
            assert_eq!(told(&cluster.inbox("carol")), all[2..5]);
            for (who, seen) in [("alice", &all[..]), ("carol", &all[2..5])] {
                assert_eq!(told(&cluster.history(who, &in_group("g"), 2)), seen);
            }
            assert_eq!(refusal(&cluster.say_in("carol", "no", "g")), Some(Refusal::PermissionDenied));
            cluster = cluster.restart(Windows::default());
        }
    });
}

#[test]
fn who_comes_back_keeps_its_inbox_and_begins_a_new_history() {
    on_each(1..=3, |mut cluster| {
        cluster.order(create("g", "alice", &["bob"]));
        cluster.say_in("alice", "one", "g");
        cluster.order(change("g", &[], &["bob"]));
        cluster.say_in("alice", "between", "g");
        cluster.order(change("g", &["bob"], &[]));
        cluster.say_in("alice", "two", "g");
        for _ in 0..2 {
            let inbox = ["created alice bob", "one", "removed bob", "added bob", "two"];
            assert_eq!(told(&cluster.inbox("bob")), inbox);
            assert_eq!(told(&cluster.history("bob", &in_group("g"), 9)), inbox[3..]);
            assert_eq!(cluster.rows("bob")[0].unread, 1);
            cluster = cluster.restart(Windows::default());
        }
    });
}

#[test]
fn the_muted_strangers_and_those_of_no_group_may_not_write() {
    on_each(1..=2, |mut cluster| {
        cluster.order(create("g", "alice", &["bob", "carol"]));
        let until = cluster.now.plus(60_000);
        let mute = |member: &str, role| Order::ChangeMember {
            group: group("g"),
            member: user(member),
            role,
            muted_until: Some(until.wall),
        };
        assert_eq!(cluster.order(mute("bob", None)), Answer::Done);
        assert_eq!(cluster.order(mute("bob", None)), Answer::Unchanged);
        assert_eq!(cluster.order(mute("carol", Some(Role::Admin))), Answer::Done);
        let mut cluster = cluster.restart(Windows::default());
        assert_eq!(refusal(&cluster.say_in("bob", "1", "g")), Some(Refusal::PermissionDenied));
        assert_eq!(refusal(&cluster.say_in("carol", "2", "g")), None, "an admin may write");
        assert_eq!(refusal(&cluster.say_in("dave", "3", "g")), Some(Refusal::PermissionDenied));
        assert_eq!(refusal(&cluster.say_in("bob", "4", "nowhere")), Some(Refusal::ConversationNotExist));
        cluster.now = until;
        assert_eq!(refusal(&cluster.say_in("bob", "5", "g")), None);
    });
}

#[test]
fn an_id_used_again_is_another_group_in_the_same_conversation() {
    on_each(1..=3, |mut cluster| {
        cluster.order(create("g", "alice", &["bob"]));
        let old = id_of(&cluster.say_in("bob", "old", "g"));
        assert_eq!(cluster.order(Order::DissolveGroup { group: group("g") }), Answer::Done);
        assert_eq!(refusal(&cluster.say_in("bob", "late", "g")), Some(Refusal::ConversationNotExist));
        assert_eq!(cluster.show("g"), None);
        cluster.now = cluster.now.plus(1);
        assert_eq!(cluster.order(create("g", "carol", &["alice"])), Answer::Done);
        cluster.say_in("carol", "new", "g");
        let revoke = Command::Revoke(crate::model::Revoke { message: old, conversation: in_group("g") });
        assert_eq!(refusal(&cluster.ask("carol", revoke)), Some(Refusal::PermissionDenied), "it is not hers");
        for _ in 0..2 {
            assert_eq!(told(&cluster.inbox("bob")), ["created alice bob", "old", "dissolved"]);
            assert_eq!(told(&cluster.inbox("carol")), ["created alice carol", "new"]);
            assert_eq!(told(&cluster.history("carol", &in_group("g"), 9)), ["created alice carol", "new"]);
            assert_eq!(cluster.show("g").expect("there again").newest_seq.0, 5, "places go on");
            cluster = cluster.restart(Windows::default());
        }
    });
}

#[test]
fn an_order_given_twice_is_carried_out_once_and_one_that_makes_no_sense_not_at_all() {
    let mut cluster = Cluster::new(2, Windows::default());
    assert_eq!(cluster.order(create("g", "alice", &["bob", "bob"])), Answer::Done);
    assert_eq!(cluster.order(create("g", "alice", &["bob"])), Answer::Unchanged);
    let refused = |answer| match answer {
        Answer::Refused(refused) => Some(refused.refusal),
        _ => None,
    };
    assert_eq!(refused(cluster.order(create("g", "bob", &["alice"]))), Some(Refusal::GroupExists));
    assert_eq!(cluster.order(change("g", &["bob"], &["carol"])), Answer::Unchanged);
    for (add, remove) in [(&["carol"][..], &["carol"][..]), (&[], &["alice"])] {
        assert_eq!(refused(cluster.order(change("g", add, remove))), Some(Refusal::InvalidParam));
    }
    let too_many: Vec<UserId> = (0..=Order::MEMBERS_MAX).map(|n| user(&format!("u{n}"))).collect();
    let order = Order::CreateGroup { group: group("h"), owner: user("alice"), members: too_many };
    assert_eq!(refused(cluster.order(order)), Some(Refusal::InvalidParam));
    let role = |member: &str, role| Order::ChangeMember {
        group: group("g"),
        member: user(member),
        role: Some(role),
        muted_until: None,
    };
    assert_eq!(refused(cluster.order(role("alice", Role::Member))), Some(Refusal::InvalidParam), "somebody owns it");
    assert_eq!(cluster.order(role("bob", Role::Owner)), Answer::Done);
    let roles: Vec<Role> = cluster.show("g").expect("there").members.iter().map(|member| member.role).collect();
    assert_eq!(roles, [Role::Admin, Role::Owner]);
}

#[test]
fn an_order_is_answered_when_it_is_stored_and_not_before() {
    let mut cluster = Cluster::new(1, Windows::default());
    let order = create("g", "alice", &["bob"]);
    cluster.input(0, Input::Ordered { ticket: Ticket(7), order: order.clone() });
    cluster.input(0, Input::Ordered { ticket: Ticket(8), order });
    assert_eq!(cluster.outputs(), [], "not even that it has been so all along");
    cluster.sync(0);
    let answer = |ticket, answer| Effect::answer(Ticket(ticket), answer);
    assert_eq!(cluster.outputs(), [answer(7, Answer::Done), answer(8, Answer::Unchanged)]);
}

#[test]
fn who_is_blocked_may_not_write_and_is_written_to() {
    on_each(1..=2, |mut cluster| {
        let block = |state| Order::Block { by: user("alice"), other: user("bob"), state };
        assert_eq!(cluster.order(block(BlockState::Blocked)), Answer::Done);
        assert_eq!(cluster.order(block(BlockState::Blocked)), Answer::Unchanged);
        let mut cluster = cluster.restart(Windows::default());
        let to = |id: &str| Recipient::User(user(id));
        assert_eq!(refusal(&cluster.say("bob", "1", to("alice"))), Some(Refusal::PermissionDenied));
        assert_eq!(refusal(&cluster.say("alice", "2", to("bob"))), None);
        assert_eq!(cluster.order(block(BlockState::Allowed)), Answer::Done);
        let mut cluster = cluster.restart(Windows::default());
        assert_eq!(refusal(&cluster.say("bob", "1", to("alice"))), None);
        assert_eq!(told(&cluster.inbox("alice")), ["2", "1"]);
    });
}

#[test]
fn what_one_says_to_oneself_is_one_entry() {
    on_each(1..=2, |mut cluster| {
        cluster.say("alice", "note", Recipient::User(user("alice")));
        assert_eq!(told(&cluster.inbox("alice")), ["note"]);
        assert_eq!(told(&cluster.history("alice", &with("alice"), 9)), ["note"]);
        assert_eq!(cluster.rows("alice")[0].unread, 0);
    });
}

/// A group that takes several records on each shard.
fn crowd() -> Vec<String> {
    (0..400).map(|n| format!("m{n}")).collect()
}

fn crowded(shards: u16, segment_bytes: u32) -> Cluster {
    let disks = (0..shards).map(|_| MemoryStorage::new(segment_bytes, 10_000)).collect();
    let mut cluster = Cluster::on(Windows::default(), disks);
    let crowd = crowd();
    let members: Vec<&str> = crowd.iter().map(String::as_str).collect();
    assert_eq!(cluster.order(create("g", "alice", &members)), Answer::Done);
    cluster
}

#[test]
fn a_crash_in_the_middle_of_a_fan_out_leaves_every_inbox_whole() {
    let mut chance = Chance::new(3);
    for seed in 0..40 {
        let shards = 1 + seed % 2;
        let mut cluster = crowded(shards, 1 << 15);
        let owner = cluster.home("alice");
        cluster.connect(1, "alice");
        for id in ["one", "two"] {
            cluster.request(1, "alice", to_group(id, "g", id));
        }
        for _ in 0..chance.below(12) {
            let shard = chance.below(usize::from(shards));
            match chance.below(4) {
                0 => cluster.carry_lanes(),
                1 | 2 => cluster.sync(shard),
                _ => cluster.input(shard, Input::Continued),
            }
        }
        cluster.sync(owner);
        let mut checkpoints = vec![Vec::new(); usize::from(shards)];
        for (me, made) in checkpoints.iter_mut().enumerate() {
            cluster.sync(me);
            let journal = cluster.shards[me].journal();
            let through = journal.end().segment() - 1;
            if through >= journal.segments().start && seed % 3 > 0 {
                let settings = cluster.settings(me);
                made.push(survey(&settings, &Vec::<Vec<u8>>::new(), journal.storage(), through).expect("sound").bytes);
            }
        }
        let disks = cluster.take_disks();
        let mut cluster = cluster.crashed(disks, checkpoints, &mut chance);
        cluster.settle();
        cluster.open(2, "alice");
        for id in ["one", "two"] {
            cluster.perform(2, "alice", to_group(id, "g", id));
        }
        assert!(cluster.shards.iter().all(Shard::is_settled));
        for member in ["m0", "m1", "m63", "m64", "m200", "m399"] {
            let inbox = cluster.inbox(member);
            assert_eq!(told(&inbox)[1..], ["one", "two"], "seed {seed}, {member}");
            assert!((1..).zip(&inbox).all(|(seq, entry)| entry.seq.0 == seq));
        }
    }
}

#[test]
fn a_full_disk_lets_a_fan_out_wait_and_nobody_misses_anything() {
    let mut cluster = crowded(1, 1 << 15);
    cluster.shards[0].storage_mut().set_spares(0);
    let mut said = 0;
    while refusal(&cluster.say_in("alice", &format!("s{said}"), "g")).is_none() {
        said += 1;
        cluster.now = cluster.now.plus(100);
    }
    assert!(!cluster.shards[0].has_more() && cluster.shards[0].stats().fanning_out > 0, "it waits for room");
    assert!(!cluster.shards[0].is_settled());
    let mut cluster = cluster.restart(Windows::default());
    cluster.shards[0].storage_mut().set_spares(10_000);
    cluster.input(0, Input::Ticked);
    cluster.settle();
    for member in ["m0", "m399"] {
        assert_eq!(cluster.inbox(member).len(), 1 + said, "{member}");
    }
}

#[test]
fn who_is_removed_while_earlier_words_are_still_on_their_way_gets_those_and_no_later_ones() {
    let mut cluster = crowded(1, 1 << 20);
    cluster.open(1, "alice");
    cluster.sync(0);
    let last = crowd()[399].clone();
    // What one input fans out at once does not reach the last of so many members.
    cluster.request(1, "alice", to_group("before", "g", "before"));
    cluster.input(0, Input::Ordered { ticket: Ticket(9), order: change("g", &[], &[&last]) });
    cluster.request(1, "alice", to_group("behind", "g", "behind"));
    assert!(cluster.shards[0].stats().fanning_out > 0);
    cluster.open(2, &last);
    cluster.sync(0);
    let history = crate::model::History {
        conversation: in_group("g"),
        direction: crate::model::HistoryDirection::Before(crate::model::ConversationSeq(0)),
        limit: 9,
        topic: None,
    };
    cluster.outputs();
    cluster.request(2, &last, Command::History(history));
    cluster.sync(0);
    let replies = cluster.replies();
    let shown = replies.iter().find_map(|(session, reply)| match reply {
        Reply::History { messages, .. } if *session == 2 => Some(told(messages).len()),
        _ => None,
    });
    assert!(shown.expect("answered") <= 3, "nothing from behind its removal");
    cluster.settle();
    assert_eq!(told(&cluster.inbox(&last))[1..], ["before".to_owned(), format!("removed {last}")]);
}

#[test]
fn what_is_not_to_be_stored_reaches_whoever_is_online_but_the_session_that_said_it() {
    on_each(1..=3, |mut cluster| {
        cluster.order(create("g", "alice", &["bob", "carol"]));
        for (session, id) in [(1, "alice"), (2, "alice"), (3, "bob"), (4, "dave")] {
            cluster.open(session, id);
        }
        cluster.settle_silently();
        let header = HeaderFlags { no_persist: true, ..HeaderFlags::default() };
        let annotations = Some(Box::new(Annotations { header, ..Annotations::default() }));
        let send = send_to("m", Recipient::Group(group("g")), "now or never");
        cluster.perform(1, "alice", Command::Send(Send { annotations, ..send }));
        let mut told: Vec<u64> = Vec::new();
        for effect in cluster.outputs() {
            match effect {
                Effect::Push { sessions, event: Event::Transient(..), .. } => {
                    told.extend(sessions.iter().map(|it| it.0))
                }
                Effect::Reply { session, reply, .. } => {
                    assert!(matches!(reply, Reply::Sent { seq, .. } if session.0 == 1 && seq.0 == 0));
                }
                other => panic!("{other:?}"),
            }
        }
        told.sort_unstable();
        assert_eq!(told, [2, 3]);
        assert_eq!(cluster.inbox("bob").len(), 1, "it was never stored");
    });
}

#[test]
fn typing_is_told_once_a_second_to_the_others_who_are_online() {
    on_each(1..=3, |mut cluster| {
        cluster.order(create("g", "alice", &["bob"]));
        cluster.connect(1, "alice");
        cluster.connect(2, "bob");
        cluster.connect(3, "dave");
        cluster.outputs();
        let typing = || Command::Typing(Typing { conversation: in_group("g"), status: 1 });
        let mut told = 0;
        for _ in 0..30 {
            cluster.perform(1, "alice", typing());
            cluster.now = cluster.now.plus(100);
            for effect in cluster.outputs() {
                if let Effect::Push { user, event: Event::Typing(notice), .. } = effect {
                    assert_eq!((user.as_str(), notice.user.as_str()), ("bob", "alice"));
                    told += 1;
                }
            }
        }
        assert_eq!(told, 3);
        cluster.request(3, "dave", typing());
        assert_eq!(refusals(cluster.replies()), [Refusal::ConversationNotExist]);
    });
}
