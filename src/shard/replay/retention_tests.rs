//! Checkpoints, retention and cold history: a log may be short, damaged or slow, and no user sees anything else than
//! before, or is told so.

use crate::log::checkpoint::CHECKPOINT_VERSION;
use crate::log::{MemoryStorage, OpenError, Segments};
use crate::model::testing::{plain_send, user};
use crate::model::{
    Answer, Command, DeviceKey, Entry, Limits, Millis, Moment, Order, Policies, Position, Recipient, Refusal, Reply,
    RequestTag, Seq, SessionId, ShardId, Sync, SyncDirection, Verb,
};
use crate::shard::replay::checkpoint::survey;
use crate::shard::testing::fixtures::{change, create, to_group};
use crate::shard::*;
use bytes::Bytes;

const SEGMENT_BYTES: u32 = 4_096;
const DAY_MS: u64 = 24 * 3_600_000;

/// One shard, a disk that is never full, and what carries out its jobs.
struct Rig {
    shard: Shard<MemoryStorage>,
    settings: ShardSettings,
    now: Moment,
    sessions: u64,
    /// Newest first.
    checkpoints: Vec<Vec<u8>>,
    makes_checkpoints: bool,
}

fn settings(upkeep: Upkeep) -> ShardSettings {
    ShardSettings {
        me: ShardId(0),
        placement: Placement::new(1),
        limits: Limits { sends_per_second: 1_000_000, sends_burst: 1_000_000, ..Limits::default() },
        policies: Policies::default(),
        windows: Windows::default(),
        upkeep: Upkeep { checkpoint_bytes: u64::from(SEGMENT_BYTES), ..upkeep },
        seed: 3,
        fingerprint_seed: 4,
    }
}

impl Rig {
    fn new(upkeep: Upkeep) -> Self {
        let storage = MemoryStorage::new(SEGMENT_BYTES, u32::MAX).with_cold_segments();
        Self::on(upkeep, storage, Vec::new(), Moment::told(Millis(1_700_000_000_000))).expect("a new log")
    }

    fn on(upkeep: Upkeep, storage: MemoryStorage, checkpoints: Vec<Vec<u8>>, now: Moment) -> Result<Self, OpenError> {
        let settings = settings(upkeep);
        let (shard, _) = Shard::open(settings, storage, &checkpoints, now)?;
        Ok(Self { shard, settings, now, sessions: 100, checkpoints, makes_checkpoints: true })
    }

    /// Starts again with the checkpoints that `choose` leaves.
    fn restart(mut self, choose: impl FnOnce(&mut Vec<Vec<u8>>)) -> Result<Self, OpenError> {
        choose(&mut self.checkpoints);
        let storage = std::mem::replace(self.shard.storage_mut(), MemoryStorage::new(8, 0));
        Self::on(self.settings.upkeep, storage, self.checkpoints, self.now)
    }

    fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.shard.handle(self.now, input, &mut effects);
        if let Some(batch) = self.shard.seal() {
            self.shard.storage_mut().sync(batch);
            self.shard.handle(self.now, Input::Synced { end: batch.to }, &mut effects);
        }
        effects
    }

    /// Does what the shard wants to have read.
    fn with_fetches(&mut self, input: Input) -> (Vec<Effect>, usize) {
        let (mut rest, mut fetches) = (Vec::new(), 0);
        let mut effects = self.handle(input);
        while !effects.is_empty() {
            let mut next = Vec::new();
            for effect in effects {
                match effect {
                    Effect::External(ExternalEffect::Fetch(fetch)) => {
                        fetches += 1;
                        let fetched = fetch.read(self.shard.journal().storage());
                        next.extend(self.handle(Input::Fetched(Box::new(fetched))));
                    }
                    other => rest.push(other),
                }
            }
            effects = next;
        }
        (rest, fetches)
    }

    fn tick(&mut self) {
        if let Some(through) = self.shard.checkpoint_due().filter(|_| self.makes_checkpoints) {
            let made = survey(&self.settings, &self.checkpoints, self.shard.journal().storage(), through);
            self.checkpoints.insert(0, made.expect("sound").bytes);
            self.checkpoints.truncate(2);
            self.handle(Input::Checkpointed { through });
        }
        self.handle(Input::Ticked);
    }

    fn open(&mut self, id: &str) -> SessionId {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        let device = DeviceKey { flag: 0, id: "test".into() };
        self.handle(Input::Opened {
            session,
            tag: RequestTag::Sequence(0, Verb::Send),
            user: user(id),
            device,
            catch_up: CatchUp::Sync,
            sizing: crate::model::Sizing::Verbatim,
        });
        session
    }

    fn ask(&mut self, id: &str, command: Command) -> (Reply, usize) {
        let session = self.open(id);
        let tag = RequestTag::Sequence(1, Verb::Send);
        let (effects, fetches) = self.with_fetches(Input::Requested { session, tag, command });
        let is_paused = effects.contains(&Effect::Pause { session });
        assert_eq!(is_paused, effects.contains(&Effect::Resume { session }), "who is paused goes on");
        assert_eq!(is_paused, fetches > 0);
        self.handle(Input::Closed { session });
        let reply = effects.into_iter().find_map(|effect| match effect {
            Effect::Reply { reply, .. } => Some(reply),
            _ => None,
        });
        (reply.expect("an answer"), fetches)
    }

    fn send(&mut self, author: &str, peer: &str, id: &str) -> Reply {
        self.ask(author, message(peer, id)).0
    }

    fn page(&mut self, id: &str, direction: SyncDirection) -> (Vec<Entry>, Seq, bool) {
        match self.ask(id, Command::Sync(Sync { direction, limit: 20 })).0 {
            Reply::Synced { entries, server_max_seq, has_more } => (entries, server_max_seq, has_more),
            other => panic!("a sync is answered by a page, not {other:?}"),
        }
    }

    fn inbox(&mut self, id: &str) -> Vec<Entry> {
        let mut inbox: Vec<Entry> = Vec::new();
        loop {
            let after = inbox.last().map_or(Seq(0), |entry| entry.seq);
            let (entries, _, has_more) = self.page(id, SyncDirection::After(after));
            inbox.extend(entries);
            if !has_more {
                return inbox;
            }
        }
    }

    fn first_segment(&self) -> u32 {
        self.shard.journal().storage().segments().start
    }
}

fn message(peer: &str, id: &str) -> Command {
    Command::Send(plain_send(id, Recipient::User(user(peer)), format!("this is {id}")))
}

/// Four people who talk for a while.
fn talk(rig: &mut Rig, from: usize, to: usize) {
    let people = ["ann", "ben", "cyd", "dan"];
    for number in from..to {
        let (author, peer) = (people[number % 4], people[number / 4 % 4]);
        let reply = rig.send(author, peer, &format!("m-{number}"));
        assert!(matches!(reply, Reply::Sent { .. }), "{reply:?}");
        rig.now = rig.now.plus(1_000);
        rig.tick();
    }
}

/// What anybody can see.
fn view(rig: &mut Rig) -> Vec<Vec<Entry>> {
    ["ann", "ben", "cyd", "dan"].map(|id| rig.inbox(id)).into()
}

/// The answer to a send that was made before.
fn repeat(rig: &mut Rig, number: usize) -> Reply {
    let people = ["ann", "ben", "cyd", "dan"];
    rig.send(people[number % 4], people[number / 4 % 4], &format!("m-{number}"))
}

impl Rig {
    /// Another start from the same disk, with the checkpoints that `choose` leaves; this one goes on.
    fn fork(&mut self, choose: impl FnOnce(&mut Vec<Vec<u8>>)) -> Result<Self, OpenError> {
        let mut checkpoints = self.checkpoints.clone();
        choose(&mut checkpoints);
        let storage = self.shard.journal().storage().clone();
        Self::on(self.settings.upkeep, storage, checkpoints, self.now)
    }
}

#[test]
fn a_start_from_any_checkpoint_sees_what_a_start_from_the_whole_log_sees() {
    let mut rig = Rig::new(Upkeep::default());
    talk(&mut rig, 0, 200);
    assert_eq!(rig.checkpoints.len(), 2);
    let whole = &mut rig.fork(Vec::clear).expect("opens");
    let answers: Vec<Reply> = (0..200).map(|number| repeat(whole, number)).collect();
    let seen = view(whole);
    let next = whole.send("ann", "ben", "next");
    let choices: [fn(&mut Vec<Vec<u8>>); 3] = [
        |_all| {},
        |newest_damaged| newest_damaged[0][100] ^= 4,
        |both_damaged| both_damaged.iter_mut().for_each(|bytes| bytes.truncate(70)),
    ];
    for choose in choices {
        let mut other = rig.fork(choose).expect("opens");
        assert_eq!(view(&mut other), seen);
        assert!((0..200).all(|number| repeat(&mut other, number) == answers[number]), "the first answers");
        assert_eq!(other.send("ann", "ben", "next"), next);
    }
}

#[test]
fn a_checkpoint_made_step_by_step_is_as_good_as_one_made_at_once() {
    let mut rig = Rig::new(Upkeep::default());
    talk(&mut rig, 0, 150);
    let through = rig.first_segment() + rig.shard.journal().segments().len() as u32 - 2;
    let make = |previous: &[Vec<u8>], through| {
        survey(&rig.settings, previous, rig.shard.journal().storage(), through).expect("sound")
    };
    let at_once = make(&[], through).bytes;
    let mut stepwise = Vec::new();
    for through in 1..=through {
        stepwise = vec![make(&stepwise, through).bytes];
    }
    let past_a_damaged_one = make(&[vec![0; 99], stepwise[0].clone()], through);
    assert_eq!(past_a_damaged_one.unusable.len(), 1);
    let [one, other] = [at_once, past_a_damaged_one.bytes]
        .map(|bytes| rig.fork(|checkpoints| *checkpoints = vec![bytes]).expect("opens"));
    let [one, other] = [one, other].map(|mut rig| (view(&mut rig), rig.send("dan", "cyd", "next")));
    assert_eq!(one, other);
}

#[test]
fn a_checkpoint_of_another_version_is_refused_and_not_passed_over() {
    let mut rig = Rig::new(Upkeep::default());
    talk(&mut rig, 0, 60);
    let mut newer = rig.checkpoints.clone();
    let whole = newer[0].len() - 4;
    newer[0][8] += 1;
    let crc = crc32c::crc32c(&newer[0][..whole]);
    newer[0][whole..].copy_from_slice(&crc.to_le_bytes());
    let error = rig.fork(|checkpoints| *checkpoints = newer).err().expect("nobody here can read it");
    let OpenError::CheckpointVersion { version, supported } = error else { panic!("{error}") };
    assert_eq!((version, supported), (CHECKPOINT_VERSION + 1, CHECKPOINT_VERSION));
    assert!(OpenError::CheckpointVersion { version, supported }.is_of_another_version());
}

#[test]
fn a_checkpoint_is_evidence_a_log_without_what_it_saw_is_refused() {
    let mut rig = Rig::new(Upkeep::default());
    talk(&mut rig, 0, 60);
    let checkpoints = rig.checkpoints.clone();
    let young = Rig::new(Upkeep::default());
    let storage = young.shard.journal().storage().clone();
    let error = Rig::on(Upkeep::default(), storage, checkpoints, rig.now).err().expect("a log that is too short");
    assert!(matches!(error, OpenError::Shortened { .. }), "{error}");
    let segments = rig.shard.journal().segments();
    for segment in segments.start..segments.end - 1 {
        let mut storage = rig.shard.journal().storage().clone();
        for offset in (64..SEGMENT_BYTES).step_by(8) {
            storage.flip(Position::new(segment, offset), 1);
        }
        let opened = Rig::on(Upkeep::default(), storage, rig.checkpoints.clone(), rig.now);
        if let Ok(mut opened) = opened {
            let (reply, _) =
                opened.ask("ann", Command::Sync(Sync { direction: SyncDirection::After(Seq(0)), limit: 500 }));
            assert!(matches!(reply, Reply::Refused(_)), "segment {segment} is rubbish, and nobody is shown any of it");
        }
    }
}

#[test]
fn history_that_is_cold_is_read_elsewhere_and_says_the_same() {
    let mut rig = Rig::new(Upkeep::default());
    talk(&mut rig, 0, 200);
    let fetched = rig.shard.stats().fetched;
    let inbox = rig.inbox("ann");
    assert!(rig.shard.stats().fetched > fetched, "the beginning of the inbox is cold");
    assert!((1..).zip(&inbox).all(|(seq, entry)| entry.seq == Seq(seq)));
    let (newest, max_seq, has_more) = rig.page("ann", SyncDirection::Before(Seq(0)));
    assert_eq!((&newest[..], max_seq, has_more), (&inbox[inbox.len() - 20..], inbox[inbox.len() - 1].seq, true));
    let (reply, fetches) = rig.ask("ann", message("ann", "m-0"));
    assert_eq!(fetches, 1, "the first answer is cold too");
    assert!(matches!(reply, Reply::Sent { seq, .. } if seq == inbox[0].seq));
    assert!(
        matches!(rig.send("ann", "ben", "m-0"), Reply::Refused(refused) if refused.refusal == Refusal::ClientMessageIdReused)
    );
    rig.shard.storage_mut().lose(1);
    let sync = Sync { direction: SyncDirection::After(Seq(0)), limit: 20 };
    for command in [Command::Sync(sync), message("ann", "m-0")] {
        let (reply, _) = rig.ask("ann", command);
        assert!(matches!(reply, Reply::Refused(refused) if refused.refusal == Refusal::StorageDamaged), "{reply:?}");
    }
    assert_eq!(rig.shard.stats().unreadable, 2, "whoever watches the server sees each");
}

#[test]
fn cold_history_that_is_in_memory_is_read_at_once_and_says_the_same() {
    let read = |is_resident: fn(u32) -> bool| {
        let storage = MemoryStorage::new(SEGMENT_BYTES, u32::MAX).with_cold_segments().with_residents(is_resident);
        let mut rig = Rig::on(Upkeep::default(), storage, Vec::new(), Moment::told(Millis(1_700_000_000_000)))
            .expect("a new log");
        talk(&mut rig, 0, 200);
        let before = rig.shard.stats().fetched;
        (rig.inbox("ann"), rig.shard.stats().fetched - before)
    };
    let (inbox, fetched) = read(|_segment| false);
    assert_eq!(read(|_segment| true), (inbox.clone(), 0));
    let (found, behind_a_cold_one) = read(|segment| segment != 2);
    assert!(found == inbox && (1..fetched).contains(&behind_a_cold_one), "{behind_a_cold_one} of {fetched}");
}

#[test]
fn a_repetition_found_cold_that_is_too_old_to_count_is_sent_anew() {
    let mut rig = Rig::new(Upkeep::default());
    talk(&mut rig, 0, 100);
    rig.now = rig.now.plus(DAY_MS);
    let before = rig.inbox("ann").len();
    assert!(matches!(repeat(&mut rig, 0), Reply::Sent { .. }));
    assert_eq!(rig.inbox("ann").len(), before + 1);
}

#[test]
fn what_is_old_goes_and_seqs_and_order_stay() {
    let mut rig = Rig::new(Upkeep { retention_ms: 7 * DAY_MS, ..Upkeep::default() });
    rig.send("old", "old", "all of my history");
    talk(&mut rig, 0, 100);
    let before = view(&mut rig);
    rig.now = rig.now.plus(8 * DAY_MS);
    talk(&mut rig, 100, 160);
    (0..100).for_each(|_| rig.tick());
    assert!(rig.first_segment() > 5, "{} is the first segment", rig.first_segment());
    let after = view(&mut rig);
    for (before, after) in before.iter().zip(&after) {
        let (first, newest) = (after[0].seq.0, after[after.len() - 1].seq.0);
        assert!(first > 1 && first <= before.len() as u64 + 1, "begins with {first} of {}", before.len());
        assert_eq!(newest - first + 1, after.len() as u64, "no hole behind the beginning");
    }
    for keep in [2, 1] {
        let mut other = rig.fork(|all| drop(all.drain(..2 - keep))).expect("opens");
        assert_eq!(view(&mut other), after);
        let (entries, max_seq, has_more) = other.page("old", SyncDirection::After(Seq(0)));
        assert_eq!((entries, max_seq, has_more), (vec![], Seq(1), false));
        let (entries, _, has_more) = other.page("old", SyncDirection::Before(Seq(0)));
        assert_eq!((entries, has_more), (vec![], false));
        let reply = other.send("old", "old", "I am back");
        assert!(
            matches!(reply, Reply::Sent { seq: Seq(2), conversation_seq, .. } if conversation_seq.0 == 2),
            "{reply:?}"
        );
        let (entries, _, has_more) = other.page("old", SyncDirection::After(Seq(0)));
        assert_eq!((entries.len(), entries[0].seq, has_more), (1, Seq(2), false));
        let (entries, _, has_more) = other.page("ann", SyncDirection::Before(Seq(after[0][0].seq.0 + 1)));
        assert_eq!((entries.len(), has_more), (1, false), "the floor is the end");
    }
    let error = rig.fork(Vec::clear).err().expect("the beginning is gone, and nothing says what stood there");
    assert!(matches!(error, OpenError::BeginningMissing { .. }), "{error}");
}

#[test]
fn retention_never_takes_what_a_retry_may_ask_for_or_a_start_needs() {
    let tight = Upkeep { retention_ms: 1, retention_bytes: 1, ..Upkeep::default() };
    let mut rig = Rig::new(tight);
    talk(&mut rig, 0, 200);
    (0..50).for_each(|_| rig.tick());
    assert_eq!(rig.first_segment(), 1, "younger than the dedupe's window");
    rig.makes_checkpoints = false;
    rig.checkpoints.clear();
    let mut rig = rig.restart(Vec::clear).expect("opens");
    rig.makes_checkpoints = false;
    rig.now = rig.now.plus(2 * DAY_MS);
    (0..50).for_each(|_| rig.tick());
    assert_eq!(rig.first_segment(), 1, "no two checkpoints say what stood there");
    rig.makes_checkpoints = true;
    talk(&mut rig, 200, 320);
    (0..50).for_each(|_| rig.tick());
    assert!(rig.first_segment() > 1);
}

#[test]
fn a_log_longer_than_it_may_be_loses_its_oldest_segments() {
    let limit = u64::from(SEGMENT_BYTES) * 8;
    let mut rig = Rig::new(Upkeep { retention_bytes: limit, ..Upkeep::default() });
    for round in 0..6 {
        talk(&mut rig, round * 60, round * 60 + 60);
        rig.now = rig.now.plus(2 * DAY_MS);
    }
    (0..50).for_each(|_| rig.tick());
    assert_eq!(rig.shard.journal().segments().len(), 8);
    assert_eq!(rig.shard.stats().dropped_segments, u64::from(rig.first_segment() - 1));
}

/// Members of a group whose links take several segments.
fn crowd() -> Vec<String> {
    (0..1_500).map(|number| format!("m{number}")).collect()
}

impl Rig {
    /// With ticks between, so that each segment has its checkpoint; a tick tries again what waits for room.
    fn go_on(&mut self) {
        for _ in 0..200 {
            self.tick();
            self.handle(Input::Continued);
        }
    }

    fn wait(&mut self, days: u64) {
        self.now = self.now.plus(days * DAY_MS);
        for _ in 0..200 {
            self.now = self.now.plus(1_000);
            self.tick();
        }
    }

    fn order(&mut self, order: Order) {
        let mut answered = self.handle(Input::Ordered { ticket: Ticket(1), order });
        // It asks for many users a part at a time.
        for _ in 0..20 {
            answered.extend(self.handle(Input::Continued));
        }
        let is_done =
            |effect: &Effect| matches!(effect, Effect::External(ExternalEffect::Answer { answer: Answer::Done, .. }));
        assert!(answered.iter().any(is_done), "{answered:?}");
        self.go_on();
    }

    /// What the newest entry of each member's inbox says.
    fn newest_told(&mut self) -> Vec<Bytes> {
        let told = |id: &String| {
            let (entries, ..) = self.page(id, SyncDirection::Before(Seq(0)));
            entries.last().map(|entry| entry.message.content.bytes().clone()).unwrap_or_default()
        };
        crowd().iter().map(told).collect()
    }
}

#[test]
fn a_groups_message_stays_while_it_is_on_its_way_and_as_long_as_the_last_member_keeps_it() {
    let storage = MemoryStorage::new(2 * SEGMENT_BYTES, u32::MAX).with_cold_segments();
    let upkeep = Upkeep { retention_ms: 7 * DAY_MS, ..Upkeep::default() };
    let mut rig = Rig::on(upkeep, storage, Vec::new(), Moment::told(Millis(1_700_000_000_000))).expect("a new log");
    let crowd = crowd();
    let members: Vec<&str> = crowd.iter().map(String::as_str).collect();
    rig.order(create("g", "ann", &[]));
    members.chunks(300).for_each(|some| rig.order(change("g", some, &[])));
    rig.wait(1);
    // Room for the message and for the links of some.
    rig.shard.storage_mut().set_spares(4);
    let body = rig.shard.journal().segments().end - 1;
    let (reply, _) = rig.ask("ann", to_group("hello", "g", "hello"));
    assert!(matches!(reply, Reply::Sent { .. }), "{reply:?}");
    rig.go_on();
    assert_eq!(rig.shard.stats().fanning_out, 1, "it waits for room");
    rig.wait(30);
    assert_eq!(rig.first_segment(), body, "what is older goes, and this one though it is old does not");

    let mut rig = rig.restart(|_all| ()).expect("opens");
    rig.shard.storage_mut().set_spares(u32::MAX);
    rig.go_on();
    assert_eq!(rig.shard.stats().fanning_out, 0);
    talk(&mut rig, 0, 60);
    rig.wait(6);
    assert_eq!(rig.first_segment(), body, "the last members have had it for six days");
    assert!(rig.newest_told().iter().all(|told| *told == "hello"));
    rig.wait(2);
    assert!(rig.first_segment() > body, "all have had it for eight days");
    assert!(rig.newest_told().iter().all(Bytes::is_empty));
}

#[path = "retention_clock_tests.rs"]
mod clock_tests;

#[path = "retention_read_tests.rs"]
mod read_tests;
