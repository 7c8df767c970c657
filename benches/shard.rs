//! What one core's domain costs, without sockets and disks: `handle` for each verb, on one shard and across two, and
//! with more and more known users. `MUSHAN_BENCH_SMOKE=1` only proves that everything runs.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a bench reads its environment and a clock")]

mod common;

use common::model::testing::{plain_send, user};
use common::{criterion, is_smoke, thread_clock};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mushan::log::MemoryStorage;
use mushan::model::{
    Ack, Command, ConversationRef, ConversationSeq, Conversations, DeviceKey, GroupId, History, HistoryDirection,
    HookPolicy, HookVerdict, Limits, MarkRead, MessageId, Millis, Moment, OnHookFailure, Order, Policies, Receipt,
    Recipient, Reply, RequestTag, Revoke, SendKinds, Seq, SessionId, ShardId, Sizing, Sync, SyncDirection, Typing,
    UserId, Verb,
};
use mushan::shard::{
    CatchUp, Effect, ExternalEffect, HookTicket, Input, Placement, Shard, ShardMessage, ShardSettings, Ticket, Upkeep,
    Windows,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

const NO_CHECKPOINTS: &[&[u8]] = &[];
const NOW: Moment = Moment::told(Millis(1_700_000_000_000));
/// Sends of one measured run; the log is new for each.
const SENDS: u64 = 1_000;
/// Sends that share a sync.
const BATCH: u64 = 16;

/// Shards with their lanes, syncs that take no time, and nobody listening to the effects.
struct Cluster {
    placement: Placement,
    shards: Vec<Shard<MemoryStorage>>,
    effects: Vec<Effect>,
    shard_messages: Vec<(ShardId, ShardId, ShardMessage)>,
    /// The longest call of `handle`, and what it was given.
    longest: (Duration, &'static str),
    /// The newest message that was accepted.
    sent: MessageId,
    /// Questions to the operator's hook.
    questions: Vec<(ShardId, HookTicket)>,
}

impl Cluster {
    fn new(shards: u16) -> Self {
        Self::with_segments(shards, 8 << 20)
    }

    fn with_segments(shards: u16, segment_bytes: u32) -> Self {
        Self::with_policies(shards, segment_bytes, Policies::default())
    }

    fn with_policies(shards: u16, segment_bytes: u32, policies: Policies) -> Self {
        let placement = Placement::new(shards);
        let limits = Limits { sends_per_second: 1_000_000, sends_burst: u32::MAX, ..Limits::default() };
        let open = |me| {
            let settings = ShardSettings {
                me,
                placement,
                limits,
                policies,
                windows: Windows::default(),
                upkeep: Upkeep::default(),
                seed: 1,
                fingerprint_seed: 2,
            };
            Shard::open(settings, MemoryStorage::new(segment_bytes, u32::MAX), NO_CHECKPOINTS, NOW)
                .expect("a new log")
                .0
        };
        let shards: Vec<_> = placement.all().map(open).collect();
        let longest = (Duration::ZERO, "");
        let mut cluster = Self {
            placement,
            shards,
            effects: Vec::new(),
            shard_messages: Vec::new(),
            longest,
            sent: MessageId(0),
            questions: Vec::new(),
        };
        for me in placement.all() {
            cluster.shards[usize::from(me.0)].start(&mut cluster.effects);
            cluster.collect(me);
        }
        cluster.settle();
        cluster
    }

    fn open(&mut self, session: u64, id: &str) {
        let device = DeviceKey { flag: 0, id: "bench".into() };
        let tag = RequestTag::Sequence(0, Verb::Send);
        self.input(
            id,
            Input::Opened {
                session: SessionId(session),
                tag,
                user: user(id),
                device,
                catch_up: CatchUp::Sync,
                sizing: Sizing::Verbatim,
            },
        );
    }

    fn input(&mut self, id: &str, input: Input) {
        let me = self.placement.owner_of(&user(id));
        self.handle(me, input);
    }

    fn handle(&mut self, me: ShardId, input: Input) {
        let what = kind_of(&input);
        let before = thread_clock();
        self.shards[usize::from(me.0)].handle(NOW, input, &mut self.effects);
        let spent = thread_clock() - before;
        if spent > self.longest.0 {
            self.longest = (spent, what);
        }
        self.collect(me);
    }

    fn request(&mut self, session: u64, id: &str, command: Command) {
        let tag = RequestTag::Sequence(1, Verb::Send);
        self.input(id, Input::Requested { session: SessionId(session), tag, command });
    }

    fn order(&mut self, order: Order) {
        let me = self.placement.all().find(|me| self.shards[usize::from(me.0)].is_addressee(&order));
        self.handle(me.expect("some shard's"), Input::Ordered { ticket: Ticket(0), order });
        self.settle();
    }

    fn collect(&mut self, me: ShardId) {
        for effect in self.effects.drain(..) {
            match effect {
                Effect::External(ExternalEffect::Forward { to, shard_message }) => {
                    self.shard_messages.push((me, to, shard_message))
                }
                Effect::External(ExternalEffect::AskHook(question)) => self.questions.push((me, question.ticket)),
                Effect::Reply { reply: Reply::Sent { message_id, .. }, .. } => self.sent = message_id,
                other => drop(black_box(other)),
            }
        }
    }

    /// The hook allows what it is asked about.
    fn allow(&mut self) {
        while let Some((me, ticket)) = self.questions.pop() {
            self.handle(me, Input::HookAnswered { ticket, verdict: HookVerdict::Allowed });
        }
    }

    fn say_longest(&mut self, whose: &str) {
        let (spent, what) = std::mem::take(&mut self.longest);
        eprintln!("{whose}: the longest call took {spent:?}, {what}");
    }

    fn settle(&mut self) {
        loop {
            for (from, to, shard_message) in std::mem::take(&mut self.shard_messages) {
                self.handle(to, Input::Arrived { from, shard_message });
            }
            for me in self.placement.all() {
                while self.shards[usize::from(me.0)].has_more() {
                    self.handle(me, Input::Continued);
                }
                if let Some(batch) = self.shards[usize::from(me.0)].seal() {
                    self.handle(me, Input::Synced { end: batch.to });
                }
            }
            if self.shard_messages.is_empty() {
                return;
            }
        }
    }
}

fn sends(to: &str) -> Vec<Command> {
    let send = |n| {
        let id = format!("0b2f7f8e-7c55-4f10-9d0e-{n:012}");
        Command::Send(plain_send(&id, Recipient::User(user(to)), vec![b'x'; 128]))
    };
    (0..SENDS).map(send).collect()
}

/// From the command to the reply and the push, the record included; `BATCH` sends share a sync.
fn send(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shard/send");
    group.throughput(Throughput::Elements(SENDS));
    // With two shards alice is on one and bob on the other, who owns the conversation with his elder.
    for (name, shards, asked, (author, peer)) in [
        ("one shard", 1, SendKinds::default(), ("alice", "bob")),
        ("one shard, allowed by the hook", 1, SendKinds::OF_CLIENTS, ("alice", "bob")),
        ("to another shard", 2, SendKinds::default(), ("alice", "bob")),
        ("by another shard", 2, SendKinds::default(), ("bob", "alice")),
    ] {
        let hook = HookPolicy { asked, on_failure: OnHookFailure::Closed };
        let policies = Policies { hook, ..Policies::default() };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let mut cluster = Cluster::with_policies(shards, 8 << 20, policies);
                    cluster.open(1, author);
                    cluster.open(2, peer);
                    let commands = sends(peer);
                    let before = Instant::now();
                    for (command, n) in commands.into_iter().zip(1..) {
                        let tag = RequestTag::Sequence(n as u32, Verb::Send);
                        cluster.input(author, Input::Requested { session: SessionId(1), tag, command });
                        cluster.allow();
                        if n % BATCH == 0 {
                            cluster.settle();
                        }
                    }
                    cluster.settle();
                    spent += before.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

/// A shard with one conversation of `SENDS` messages.
fn filled() -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.open(1, "alice");
    for command in sends("bob") {
        cluster.input(
            "alice",
            Input::Requested { session: SessionId(1), tag: RequestTag::Sequence(1, Verb::Send), command },
        );
    }
    cluster.settle();
    cluster.open(2, "bob");
    cluster
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shard/read");
    let mut cluster = filled();
    let mut request = |session, command| {
        let tag = RequestTag::Sequence(1, Verb::Send);
        cluster.handle(ShardId(0), Input::Requested { session: SessionId(session), tag, command });
    };
    let page = |after, limit| Command::Sync(Sync { direction: SyncDirection::After(Seq(after)), limit });
    group.bench_function("sync, 100 newest", |bencher| bencher.iter(|| request(2, page(SENDS - 100, 100))));
    group.bench_function("sync, 100 oldest of 1,000", |bencher| bencher.iter(|| request(2, page(0, 100))));
    group.bench_function("sync, nothing new", |bencher| bencher.iter(|| request(2, page(SENDS, 100))));
    group.bench_function("ack", |bencher| bencher.iter(|| request(2, Command::Ack(Ack::Through(Seq(SENDS))))));
    let repeated = sends("bob").remove(0);
    group.bench_function("repeated send", |bencher| bencher.iter(|| request(1, repeated.clone())));
    group.finish();
}

/// A session comes and goes, among ever more known users.
fn sessions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shard/open and close");
    let most = if is_smoke() { 10_000 } else { 100_000 };
    for users in [10, 1_000, most] {
        let mut cluster = Cluster::new(1);
        (0..users).for_each(|n| cluster.open(n, &format!("user-{n}")));
        let mut session = users;
        group.bench_function(BenchmarkId::from_parameter(format!("{users} online")), |bencher| {
            bencher.iter(|| {
                session += 1;
                cluster.open(session, "somebody");
                cluster.handle(ShardId(0), Input::Closed { session: SessionId(session) });
            });
        });
    }
    group.finish();
}

fn kind_of(input: &Input) -> &'static str {
    match input {
        Input::Ordered { .. } => "an order",
        Input::Requested { command: Command::Receipt(_), .. } => "a receipt",
        Input::Requested { .. } => "a request",
        Input::Arrived { shard_message: ShardMessage::Deliver { .. }, .. } => "a delivery",
        Input::Arrived { .. } => "a shard message",
        Input::Synced { .. } => "a sync",
        Input::Continued => "to go on",
        _ => "something else",
    }
}

fn member(n: usize) -> UserId {
    user(&format!("member-{n:06}"))
}

fn group() -> GroupId {
    GroupId::new("everybody").expect("well formed")
}

/// A group over two shards, alice's, made in parts of `part` members.
fn peopled(members: usize, part: usize) -> Cluster {
    // Small segments: here it is the shard that zeroes them, in the middle of a call.
    let mut cluster = Cluster::with_segments(2, 1 << 20);
    let all: Vec<UserId> = (0..members - 1).map(member).collect();
    let mut parts = all.chunks(part);
    let first = parts.next().unwrap_or_default().to_vec();
    cluster.order(Order::CreateGroup { group: group(), owner: user("alice"), members: first });
    for part in parts {
        cluster.order(Order::ChangeMembers { group: group(), add: part.to_vec(), remove: Vec::new() });
    }
    cluster.open(1, "alice");
    cluster.settle();
    cluster
}

fn send_to_group(id: &str) -> Command {
    Command::Send(plain_send(id, Recipient::Group(group()), vec![b'x'; 128]))
}

/// One message to a group, into every member's inbox; up to a thousand of them are online. What the longest single call
/// of each verb took is printed: a turn makes many, and none may hold the others up.
fn groups(criterion: &mut Criterion) {
    let mut bench = criterion.benchmark_group("shard/fan out");
    bench.sample_size(10);
    let most = if is_smoke() { 5_000 } else { 100_000 };
    for members in [1_000, most] {
        let mut cluster = peopled(members, Order::MEMBERS_MAX.min(members));
        cluster.say_longest(&format!("making a group of {members}"));
        for n in 0..1_000 {
            cluster.open(2 + n as u64, member(n).as_str());
        }
        cluster.settle();
        cluster.longest = Default::default();
        let mut next = 0;
        bench.throughput(Throughput::Elements(members as u64));
        bench.bench_function(BenchmarkId::from_parameter(format!("{members} members")), |bencher| {
            bencher.iter(|| {
                next += 1;
                cluster.request(1, "alice", send_to_group(&next.to_string()));
                cluster.settle();
            });
        });
        cluster.say_longest(&format!("sending to a group of {members}"));
        let conversation = || ConversationRef::With(Recipient::Group(group()));
        let receipt = Receipt { messages: vec![cluster.sent], conversation: conversation() };
        cluster.request(2, member(0).as_str(), Command::Receipt(receipt));
        cluster.settle();
        cluster.say_longest(&format!("a receipt in a group of {members}"));
        cluster.request(1, "alice", Command::Revoke(Revoke { message: cluster.sent, conversation: conversation() }));
        cluster.settle();
        cluster.say_longest(&format!("taking back in a group of {members}"));
        let some: Vec<UserId> = (0..Order::MEMBERS_MAX.min(members / 2)).map(member).collect();
        let removed = some.len();
        cluster.order(Order::ChangeMembers { group: group(), add: Vec::new(), remove: some });
        cluster.say_longest(&format!("removing {removed} members of {members}"));
        cluster.order(Order::DissolveGroup { group: group() });
        cluster.say_longest(&format!("dissolving a group of {members}"));
    }
    bench.finish();
}

/// What each verb costs its own shard, in a group of ten with a thousand messages.
fn verbs(criterion: &mut Criterion) {
    let mut bench = criterion.benchmark_group("shard/verb");
    let mut cluster = Cluster::new(1);
    let members = (0..9).map(member).collect();
    cluster.order(Order::CreateGroup { group: group(), owner: user("alice"), members });
    cluster.open(1, "alice");
    cluster.open(2, member(0).as_str());
    for n in 0..SENDS {
        cluster.request(1, "alice", send_to_group(&n.to_string()));
        cluster.settle();
    }
    let reader = member(0);
    let sync = Sync { direction: SyncDirection::Before(Seq(0)), limit: 100 };
    cluster.effects.clear();
    let input = Input::Requested {
        session: SessionId(2),
        tag: RequestTag::Sequence(1, Verb::Sync),
        command: Command::Sync(sync),
    };
    cluster.shards[0].handle(NOW, input, &mut cluster.effects);
    let ids: Vec<_> = cluster
        .effects
        .drain(..)
        .filter_map(|effect| match effect {
            Effect::Reply { reply: Reply::Synced { entries, .. }, .. } => Some(entries),
            _ => None,
        })
        .flatten()
        .map(|entry| entry.message.id)
        .collect();
    let conversation = || ConversationRef::With(Recipient::Group(group()));
    let history =
        |direction| Command::History(History { conversation: conversation(), direction, limit: 100, topic: None });
    let commands = [
        (
            "receipt of 100, told before",
            Command::Receipt(Receipt { messages: ids.clone(), conversation: conversation() }),
        ),
        ("revoke, revoked before", Command::Revoke(Revoke { message: ids[50], conversation: conversation() })),
        ("typing", Command::Typing(Typing { conversation: conversation(), status: 1 })),
        ("history, 100 newest", history(HistoryDirection::Before(ConversationSeq(0)))),
        ("history, 100 oldest of 1,000", history(HistoryDirection::After(ConversationSeq(0)))),
        ("conversations", Command::Conversations(Conversations { before: Seq(0), limit: 100 })),
        ("mark read", Command::MarkRead(MarkRead { conversation: conversation(), through: ConversationSeq(9_999) })),
    ];
    let mut next = SENDS;
    bench.bench_function("send to a group of 10", |bencher| {
        bencher.iter(|| {
            next += 1;
            cluster.request(1, "alice", send_to_group(&next.to_string()));
            cluster.settle();
        });
    });
    for (name, command) in commands {
        let (session, id) = if let Command::Revoke(_) = command { (1, user("alice")) } else { (2, reader.clone()) };
        cluster.request(session, id.as_str(), command.clone());
        cluster.settle();
        bench.bench_function(name, |bencher| {
            bencher.iter(|| cluster.request(session, id.as_str(), command.clone()));
        });
    }
    bench.finish();
}

criterion_group! {
    name = benches;
    config = criterion(Duration::from_secs(3));
    targets = send, read, sessions, groups, verbs
}
criterion_main!(benches);
