//! Groups, facts, names, blocks and receipts at random, and now and then all logs are written anew for another number
//! of shards: the oracle sees no difference, the audit finds nothing, and it goes on.

use super::tests::{at_rest, expect_kept};
use super::*;
use crate::log::MemoryStorage;
use crate::log::fixtures::Chance;
use crate::model::{
    AccountState, Answer, BlockState, Clear, ClearExtent, Command, ConversationName, ConversationRef, ConversationSeq,
    Entry, Limits, MarkRead, Order, ProfileChange, Receipt, Recipient, Refusal, Reply, Revoke, Role,
};
use crate::shard::replay::checkpoint::survey;
use crate::shard::testing::fixtures::*;
use crate::shard::testing::random_tests::{Driver, SEEDS, SEGMENT_BYTES};
use crate::shard::{DamagePolicy, Input, Windows};

/// New logs, held against what was written and audited; whether anything was damaged.
fn repaired(
    old: &[ShardSettings],
    logs: &[MemoryStorage],
    checkpoints: &[Vec<Vec<u8>>],
    to: u16,
    damage_policy: DamagePolicy,
) -> (Vec<MemoryStorage>, bool) {
    let read = |((settings, log), known): ((&ShardSettings, &MemoryStorage), &Vec<Vec<u8>>)| {
        SourceShard::read(settings, log, known, damage_policy).expect("readable")
    };
    let mut sources: Vec<SourceShard> = old.iter().zip(logs).zip(checkpoints).map(read).collect();
    let is_damaged = sources.iter().any(SourceShard::is_damaged);
    let recovery = Recovery::find(&old[0], &sources, logs).expect("readable");
    let blank = |me| {
        let disk = MemoryStorage::new(SEGMENT_BYTES, 10_000);
        Journal::open(disk, ShardId(me), NOW.wall, None, |_, _| {}).expect("a new log").0
    };
    let mut journals: Vec<_> = (0..to).map(blank).collect();
    let placement = Placement::new(to);
    let directory = OldDirectory { settings: &old[0], sources: &mut sources, logs, recovery: &recovery };
    let done = rewrite(directory, placement, &mut journals, |_| {}).expect("rewritten");
    assert!(is_damaged || recovery.lost.is_empty());
    let disks: Vec<MemoryStorage> = journals.into_iter().map(at_rest).collect();
    expect_kept(&|me| ShardSettings { me: ShardId(me), placement, ..old[0] }, &disks, &done);
    (disks, is_damaged)
}

fn rewritten(
    old: &[ShardSettings],
    logs: &[MemoryStorage],
    checkpoints: &[Vec<Vec<u8>>],
    to: u16,
) -> Vec<MemoryStorage> {
    repaired(old, logs, checkpoints, to, DamagePolicy::Refuse).0
}

/// What is there beside inboxes is there again; on the way, deliveries and fan-outs were cut short.
fn reshard(driver: &mut Driver) {
    let to = 1 + driver.chance.below(4) as u16;
    let old: Vec<ShardSettings> = (0..driver.cluster.shards.len()).map(|me| driver.cluster.settings(me)).collect();
    let disks = driver.cluster.take_disks();
    let disks = rewritten(&old, &disks, &driver.checkpoints, to);
    driver.checkpoints = vec![Vec::new(); usize::from(to)];
    // A start from a checkpoint knows the same.
    if driver.chance.below(2) == 0 {
        for (me, disk) in (0..).zip(&disks) {
            let last = disk.segments().end - 1;
            if last > 1 {
                let of = ShardSettings { me: ShardId(me), placement: Placement::new(to), ..old[0] };
                let made = survey(&of, &[] as &[&[u8]], disk, last - 1).expect("sound");
                driver.checkpoints[usize::from(me)].push(made.bytes);
            }
        }
    }
    driver.restart_on(disks);
}

fn run(seed: u64) {
    let mut driver = Driver::new(seed);
    for _ in 0..3 {
        (0..80).for_each(|_| driver.step());
        if driver.chance.below(2) == 0 {
            driver.finish();
        }
        reshard(&mut driver);
        driver.finish();
        driver.check();
        reshard(&mut driver);
        (0..30).for_each(|_| driver.step());
        driver.finish();
        driver.check();
    }
}

#[test]
fn a_reshard_at_any_moment_is_seen_by_nobody_in_any_group_or_pair() {
    for seed in 0..SEEDS / 2 {
        let result = std::panic::catch_unwind(|| run(seed + 500));
        assert!(result.is_ok(), "seed {seed}");
    }
}

/// Some people with a group, a pair, names, a block, a mute, a receipt and a tombstone; then enough talk to fill
/// segments.
fn lived(shards: u16) -> Cluster {
    let disks = (0..shards).map(|_| MemoryStorage::new(SEGMENT_BYTES, 10_000)).collect();
    let mut cluster = Cluster::on(Windows::default(), disks);
    cluster.order(create("g", "alice", &["bob", "carol", "dave"]));
    cluster.order(change("g", &["erin"], &["dave"]));
    let (member, role, muted_until) = (user("carol"), Some(Role::Admin), Some(NOW.wall.plus(9_999_999)));
    cluster.order(Order::ChangeMember { group: group("g"), member, role, muted_until });
    cluster.order(Order::Block { by: user("erin"), other: user("bob"), state: BlockState::Blocked });
    cluster.order(Order::KnowUser { user: user("frank") });
    cluster.order(Order::SetAccount { user: user("frank"), state: AccountState::Disabled });
    cluster.order(Order::RevokeTokens { user: user("dave"), issued_before: None });
    let mut named = send_to("named", Recipient::User(user("bob")), "hello");
    named.conversation_name = Some(ConversationName::new("my bob").expect("well formed"));
    let told = id_of(&cluster.ask("alice", Command::Send(named)));
    cluster.ask("bob", Command::Receipt(Receipt { messages: vec![told], conversation: with("alice") }));
    let (through, extent) = (ConversationSeq(0), ClearExtent::Conversation);
    cluster.ask("bob", Command::Clear(Clear { conversation: with("alice"), through, extent }));
    assert_eq!(cluster.rows("bob").len(), 1, "the list has the group alone");
    cluster.order(profiled("Crew"));
    let gone = id_of(&cluster.say_in("bob", "gone", "g"));
    cluster.ask("bob", Command::Revoke(Revoke { message: gone, conversation: in_group("g") }));
    for number in 0..60 {
        cluster.now = cluster.now.plus(10);
        cluster.say_in(["alice", "bob", "erin"][number % 3], &format!("g{number}"), "g");
        cluster.say("carol", &format!("p{number}"), Recipient::User(user("alice")));
    }
    let (conversation, through) = (in_group("g"), ConversationSeq(40));
    cluster.ask("erin", Command::MarkRead(MarkRead { conversation, through }));
    (0..usize::from(shards)).for_each(|me| cluster.input(me, Input::Ticked));
    cluster.settle();
    cluster
}

fn profiled(name: &str) -> Order {
    let change = ProfileChange { name: Some(name.into()), ..ProfileChange::default() };
    Order::ChangeProfile { group: group("g"), change: Box::new(change) }
}

/// Everything that anybody can ask for; histories apart, of which shards that are joined may have more.
fn shown(cluster: &mut Cluster) -> (Vec<String>, Vec<Vec<MessageId>>) {
    let (mut all, mut histories) = (Vec::new(), Vec::new());
    let ids = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.message.id).collect::<Vec<_>>();
    for id in ["alice", "bob", "carol", "dave", "erin", "frank"] {
        all.push(format!("{id} {:?}", cluster.inbox(id)));
        all.push(format!("{:?}", cluster.rows(id)));
        histories.push(ids(cluster.history(id, &in_group("g"), 100)));
        histories.push(ids(cluster.history(id, &with("alice"), 100)));
        let answer = cluster.order(Order::ShowUser { user: user(id) });
        all.push(format!("{answer:?}"));
    }
    all.push(format!("{:?}", cluster.show("g")));
    let named = ConversationRef::Named(ConversationName::new("my bob").expect("well formed"));
    histories.push(ids(cluster.history("alice", &named, 100)));
    (all, histories)
}

fn expect_shown(cluster: &mut Cluster, before: &(Vec<String>, Vec<Vec<MessageId>>), what: &str) {
    let (all, histories) = shown(cluster);
    for (now, then) in all.iter().zip(&before.0) {
        assert_eq!(now, then, "{what}");
    }
    for (now, then) in histories.iter().zip(&before.1) {
        assert!(now.ends_with(then), "{what}: {now:?} {then:?}");
    }
}

#[test]
fn what_only_a_checkpoint_knows_is_known_after_a_reshard_and_after_another() {
    for (from, to) in [(1, 3), (3, 1), (2, 4), (3, 2)] {
        let mut cluster = lived(from);
        let (mut disks, mut checkpoints) = (Vec::new(), Vec::new());
        let settings: Vec<ShardSettings> = (0..usize::from(from)).map(|me| cluster.settings(me)).collect();
        for (mut disk, settings) in cluster.take_disks().into_iter().zip(&settings) {
            let last = disk.segments().end - 1;
            let made = survey(settings, &[] as &[&[u8]], &disk, last - 1).expect("sound");
            (1..last - 1).for_each(|_| disk.drop_first());
            assert!(disk.segments().start > 1, "something is dropped");
            checkpoints.push(vec![made.bytes]);
            disks.push(disk);
        }
        let start = |disks, checkpoints| {
            let mut cluster =
                Cluster::start(Windows::default(), Limits::default(), disks, checkpoints, NOW.plus(9_000));
            cluster.settle();
            cluster
        };
        let mut cluster = start(disks.clone(), checkpoints.clone());
        let before = shown(&mut cluster);
        let disks = rewritten(&settings, &disks, &checkpoints, to);
        let none = vec![Vec::new(); usize::from(to)];
        let mut cluster = start(disks.clone(), none.clone());
        expect_shown(&mut cluster, &before, &format!("{from} to {to}"));
        let of: Vec<ShardSettings> = (0..usize::from(to)).map(|me| cluster.settings(me)).collect();
        let again = rewritten(&of, &disks, &none, from);
        let mut cluster = start(again, vec![Vec::new(); usize::from(from)]);
        expect_shown(&mut cluster, &before, &format!("{from} to {to} and back"));
        let Answer::User(frank) = cluster.order(Order::ShowUser { user: user("frank") }) else { panic!("a user") };
        let Answer::User(dave) = cluster.order(Order::ShowUser { user: user("dave") }) else { panic!("a user") };
        assert_eq!((frank.account, dave.tokens_from), (AccountState::Disabled, NOW.wall.plus(1)));
        let refused = |reply: Reply| refusal(&reply);
        assert_eq!(refused(cluster.say("bob", "x", Recipient::User(user("erin")))), Some(Refusal::PermissionDenied));
        assert_eq!(refused(cluster.say_in("dave", "x", "g")), Some(Refusal::PermissionDenied), "it has left");
        assert_eq!(refused(cluster.say_in("carol", "x", "g")), None, "an admin may write");
        assert_eq!(told(&cluster.inbox("erin")).last().map(String::as_str), Some("x"));
    }
}

#[test]
fn whatever_a_groups_logs_have_lost_what_is_left_keeps_every_promise_and_goes_on() {
    let mut damaged = 0;
    for seed in 0..60 {
        let mut chance = Chance::new(seed);
        let shards = 1 + chance.below(3) as u16;
        let mut cluster = lived(shards);
        (0..usize::from(shards)).for_each(|me| crate::shard::testing::fixtures::close_log(&mut cluster.shards[me]));
        let settings: Vec<ShardSettings> = (0..usize::from(shards)).map(|me| cluster.settings(me)).collect();
        let mut disks = cluster.take_disks();
        let victim = chance.below(disks.len());
        let segments = disks[victim].segments();
        let segment = segments.start + chance.below(segments.len()) as u32;
        match chance.below(2) {
            0 => disks[victim].lose(segment),
            _ => disks[victim].flip(Position::new(segment, 64 + chance.below(3_000) as u32), 4),
        }
        let none = vec![Vec::new(); disks.len()];
        let (disks, is_damaged) = repaired(&settings, &disks, &none, 1 + chance.below(3) as u16, DamagePolicy::Salvage);
        damaged += usize::from(is_damaged);
        let none = vec![Vec::new(); disks.len()];
        let mut cluster = Cluster::start(Windows::default(), Limits::default(), disks, none, NOW.plus(9_000));
        cluster.settle();
        shown(&mut cluster);
        if let Some(state) = cluster.show("g") {
            let owner = state.owner.to_string();
            assert_eq!(refusal(&cluster.say_in(&owner, "after", "g")), None, "seed {seed}");
            for member in state.members {
                let last = told(&cluster.inbox(member.user.as_str())).pop();
                assert_eq!(last.as_deref(), Some("after"), "seed {seed}: {}", member.user);
            }
        }
    }
    assert!(damaged > 30, "{damaged} damaged");
}

#[test]
fn a_damaged_group_has_the_newest_profile_that_any_log_still_has() {
    // Of one shard, the change that is lost stands nowhere else.
    for (shards, left) in [(1, "old"), (2, "new"), (3, "new")] {
        let disks = (0..shards).map(|_| MemoryStorage::new(SEGMENT_BYTES, 10_000)).collect();
        let mut cluster = Cluster::on(Windows::default(), disks);
        let members = ["alice", "bob", "carol", "dave", "erin"];
        cluster.order(create("g", "alice", &members[1..]));
        cluster.order(profiled("old"));
        let conversation = Conversation::Group(group("g"));
        let owner = usize::from(Placement::new(shards).owner_of_conversation(&conversation).0);
        cluster.sync(owner);
        let lost = cluster.shards[owner].journal().end();
        cluster.order(profiled("new"));
        for number in 0..40 {
            cluster.say_in("bob", &number.to_string(), "g");
        }
        (0..usize::from(shards)).for_each(|me| close_log(&mut cluster.shards[me]));
        let settings: Vec<ShardSettings> = (0..usize::from(shards)).map(|me| cluster.settings(me)).collect();
        let mut disks = cluster.take_disks();
        disks[owner].flip(Position::new(lost.segment(), lost.offset() + 40), 4);
        let none = vec![Vec::new(); usize::from(shards)];
        let (disks, is_damaged) = repaired(&settings, &disks, &none, shards, DamagePolicy::Salvage);
        assert!(is_damaged);
        let mut cluster = Cluster::start(Windows::default(), Limits::default(), disks, none, NOW.plus(9_000));
        cluster.settle();
        let name = |cluster: &mut Cluster| cluster.show("g").expect("a group").profile.about.name;
        assert_eq!(name(&mut cluster), left, "of {shards} shards");
        assert_eq!(cluster.order(profiled("newest")), Answer::Done);
        assert_eq!(name(&mut cluster), "newest");
        for member in members {
            let last = told(&cluster.inbox(member)).pop();
            assert_eq!(last.as_deref(), Some("profile newest"), "{member} of {shards} shards");
        }
    }
}
