//! Users talk on some shards, the logs are rewritten for another number, and everybody finds what was there.

use super::*;
use crate::log::{Batch, MemoryStorage};
pub(super) use crate::model::testing::user;
use crate::model::{
    Ack, ClientMessageId, Command, DeviceKey, Extra, Limits, Millis, Moment, Policies, Recipient, Reply, RequestTag,
    Send, SessionId, Sync, SyncDirection, Verb,
};
use crate::shard::{
    DamagePolicy, Effect, Examined, Findings, Input, Lost, Shard, ShardMessage, Upkeep, Windows, audit,
};
use std::collections::VecDeque;

pub(super) const NONE: &[&[u8]] = &[];
pub(super) const USERS: [&str; 7] = ["alice", "bob", "carol", "dave", "erin", "小明", "zoe"];
pub(super) const NOW: Moment = Moment::told(Millis(1_700_000_000_000));

pub(super) struct World {
    pub(super) shards: Vec<Shard<MemoryStorage>>,
    lanes: VecDeque<(ShardId, ShardId, ShardMessage)>,
    replies: Vec<Reply>,
    pub(super) now: Moment,
}

pub(super) fn settings(me: u16, shards: u16) -> ShardSettings {
    ShardSettings {
        me: ShardId(me),
        placement: Placement::new(shards),
        limits: Limits::default(),
        policies: Policies::default(),
        windows: Windows::default(),
        upkeep: Upkeep::default(),
        seed: 5,
        fingerprint_seed: 6,
    }
}

pub(super) fn blank() -> MemoryStorage {
    MemoryStorage::new(1 << 14, 100)
}

impl World {
    pub(super) fn on(disks: Vec<MemoryStorage>, now: Moment) -> Self {
        let count = disks.len() as u16;
        let open = |(me, disk)| Shard::open(settings(me, count), disk, NONE, now).expect("opens").0;
        let shards = (0..).zip(disks).map(open).collect();
        let mut world = Self { shards, lanes: VecDeque::new(), replies: Vec::new(), now };
        for me in 0..world.shards.len() {
            let mut effects = Vec::new();
            world.shards[me].start(&mut effects);
            world.carry(me, effects);
        }
        world.settle();
        assert!(world.shards.iter().all(Shard::is_ready));
        world
    }

    fn carry(&mut self, me: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Forward { to, shard_message } => self.lanes.push_back((ShardId(me as u16), to, shard_message)),
                Effect::Reply { reply, .. } => self.replies.push(reply),
                _ => {}
            }
        }
    }

    fn input(&mut self, me: usize, input: Input) {
        let mut effects = Vec::new();
        self.shards[me].handle(self.now, input, &mut effects);
        self.carry(me, effects);
    }

    fn sync(&mut self) {
        for me in 0..self.shards.len() {
            if let Some(batch) = self.shards[me].seal() {
                self.shards[me].storage_mut().sync(batch);
                self.input(me, Input::Synced { end: batch.to });
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..12 {
            while let Some((from, to, shard_message)) = self.lanes.pop_front() {
                self.input(usize::from(to.0), Input::Arrived { from, shard_message });
            }
            self.sync();
        }
    }

    pub(super) fn home(&self, id: &str) -> usize {
        usize::from(Placement::new(self.shards.len() as u16).owner_of(&user(id)).0)
    }

    /// One request in a session of its own.
    fn ask(&mut self, id: &str, command: Command) {
        let (me, session) = (self.home(id), SessionId(1));
        let device = DeviceKey { flag: 0, id: "d".into() };
        self.input(
            me,
            Input::Opened {
                session,
                tag: RequestTag::Sequence(0, Verb::Send),
                user: user(id),
                device,
                catch_up: crate::shard::CatchUp::Sync,
                sizing: crate::model::Sizing::Verbatim,
            },
        );
        self.sync();
        self.replies.clear();
        self.input(me, Input::Requested { session, tag: RequestTag::Sequence(1, Verb::Send), command });
    }

    pub(super) fn answer(&mut self, id: &str, command: Command) -> Reply {
        self.ask(id, command);
        self.settle();
        let me = self.home(id);
        self.input(me, Input::Closed { session: SessionId(1) });
        std::mem::take(&mut self.replies).into_iter().next().expect("an answer")
    }

    pub(super) fn inbox(&mut self, id: &str) -> Vec<(Seq, Arc<Message>)> {
        let sync = Sync { direction: SyncDirection::After(Seq(0)), limit: 10_000 };
        match self.answer(id, Command::Sync(sync)) {
            Reply::Synced { entries, .. } => entries.into_iter().map(|it| (it.seq, it.message)).collect(),
            other => panic!("a sync is answered by a page, not {other:?}"),
        }
    }

    pub(super) fn disks(&mut self) -> Vec<MemoryStorage> {
        self.shards.iter_mut().map(|it| std::mem::replace(it.storage_mut(), MemoryStorage::new(8, 0))).collect()
    }
}

pub(super) fn send(from: usize, to: usize, number: usize) -> Command {
    Command::Send(Send {
        client_message_id: ClientMessageId::new(&format!("{from}-{number}")).expect("well formed"),
        recipient: Recipient::User(user(USERS[to])),
        conversation_name: None,
        message_type: 1,
        content: format!("number {number}").into_bytes().into(),
        send_time: 0,
        extra: Extra::default(),
        annotations: None,
    })
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

pub(super) fn chance(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[test]
fn whatever_the_number_of_shards_everybody_finds_what_was_there_and_goes_on() {
    for seed in 0..12 {
        let mut state = seed;
        let first = 1 + chance(&mut state) % 4;
        let mut world = World::on(vec![blank(); first], NOW);
        let mut said = Vec::new();
        for life in 0..4 {
            for number in 0..40 {
                let (from, to) = (chance(&mut state) % USERS.len(), chance(&mut state) % USERS.len());
                world.now = world.now.plus(1);
                let command = send(from, to, life * 100 + number);
                let reply = world.answer(USERS[from], command.clone());
                assert!(matches!(reply, Reply::Sent { .. }), "{reply:?}");
                said.push((from, command, reply));
            }
            world.answer("bob", Command::Ack(Ack::Through(Seq(3))));
            (0..world.shards.len()).for_each(|me| world.input(me, Input::Ticked));
            let before: Vec<_> = USERS.iter().map(|id| world.inbox(id)).collect();
            let now = world.now;
            let (disks, _, lost) = reshard(&world.disks(), 1 + (chance(&mut state) % 5) as u16, DamagePolicy::Refuse);
            assert_eq!(lost, []);
            world = World::on(disks, now);
            let after: Vec<_> = USERS.iter().map(|id| world.inbox(id)).collect();
            assert!(before == after, "seed {seed} life {life}");
            for (from, command, reply) in &said {
                assert_eq!(world.answer(USERS[*from], command.clone()), *reply, "a repeated send gets its answer");
            }
            let device = DeviceKey { flag: 0, id: "d".into() };
            assert!(world.shards[world.home("bob")].delivered(&user("bob"), &device) >= Some(Seq(3)));
        }
        let mut ids: Vec<_> = USERS.iter().flat_map(|id| world.inbox(id)).map(|(_, it)| it).collect();
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
        let mut world = World::on(vec![blank(); 2], NOW);
        world.answer("alice", send(0, 1, 1));
        world.ask("alice", send(0, 1, 2));
        world.sync();
        assert!(world.lanes.iter().any(|(.., shard_message)| matches!(shard_message, ShardMessage::Deliver { .. })));
        let (disks, done, _) = reshard(&world.disks(), to, DamagePolicy::Refuse);
        assert_eq!(done.completed, 1);
        let mut world = World::on(disks, NOW);
        assert_eq!(world.inbox("bob").len(), 2);
        assert_eq!(world.inbox("bob"), world.inbox("alice"));
    }
}

#[test]
fn a_repair_says_which_seqs_are_lost_and_the_rest_is_there_and_goes_on() {
    let mut world = World::on(vec![blank()], NOW);
    for number in 0..20 {
        world.answer("alice", send(0, 1, number));
    }
    let before = world.inbox("bob");
    crate::shard::testing::fixtures::close_log(&mut world.shards[0]);
    let mut disks = world.disks();
    let place = (0..1 << 14).find(|at| disks[0].bytes(1)[*at..].starts_with(b"number 7")).expect("there");
    disks[0].flip(Position::new(1, place as u32), 1);
    let (disks, _, lost) = reshard(&disks, 1, DamagePolicy::Salvage);
    let gone = |id| Lost { user: user(id), from: Seq(8), through: Seq(8) };
    assert_eq!(lost, [gone("alice"), gone("bob")]);
    let (again, _, lost) = reshard(&disks, 2, DamagePolicy::Salvage);
    assert_eq!(lost, [], "what is known to be lost is not lost again");
    let mut world = World::on(again, NOW);
    world.answer("alice", send(0, 1, 99));
    let after = world.inbox("bob");
    let expected: Vec<_> = before.into_iter().filter(|(seq, _)| *seq != Seq(8)).collect();
    assert!(after[..19] == expected && after[19].0 == Seq(21));
}

#[test]
fn who_is_known_and_what_was_consumed_is_so_in_the_new_logs_too() {
    let mut world = World::on(vec![blank()], NOW);
    let (known, device) = (user(USERS[0]), DeviceKey { flag: 1, id: "phone".into() });
    let catch_up = crate::shard::CatchUp::Backlog;
    world.input(
        0,
        Input::Opened {
            session: SessionId(7),
            tag: RequestTag::None,
            user: known.clone(),
            device,
            catch_up,
            sizing: crate::model::Sizing::Verbatim,
        },
    );
    let Command::Send(mut once) = send(0, 0, 1) else { unreachable!("a send") };
    let header = crate::model::HeaderFlags { sync_once: true, ..Default::default() };
    once.annotations = Some(Box::new(crate::model::Annotations { header, ..Default::default() }));
    let once = Command::Send(once);
    world.input(0, Input::Requested { session: SessionId(7), tag: RequestTag::None, command: once });
    world.settle();
    let message = world.inbox(USERS[0])[0].1.id;
    world.shards[0].state.tables.consumed.insert(&known, message);
    world.shards[0].log.journal.append_lazily(&Record::Consumed { user: known.clone(), message });
    let still_here = user(USERS[1]);
    let opened = Input::Opened {
        session: SessionId(8),
        tag: RequestTag::None,
        user: still_here.clone(),
        device: DeviceKey { flag: 1, id: "desk".into() },
        catch_up: crate::shard::CatchUp::Sync,
        sizing: crate::model::Sizing::Verbatim,
    };
    world.input(0, opened);
    world.now = NOW.plus(5_000);
    world.input(0, Input::Closed { session: SessionId(7) });
    let (disks, ..) = reshard(&world.disks(), 3, DamagePolicy::Refuse);
    let mut world = World::on(disks, NOW.plus(9_000));
    let home = world.home(USERS[0]);
    let inboxes = &world.shards[home].state.tables.inboxes;
    let place = inboxes.find(&known).expect("it has an inbox");
    assert!(inboxes.is_known(place));
    assert_eq!(inboxes.last_seen(place), NOW.wall.plus(5_000));
    let inboxes = &world.shards[world.home(USERS[1])].state.tables.inboxes;
    let place = inboxes.find(&still_here).expect("it has an inbox");
    assert_eq!(inboxes.last_seen(place), NOW.wall.plus(5_000), "nobody said that it left");
    assert!(world.inbox(USERS[0]).is_empty(), "what was consumed is shown to nobody");
}
