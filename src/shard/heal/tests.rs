//! What a shard's log has lost and another still has comes back at the next start; what is gone for good is said to be.

use crate::log::MemoryStorage;
use crate::model::testing::{client_message_id, plain_message};
use crate::model::{
    Clear, ClearExtent, Command, Conversation, ConversationRef, ConversationSeq, DeviceKey, Entry, Fact, GroupChange,
    Limits, Message, MessageId, Order, Position, ProfileChange, Recipient, Reply, Revoke, Seq, ShardId, UserId,
};
use crate::shard::audit::audit;
use crate::shard::replay::checkpoint::survey;
use crate::shard::testing::fixtures::*;
use crate::shard::*;
use std::ops::Range;
use std::sync::Arc;

const SEGMENT_BYTES: u32 = 1 << 14;

fn narrow() -> Windows {
    Windows { requests_max: 4, deliveries_max: 4, held_per_input_max: 3, ..Windows::default() }
}

fn cluster_of(shards: u16) -> Cluster {
    Cluster::on(narrow(), (0..shards).map(|_| MemoryStorage::new(SEGMENT_BYTES, 200)).collect())
}

fn disks_of(cluster: &Cluster) -> Vec<MemoryStorage> {
    cluster.shards.iter().map(|shard| shard.journal().storage().clone()).collect()
}

/// The disks as they are now, but for that of one shard, which is as it was before.
fn set_back(cluster: &Cluster, before: &[MemoryStorage], shard: usize) -> Vec<MemoryStorage> {
    let mut disks = disks_of(cluster);
    disks[shard] = before[shard].clone();
    disks
}

/// The server starts on these disks, each shard's with its checkpoints, and is sound once it has.
fn start_with(cluster: &Cluster, disks: Vec<MemoryStorage>, checkpoints: Vec<Vec<Vec<u8>>>) -> Cluster {
    let mut next = Cluster::start(narrow(), Limits::default(), disks, checkpoints.clone(), cluster.now);
    next.settle();
    assert!(next.shards.iter().all(|shard| shard.is_ready() && shard.is_settled()), "all is at rest");
    for inboxes in next.shards.iter().map(|shard| &shard.state.tables.inboxes) {
        let is_within = |(user, _, delivered): (&UserId, DeviceKey, Seq)| delivered <= inboxes.tail(user).seq;
        assert!(inboxes.devices().all(is_within), "no device is taken to have what is gone");
    }
    expect_sound(&next, &checkpoints);
    next
}

fn start_on(cluster: &Cluster, disks: Vec<MemoryStorage>) -> Cluster {
    let none = disks.iter().map(|_| Vec::new()).collect();
    start_with(cluster, disks, none)
}

fn findings_of(cluster: &Cluster, checkpoints: &[Vec<Vec<u8>>]) -> Findings {
    let mut findings = Findings::default();
    let mut examined = Vec::new();
    for (me, shard) in cluster.shards.iter().enumerate() {
        let journal = shard.journal();
        let settings = cluster.settings(me);
        let one = Examined::read(&settings, journal.storage(), &checkpoints[me], journal.end(), &mut findings);
        examined.push(one.expect("a log that is written is read"));
    }
    audit(&examined, &mut findings, &|_| {});
    findings
}

fn expect_sound(cluster: &Cluster, checkpoints: &[Vec<Vec<u8>>]) {
    let findings = findings_of(cluster, checkpoints);
    assert!(findings.is_sound(), "{:#?}", findings.violations);
}

fn sum(cluster: &Cluster, of: fn(&Stats) -> u64) -> u64 {
    cluster.shards.iter().map(|shard| of(&shard.stats())).sum()
}

fn say_to(cluster: &mut Cluster, author: &str, peer: &str, id: &str) -> MessageId {
    id_of(&cluster.say(author, id, Recipient::User(user(peer))))
}

/// Alice says these numbers to bob.
fn say_numbers(cluster: &mut Cluster, numbers: Range<u32>) {
    for n in numbers {
        say_to(cluster, ALICE, BOB, &n.to_string());
    }
}

fn places(entries: &[Entry]) -> Vec<(u64, u64)> {
    entries.iter().map(|entry| (entry.message.conversation_seq.0, entry.message.id.0)).collect()
}

/// Both have the conversation in one order, and can go on with it.
fn expect_talk(cluster: &mut Cluster, expected: &[&str]) {
    let of_alice = cluster.history(ALICE, &with(BOB), 3);
    let of_bob = cluster.history(BOB, &with(ALICE), 3);
    assert_eq!(told(&of_alice), expected);
    assert_eq!(places(&of_alice), places(&of_bob), "in one order");
    say_to(cluster, ALICE, BOB, "and on");
    say_to(cluster, BOB, ALICE, "and back");
    for (id, peer) in [(ALICE, BOB), (BOB, ALICE)] {
        let history = told(&cluster.history(id, &with(peer), 50));
        assert_eq!(history[history.len() - 2..], ["and on", "and back"]);
        let seqs: Vec<u64> = cluster.inbox(id).iter().map(|entry| entry.seq.0).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "the inbox of {id} has no hole");
    }
}

#[test]
fn whichever_shard_is_older_the_messages_of_a_pair_come_back() {
    for older in 0..2 {
        let mut cluster = cluster_of(2);
        say_to(&mut cluster, ALICE, BOB, "0");
        let before = disks_of(&cluster);
        let mut expected = vec!["0".to_owned()];
        // More than a window, and more than an input takes.
        for n in 1..30 {
            let (author, peer) = if n % 3 == 0 { (BOB, ALICE) } else { (ALICE, BOB) };
            say_to(&mut cluster, author, peer, &n.to_string());
            expected.push(n.to_string());
        }
        let mut next = start_on(&cluster, set_back(&cluster, &before, older));
        let owner = next.home(ALICE).min(next.home(BOB));
        let (returned, sent_again) = (sum(&next, |it| it.given_back), sum(&next, |it| it.redelivered));
        assert_eq!(returned + sent_again, 29, "{returned} given back, {sent_again} sent again");
        assert_eq!(next.renewals, 1, "inboxes of the older shard had gone back");
        assert!(owner < 2 && sum(&next, |it| it.forgone + it.missing_places + it.contradictions) == 0);
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        expect_talk(&mut next, &expected);
        // Once more: there is nothing left to be made good.
        let again = start_on(&next, disks_of(&next));
        assert_eq!(sum(&again, |it| it.given_back + it.redelivered), 0);
        assert_eq!(again.renewals, 0, "a restart is no loss");
    }
}

/// What is mended is not found by the next start, which would leave clients with seqs that have gone back.
#[test]
fn nothing_is_mended_before_the_epoch_of_the_inboxes_has_changed() {
    for older in 0..2 {
        let mut cluster = cluster_of(2);
        say_to(&mut cluster, ALICE, BOB, "0");
        let before = disks_of(&cluster);
        say_numbers(&mut cluster, 1..4);
        let disks = set_back(&cluster, &before, older);
        let none = vec![Vec::new(); 2];
        let mut next = Cluster::start_unrenewed(narrow(), disks, none, cluster.now);
        let ends = |it: &Cluster| it.shards.iter().map(|shard| shard.journal().end()).collect::<Vec<_>>();
        let at_first = ends(&next);
        next.settle();
        let asking: Vec<usize> = std::mem::take(&mut next.unrenewed);
        assert_eq!((asking.len(), ends(&next)), (1, at_first));
        assert!(next.shards.iter().all(|shard| !shard.is_ready()));
        next.input(asking[0], Input::InboxEpochRenewed);
        next.settle();
        assert!(next.shards.iter().all(|shard| shard.is_ready()) && next.unrenewed.is_empty());
    }
}

#[test]
fn a_repeated_send_is_known_again_by_what_came_back() {
    for older in 0..2 {
        let mut cluster = cluster_of(2);
        let before = disks_of(&cluster);
        let ids = [say_to(&mut cluster, ALICE, BOB, "a"), say_to(&mut cluster, BOB, ALICE, "b")];
        let mut next = start_on(&cluster, set_back(&cluster, &before, older));
        let repeated = [say_to(&mut next, ALICE, BOB, "a"), say_to(&mut next, BOB, ALICE, "b")];
        assert_eq!(repeated, ids);
        assert_eq!(next.inbox(ALICE).len() + next.inbox(BOB).len(), 4);
    }
}

#[test]
fn what_became_of_a_group_comes_back_to_the_shard_that_orders_it() {
    for older in 0..3 {
        let mut cluster = cluster_of(3);
        let all = ["alice", "bob", "carol", "dave", "erin"];
        cluster.order(create("g", "alice", &["bob", "carol"]));
        cluster.say_in("bob", "before", "g");
        let before = disks_of(&cluster);
        cluster.order(change("g", &["dave", "erin"], &["carol"]));
        let revoked = id_of(&cluster.say_in("bob", "oh", "g"));
        cluster.say_in("erin", "here", "g");
        let profiled = ProfileChange { name: Some("Crew".into()), ..ProfileChange::default() };
        cluster.order(Order::ChangeProfile { group: group("g"), change: Box::new(profiled) });
        let (through, extent) = (ConversationSeq(0), ClearExtent::History);
        let clear = Clear { conversation: in_group("g"), through, extent };
        // What a member clears is in its own log and in the owner's: of one shard there is no second copy.
        let owner = usize::from(Placement::new(3).owner_of_conversation(&Conversation::Group(group("g"))).0);
        let reader =
            ["bob", "dave", "erin"].into_iter().find(|id| cluster.home(id) != owner).expect("one is elsewhere");
        assert_eq!(cluster.ask(reader, Command::Clear(clear)), Reply::Done);
        let revoke = Revoke { conversation: in_group("g"), message: revoked };
        assert_eq!(cluster.ask("bob", Command::Revoke(revoke)), Reply::Done);
        let state = cluster.show("g");
        assert!(cluster.history(reader, &in_group("g"), 4).is_empty());
        let histories: Vec<_> = all.map(|id| told(&cluster.history(id, &in_group("g"), 4))).to_vec();
        let mut next = start_on(&cluster, set_back(&cluster, &before, older));
        assert_eq!(next.show("g"), state, "shard {older} was older");
        for (id, history) in all.into_iter().zip(histories) {
            assert_eq!(told(&next.history(id, &in_group("g"), 4)), history, "{id}, shard {older} was older");
        }
        next.say_in("dave", "on", "g");
        assert_eq!(told(&next.history("alice", &in_group("g"), 9)).last().map(String::as_str), Some("on"));
        assert_eq!(sum(&next, |it| it.forgone + it.missing_places + it.contradictions), 0);
    }
}

/// All that another shard has of the group is that something was taken back in it.
#[test]
fn a_fact_that_takes_no_place_says_how_far_its_conversation_had_got() {
    let mut cluster = cluster_of(2);
    let home = usize::from(Placement::new(2).owner_of_conversation(&Conversation::Group(group("g"))).0);
    let member = if cluster.home(ALICE) == home { ALICE } else { BOB };
    let before = disks_of(&cluster);
    cluster.order(create("g", member, &[]));
    cluster.say_in(member, "a", "g");
    let message = id_of(&cluster.say_in(member, "b", "g"));
    let revoke = Revoke { conversation: in_group("g"), message };
    assert_eq!(cluster.ask(member, Command::Revoke(revoke)), Reply::Done);
    let mut next = start_on(&cluster, set_back(&cluster, &before, home));
    assert_eq!(sum(&next, |it| it.missing_places), 3);
    next.order(create("g", member, &[]));
    next.say_in(member, "c", "g");
    let history = next.history(member, &in_group("g"), 9);
    let given: Vec<u64> = history.iter().map(|entry| entry.message.conversation_seq.0).collect();
    assert_eq!(given, [4, 5], "behind what the group had before");
}

/// The shard of its second member had not been told of the group's making.
#[test]
fn a_group_whose_making_is_gone_is_dissolved_however_often_the_start_is_cut_short() {
    let mut cluster = cluster_of(2);
    let home = usize::from(Placement::new(2).owner_of_conversation(&Conversation::Group(group("g"))).0);
    let (first, second) = if cluster.home(ALICE) == home { (ALICE, BOB) } else { (BOB, ALICE) };
    let before = disks_of(&cluster);
    cluster.order(create("g", first, &[]));
    cluster.order(change("g", &[second], &[]));
    for n in 0..4 {
        cluster.say_in(second, &n.to_string(), "g");
    }
    let disks = set_back(&cluster, &before, home);
    for inputs in 0..24 {
        let none = || vec![Vec::new(), Vec::new()];
        let mut next = Cluster::start(narrow(), Limits::default(), disks.clone(), none(), cluster.now);
        drive(&mut next, inputs);
        let mut last = start_on(&cluster, disks_of(&next));
        assert_eq!(last.show("g"), None);
        let newest = last.inbox(second).pop().expect("the end of the group");
        assert!(matches!(newest.message.fact.as_deref(), Some(Fact::Group(GroupChange::Dissolved))), "{newest:?}");
    }
}

/// So many inputs, each what comes next.
fn drive(cluster: &mut Cluster, inputs: usize) {
    for _ in 0..inputs {
        match cluster.lanes.pop_front() {
            Some((from, to, shard_message)) => cluster.input(usize::from(to.0), Input::Arrived { from, shard_message }),
            None => (0..2).for_each(|me| cluster.input(me, Input::Continued)),
        }
    }
}

/// Of three logs that had all, each loses another stretch: what any of them still has, all have again.
#[test]
fn what_one_of_several_shards_has_kept_all_have_again() {
    let mut cluster = cluster_of(3);
    cluster.order(create("g", "alice", &["bob", "carol", "dave", "erin", "frank"]));
    let home = usize::from(Placement::new(3).owner_of_conversation(&Conversation::Group(group("g"))).0);
    let mut older = Vec::new();
    for n in 0..12 {
        if n % 4 == 0 {
            older.push(disks_of(&cluster));
        }
        cluster.say_in("alice", &n.to_string(), "g");
    }
    for kept in (0..3).filter(|kept| *kept != home) {
        let mut disks = disks_of(&cluster);
        for me in (0..3).filter(|me| *me != kept) {
            disks[me] = older[if me == home { 1 } else { 2 }][me].clone();
        }
        let mut next = start_on(&cluster, disks);
        let expected: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        for id in ["alice", "bob", "carol", "dave", "erin", "frank"] {
            assert_eq!(told(&next.history(id, &in_group("g"), 5))[1..], expected, "{id}, shard {kept} has kept it");
        }
    }
}

/// Segments before the one that is written are dropped, and a checkpoint says what stood in them.
fn drop_old_segments(cluster: &Cluster, me: usize, disk: &mut MemoryStorage) -> Vec<Vec<u8>> {
    let through = disk_end(disk) - 1;
    let made = survey(&cluster.settings(me), &[] as &[&[u8]], disk, through).expect("a sound log");
    while crate::log::Segments::segments(disk).start < through {
        crate::log::Storage::drop_first(disk);
    }
    vec![made.bytes]
}

fn disk_end(disk: &MemoryStorage) -> u32 {
    crate::log::Segments::segments(disk).end - 1
}

#[test]
fn what_retention_has_dropped_elsewhere_is_said_to_be_gone_and_all_goes_on_behind_it() {
    for older in 0..2 {
        let mut cluster = cluster_of(2);
        say_to(&mut cluster, ALICE, BOB, "first");
        let before = disks_of(&cluster);
        for n in 0..200 {
            cluster.now = cluster.now.plus(1_000);
            say_to(&mut cluster, ALICE, BOB, &n.to_string());
        }
        // Of this conversation the other shard has nothing left.
        for n in 0..400 {
            cluster.now = cluster.now.plus(1_000);
            for id in [ALICE, BOB] {
                say_to(&mut cluster, id, id, &format!("{n}: a note to myself that takes some room in the log"));
            }
        }
        let mut disks = disks_of(&cluster);
        let mut checkpoints = vec![Vec::new(), Vec::new()];
        let other = 1 - older;
        checkpoints[other] = drop_old_segments(&cluster, other, &mut disks[other]);
        disks[older] = before[older].clone();
        let mut next = start_with(&cluster, disks, checkpoints.clone());
        let owner = usize::from(Placement::new(2).owner_of_conversation(&pair()).0);
        let (forgone, missing) = (sum(&next, |it| it.forgone), sum(&next, |it| it.missing_places));
        assert_eq!((forgone, missing), if older == owner { (0, 200) } else { (200, 0) });
        say_to(&mut next, ALICE, BOB, "and on");
        say_to(&mut next, BOB, ALICE, "and back");
        for (id, peer) in [(ALICE, BOB), (BOB, ALICE)] {
            let history = next.history(id, &with(peer), 50);
            assert_eq!(told(&history[history.len() - 2..]), ["and on", "and back"]);
            assert_eq!(history[history.len() - 1].message.conversation_seq.0, 203);
        }
        expect_sound(&next, &checkpoints);
        let again = start_with(&next, disks_of(&next), checkpoints);
        assert_eq!(sum(&again, |it| it.given_back + it.redelivered + it.forgone + it.missing_places), 0);
    }
}

fn pair() -> Conversation {
    Conversation::pair(user(ALICE), user(BOB))
}

#[test]
fn a_start_that_ends_while_a_log_is_given_back_what_it_lost_goes_on_where_it_was() {
    let mut cluster = cluster_of(2);
    let before = disks_of(&cluster);
    say_numbers(&mut cluster, 0..20);
    let owner = usize::from(Placement::new(2).owner_of_conversation(&pair()).0);
    let disks = set_back(&cluster, &before, owner);
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    for inputs in 0..40 {
        let none = || vec![Vec::new(), Vec::new()];
        let mut next = Cluster::start(narrow(), Limits::default(), disks.clone(), none(), cluster.now);
        drive(&mut next, inputs);
        let mut last = start_on(&cluster, disks_of(&next));
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        expect_talk(&mut last, &expected);
    }
}

#[test]
fn logs_that_disagree_are_told_apart_from_sound_ones_before_the_start_that_heals_them() {
    for older in 0..2 {
        let mut cluster = cluster_of(2);
        let before = disks_of(&cluster);
        say_to(&mut cluster, ALICE, BOB, "a");
        say_to(&mut cluster, BOB, ALICE, "b");
        cluster.shards.iter_mut().for_each(|shard| shard.storage_mut().set_spares(200));
        let sound = findings_of(&cluster, &[Vec::new(), Vec::new()]);
        assert!(sound.is_sound(), "{:#?}", sound.violations);
        let disks = set_back(&cluster, &before, older);
        let unhealed = Cluster::start(narrow(), Limits::default(), disks, vec![Vec::new(), Vec::new()], cluster.now);
        let findings = findings_of(&unhealed, &[Vec::new(), Vec::new()]);
        assert!(!findings.is_sound(), "shard {older} is older");
    }
}

/// Another's answer, or one about another conversation, must not end a flight of today's: its window would be counted
/// down for a post that it never had.
#[test]
fn an_answer_of_before_the_start_ends_no_flight_of_another_shard_or_conversation() {
    let mut cluster = cluster_of(3);
    let placement = Placement::new(3);
    let home = cluster.home(ALICE);
    // Pairs with smaller ids are ordered elsewhere.
    let peers = ["aaa", "aab", "aac", "aad", "aae", "aaf", "aag", "aah", "aai"];
    let away = |shard: usize| peers.into_iter().filter(move |id| usize::from(placement.owner_of(&user(id)).0) == shard);
    let mut others = (0..3).filter(|shard| *shard != home && away(*shard).count() >= 2);
    let (first, second) = (others.next().expect("a shard"), others.next().expect("another"));
    let (old, same, new) = {
        let mut of_first = away(first);
        (of_first.next().expect("one"), of_first.next().expect("two"), away(second).next().expect("one"))
    };
    cluster.connect(1, ALICE);
    for (peer, owner) in [(new, second), (same, first)] {
        // Written to one of them in a former life: its shard delivers the message now, under the same client id.
        let id = format!("reused for {peer}");
        cluster.request(1, ALICE, message(&id, peer, "today"));
        let posted = cluster.lanes.pop_back().expect("a post is on its way");
        let number = cluster.shards[home].state.peers.outbound.peer(ShardId(first as u16)).taken() + 1;
        let late = Arc::new(Message {
            id: MessageId(u64::from(number == 1) + 4_711 + number),
            conversation: Conversation::pair(user(old), user(ALICE)),
            conversation_seq: crate::model::ConversationSeq(number),
            author: user(ALICE),
            client_message_id: client_message_id(&id),
            content: "yesterday".into(),
            server_time: NOW.wall,
            ..plain_message()
        });
        cluster.outputs();
        let shard_message = ShardMessage::Deliver { number, message: late };
        cluster.input(home, Input::Arrived { from: ShardId(first as u16), shard_message });
        cluster.shards[first].state.peers.outbound.peer(ShardId(home as u16)).track(number, Position::new(1, 64), 10);
        cluster.sync(home);
        assert_eq!(cluster.replies(), [], "the answer is still to come");
        cluster.lanes.push_back(posted);
        assert_eq!(usize::from(cluster.lanes.back().expect("just put there").1.0), owner);
        cluster.settle();
        let replies = cluster.replies();
        assert!(matches!(replies[..], [(1, Reply::Sent { .. })]), "{replies:?}");
        let newest = cluster.history(ALICE, &ConversationRef::With(Recipient::User(user(peer))), 9);
        assert_eq!(told(&newest), ["today"]);
    }
}

#[test]
fn a_long_log_is_searched_a_part_a_turn_for_what_another_has_lost() {
    for older in 0..2 {
        let disks = vec![MemoryStorage::new(1 << 18, 200); 2];
        let limits = Limits { sends_per_second: 1_000_000, sends_burst: 1_000_000, ..Limits::default() };
        let mut cluster = Cluster::start(Windows::default(), limits, disks, vec![Vec::new(); 2], NOW);
        cluster.settle();
        say_to(&mut cluster, ALICE, BOB, "kept");
        let before = disks_of(&cluster);
        say_numbers(&mut cluster, 0..30);
        // The other shard's log has much that is nobody else's.
        let author = [ALICE, BOB].into_iter().find(|id| cluster.home(id) != older).expect("one is there");
        cluster.open(1, author);
        for n in 0..3_000 {
            cluster.request(1, author, message(&format!("local-{n}"), author, "x"));
            if n % 100 == 0 {
                cluster.settle();
            }
        }
        cluster.settle();
        let disks = set_back(&cluster, &before, older);
        let next = start_on(&cluster, disks);
        assert_eq!(sum(&next, |it| it.given_back + it.redelivered), 30);
        assert!(next.highest_cost.records <= 1_200, "{:?}", next.highest_cost);
    }
}

/// Their shard has lost the end of their group, and the next one came back from another shard.
#[test]
fn members_of_a_group_whose_end_is_lost_do_not_hear_the_next_group_of_its_id() {
    let mut cluster = cluster_of(2);
    let home = usize::from(Placement::new(2).owner_of_conversation(&Conversation::Group(group("g"))).0);
    let (former, owner) = if cluster.home(ALICE) == home { (ALICE, BOB) } else { (BOB, ALICE) };
    cluster.order(create("g", former, &[]));
    let before = disks_of(&cluster);
    cluster.order(Order::DissolveGroup { group: group("g") });
    cluster.order(create("g", owner, &[]));
    let mut next = start_on(&cluster, set_back(&cluster, &before, home));
    next.say_in(owner, "news", "g");
    let heard = |next: &mut Cluster, user| told(&next.inbox(user));
    assert_eq!(heard(&mut next, owner).last().map(String::as_str), Some("news"));
    assert_eq!(heard(&mut next, former), [format!("created {former}")]);
}
