//! Users talk on some shards, the logs are rewritten for another number, and everybody finds what was there.

use super::*;
use crate::log::{Batch, MemoryStorage};
pub(super) use crate::model::testing::{chance::Chance, user};
use crate::model::{Ack, Command, DeviceKey, Limits, Moment, Reply, RequestTag, SessionId};
pub(super) use crate::shard::testing::fixtures::NOW;
use crate::shard::testing::fixtures::{self, Cluster, message};
use crate::shard::{DamagePolicy, Examined, Findings, Input, Lost, ShardMessage, Windows, audit};

pub(super) const NONE: &[&[u8]] = &[];
pub(super) const USERS: [&str; 7] = ["alice", "bob", "carol", "dave", "erin", "小明", "zoe"];

pub(super) fn settings(me: u16, shards: u16) -> ShardSettings {
    fixtures::settings(me, shards, Windows::default(), Limits::default())
}

pub(super) fn blank() -> MemoryStorage {
    MemoryStorage::new(1 << 14, 100)
}

pub(super) fn begin(disks: Vec<MemoryStorage>, now: Moment) -> Cluster {
    Cluster::ready(settings(0, 1), disks, now)
}

/// The answer to one request, always on the same device.
pub(super) fn answer(cluster: &mut Cluster, id: &str, command: Command) -> Reply {
    cluster.ask_on(DeviceKey { flag: 0, id: "d".into() }, id, command)
}

pub(super) fn inbox(cluster: &mut Cluster, id: &str) -> Vec<(Seq, Arc<Message>)> {
    cluster.inbox(id).into_iter().map(|it| (it.seq, it.message)).collect()
}

pub(super) fn send(from: usize, to: usize, number: usize) -> Command {
    message(&format!("{from}-{number}"), USERS[to], &format!("number {number}"))
}

pub(super) fn reshard(
    old: &[MemoryStorage],
    to: u16,
    damage_policy: DamagePolicy,
) -> (Vec<MemoryStorage>, Rewritten, Vec<Lost>) {
    let before = old.len() as u16;
    let read = |(me, log)| SourceShard::read(&settings(me, before), log, NONE, damage_policy).expect("readable");
    let mut sources: Vec<SourceShard> = (0..).zip(old).map(read).collect();
    let new = |me| Journal::open(blank(), ShardId(me), NOW.wall, None, |_, _| {}).expect("a new log").0;
    let mut journals: Vec<_> = (0..to).map(new).collect();
    let placement = Placement::new(to);
    let recovery = Recovery::find(&settings(0, before), &sources, old).expect("readable");
    let directory =
        OldDirectory { settings: &settings(0, before), sources: &mut sources, logs: old, recovery: &recovery };
    let done = rewrite(directory, placement, &mut journals, |_| {}).expect("rewritten");
    let disks: Vec<_> = journals.into_iter().map(at_rest).collect();
    let of = |me| settings(me, to);
    expect_kept(&of, &disks, &done);
    (disks, done, recovery.lost)
}

/// A log says that it is durable before anybody relies on it.
pub(super) fn at_rest(mut journal: Journal<MemoryStorage>) -> MemoryStorage {
    let batch = journal.seal().expect("its records ask for a sync");
    journal.synced(batch.to);
    journal.append_durability_mark();
    let to = journal.end();
    journal.storage_mut().sync(Batch { to, ..batch });
    journal.into_storage()
}

/// The new logs hold what was written, and keep every promise.
pub(super) fn expect_kept(settings: &dyn Fn(u16) -> ShardSettings, disks: &[MemoryStorage], done: &Rewritten) {
    let read = |(me, log)| SourceShard::read(&settings(me), log, NONE, DamagePolicy::Refuse).expect("readable");
    let sources: Vec<SourceShard> = (0..).zip(disks).map(read).collect();
    let (mut scan_counts, mut threads) = (ScanCounts::default(), Digest::default());
    for source in &sources {
        scan_counts.merge(source.scan_counts.clone());
        threads.merge(source.threads);
    }
    assert!(scan_counts == done.scan_counts, "every entry");
    assert_eq!(threads, done.threads, "every place");
    assert_eq!(Digest::of(&sources, settings(0).placement), done.kept, "and all that is known beside");
    let mut findings = Findings::default();
    let end = Position::new(u32::MAX, 0);
    let read = |(me, log)| Examined::read(&settings(me), log, NONE, end, &mut findings).expect("readable");
    let examined: Vec<_> = (0..).zip(disks).map(read).collect();
    audit(&examined, &mut findings, &|_| {});
    assert_eq!(findings.violations, []);
}

#[test]
fn whatever_the_number_of_shards_everybody_finds_what_was_there_and_goes_on() {
    for seed in 0..12 {
        let mut chance = Chance::new(seed);
        let first = 1 + chance.below(4);
        let mut cluster = begin(vec![blank(); first], NOW);
        let mut said = Vec::new();
        for life in 0..4 {
            for number in 0..40 {
                let (from, to) = (chance.below(USERS.len()), chance.below(USERS.len()));
                cluster.now = cluster.now.plus(1);
                let command = send(from, to, life * 100 + number);
                let reply = answer(&mut cluster, USERS[from], command.clone());
                assert!(matches!(reply, Reply::Sent { .. }), "{reply:?}");
                said.push((from, command, reply));
            }
            answer(&mut cluster, "bob", Command::Ack(Ack::Through(Seq(3))));
            (0..cluster.shards.len()).for_each(|me| cluster.input(me, Input::Ticked));
            let before: Vec<_> = USERS.iter().map(|id| inbox(&mut cluster, id)).collect();
            let now = cluster.now;
            let (disks, _, lost) = reshard(&cluster.take_disks(), 1 + chance.below(5) as u16, DamagePolicy::Refuse);
            assert_eq!(lost, []);
            cluster = begin(disks, now);
            let after: Vec<_> = USERS.iter().map(|id| inbox(&mut cluster, id)).collect();
            assert!(before == after, "seed {seed} life {life}");
            for (from, command, reply) in &said {
                assert_eq!(
                    answer(&mut cluster, USERS[*from], command.clone()),
                    *reply,
                    "a repeated send gets its answer"
                );
            }
            let device = DeviceKey { flag: 0, id: "d".into() };
            assert!(cluster.shards[cluster.home("bob")].delivered(&user("bob"), &device) >= Some(Seq(3)));
        }
        let mut ids: Vec<_> = USERS.iter().flat_map(|id| inbox(&mut cluster, id)).map(|(_, it)| it).collect();
        ids.sort_by_key(|it| it.id);
        ids.dedup();
        assert!(ids.windows(2).all(|pair| pair[0].id != pair[1].id), "no two messages share an id");
        let mut seqs: Vec<_> = ids.iter().map(|it| (format!("{:?}", it.conversation), it.conversation_seq)).collect();
        seqs.sort();
        assert!(seqs.windows(2).all(|pair| pair[0] != pair[1]), "conversation seqs go on");
    }
}

#[test]
fn what_was_on_its_way_when_the_server_stopped_arrives() {
    for to in 1..4 {
        let mut cluster = begin(vec![blank(); 2], NOW);
        answer(&mut cluster, "alice", send(0, 1, 1));
        cluster.connect(1, "alice");
        cluster.request(1, "alice", send(0, 1, 2));
        (0..2).for_each(|me| cluster.sync(me));
        assert!(cluster.lanes.iter().any(|(.., shard_message)| matches!(shard_message, ShardMessage::Deliver { .. })));
        let (disks, done, _) = reshard(&cluster.take_disks(), to, DamagePolicy::Refuse);
        assert_eq!(done.completed, 1);
        let mut cluster = begin(disks, NOW);
        assert_eq!(inbox(&mut cluster, "bob").len(), 2);
        assert_eq!(inbox(&mut cluster, "bob"), inbox(&mut cluster, "alice"));
    }
}

#[test]
fn a_repair_says_which_seqs_are_lost_and_the_rest_is_there_and_goes_on() {
    let mut cluster = begin(vec![blank()], NOW);
    for number in 0..20 {
        answer(&mut cluster, "alice", send(0, 1, number));
    }
    let before = inbox(&mut cluster, "bob");
    fixtures::close_log(&mut cluster.shards[0]);
    let mut disks = cluster.take_disks();
    let place = (0..1 << 14).find(|at| disks[0].bytes(1)[*at..].starts_with(b"number 7")).expect("there");
    disks[0].flip(Position::new(1, place as u32), 1);
    let (disks, _, lost) = reshard(&disks, 1, DamagePolicy::Salvage);
    let gone = |id| Lost { user: user(id), from: Seq(8), through: Seq(8) };
    assert_eq!(lost, [gone("alice"), gone("bob")]);
    let (again, _, lost) = reshard(&disks, 2, DamagePolicy::Salvage);
    assert_eq!(lost, [], "what is known to be lost is not lost again");
    let mut cluster = begin(again, NOW);
    answer(&mut cluster, "alice", send(0, 1, 99));
    let after = inbox(&mut cluster, "bob");
    let expected: Vec<_> = before.into_iter().filter(|(seq, _)| *seq != Seq(8)).collect();
    assert!(after[..19] == expected && after[19].0 == Seq(21));
}

#[test]
fn who_is_known_and_what_was_consumed_is_so_in_the_new_logs_too() {
    let mut cluster = begin(vec![blank()], NOW);
    let (known, device) = (user(USERS[0]), DeviceKey { flag: 1, id: "phone".into() });
    cluster.open_on(device, 7, USERS[0], crate::shard::CatchUp::Backlog);
    let Command::Send(mut once) = send(0, 0, 1) else { unreachable!("a send") };
    let header = crate::model::HeaderFlags { sync_once: true, ..Default::default() };
    once.annotations = Some(Box::new(crate::model::Annotations { header, ..Default::default() }));
    let once = Command::Send(once);
    cluster.input(0, Input::Requested { session: SessionId(7), tag: RequestTag::None, command: once });
    cluster.settle();
    let message = inbox(&mut cluster, USERS[0])[0].1.id;
    cluster.shards[0].state.tables.consumed.insert(&known, message);
    cluster.shards[0].log.journal.append_lazily(&Record::Consumed { user: known.clone(), message });
    let still_here = user(USERS[1]);
    let desk = DeviceKey { flag: 1, id: "desk".into() };
    cluster.open_on(desk, 8, USERS[1], crate::shard::CatchUp::Sync);
    cluster.now = NOW.plus(5_000);
    cluster.input(0, Input::Closed { session: SessionId(7) });
    let (disks, ..) = reshard(&cluster.take_disks(), 3, DamagePolicy::Refuse);
    let mut cluster = begin(disks, NOW.plus(9_000));
    let home = cluster.home(USERS[0]);
    let inboxes = &cluster.shards[home].state.tables.inboxes;
    let place = inboxes.find(&known).expect("it has an inbox");
    assert!(inboxes.is_known(place));
    assert_eq!(inboxes.last_seen(place), NOW.wall.plus(5_000));
    let inboxes = &cluster.shards[cluster.home(USERS[1])].state.tables.inboxes;
    let place = inboxes.find(&still_here).expect("it has an inbox");
    assert_eq!(inboxes.last_seen(place), NOW.wall.plus(5_000), "nobody said that it left");
    assert!(inbox(&mut cluster, USERS[0]).is_empty(), "what was consumed is shown to nobody");
}
