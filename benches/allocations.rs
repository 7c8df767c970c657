//! The number of allocations of a message on its way from the bytes of one socket to those of others: decoded, handled
//! by the shard, recorded, synced, encoded and acknowledged. There is one shard with a pair or a group whose members
//! are all online, after warming up. Sockets and disks are left out: the reactor's ring and mapped files allocate
//! nothing per message.
//!
//! A counting allocator measures this. `MUSHAN_BENCH_SMOKE=1` only proves that it runs. Names as arguments (`binary`,
//! `jsonrpc`; `pair`, `group`) select measurements. To count instructions by function, run the bench with `valgrind
//! --tool=callgrind --toggle-collect='allocations::serve*'`; the counts are for twice the messages of a row of the
//! table, because the messages that warm up are counted too.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a bench lives in the world")]

mod common;

use bytes::Bytes;
use common::is_smoke;
use mushan::log::MemoryStorage;
use mushan::model::{Answer, DeviceKey, GroupId, Limits, Millis, Moment, Order, Policies, Seq, ShardId, UserId};
use mushan::server::turn::{Action, Common, LinkKey, Turn};
use mushan::shard::{ExternalEffect, Placement, Shard, ShardSettings, Ticket, Upkeep, Windows};
use mushan::wire::proto::{AuthRequest, CommandType, MessageAck, SendMessageRequest, WebSocketMessage};
use mushan::wire::{Context, HandshakePolicy, ServerKey, token};
use prost::Message as _;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator with counters.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: usize) {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

fn counted() -> (u64, u64) {
    (ALLOCATIONS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed))
}

const NOW: Moment = Moment::told(Millis(1_700_000_000_000));
const SECRET: &[u8] = b"a secret of some thirty-two bytes";
const NO_CHECKPOINTS: &[&[u8]] = &[];
const GROUP: &str = "bench-team";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Binary,
    JsonRpc,
}

/// One core without its sockets and disk.
struct Core {
    turn: Turn<MemoryStorage>,
    now: Moment,
    /// Empty outboxes for reuse, as in the reactor.
    spares: Vec<Vec<u8>>,
    actions: Vec<Action>,
    written: u64,
}

impl Core {
    fn new() -> Self {
        let placement = Placement::new(1);
        let limits = Limits { sends_per_second: 1_000_000, sends_burst: u32::MAX, ..Limits::default() };
        let settings = ShardSettings {
            me: ShardId(0),
            placement,
            limits,
            policies: Policies::default(),
            windows: Windows::default(),
            upkeep: Upkeep::default(),
            seed: 1,
            fingerprint_seed: 2,
        };
        let storage = MemoryStorage::new(256 << 20, u32::MAX);
        let (shard, _) = Shard::open(settings, storage, NO_CHECKPOINTS, NOW).expect("a new log");
        let context = Context {
            limits,
            handshake: HandshakePolicy::default(),
            server_version: "bench",
            server_key: ServerKey::of([1; 32]),
            node_id: 1,
            inbox_epoch: 1,
        };
        let common = Common {
            me: ShardId(0),
            placement,
            context: Arc::new(context),
            keyring: token::Verifier::hs256(SECRET, 5_000).into(),
        };
        let mut turn = Turn::new(shard, common, || *b"saltsaltsaltsalt");
        turn.start(NOW);
        let mut core = Self { turn, now: NOW, spares: Vec::new(), actions: Vec::new(), written: 0 };
        core.settle();
        core
    }

    /// Commits, and takes the bytes to be written.
    fn settle(&mut self) {
        loop {
            if let Some(batch) = self.turn.seal() {
                self.turn.synced(self.now, batch.to);
            }
            let mut actions = self.turn.take_actions(std::mem::take(&mut self.actions));
            if actions.is_empty() && !self.turn.has_more() {
                self.actions = actions;
                return;
            }
            if self.turn.has_more() {
                self.turn.continue_background(self.now);
            }
            self.carry_out(&mut actions);
            self.actions = actions;
        }
    }

    fn carry_out(&mut self, actions: &mut Vec<Action>) {
        for action in actions.drain(..) {
            let Action::Write(key) = action else { continue };
            let mut bytes = self.turn.drain_outbox(key, self.spares.pop().unwrap_or_default());
            self.written += bytes.len() as u64;
            self.turn.wrote(self.now, key, bytes.len());
            bytes.clear();
            self.spares.push(bytes);
        }
    }

    fn give(&mut self, key: LinkKey, bytes: &mut [u8]) {
        self.turn.received(self.now, key, bytes);
    }

    fn log_in(&mut self, protocol: Protocol, user: &str) -> LinkKey {
        let path = if protocol == Protocol::Binary { "/ws" } else { "/rpc" };
        let key = self.turn.accept(self.now);
        let mut upgrade = format!(
            "GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        .into_bytes();
        self.give(key, &mut upgrade);
        let id = UserId::new(user).expect("well formed");
        let token = token::mint(SECRET, &id, self.now.wall, self.now.wall.plus(3_600_000));
        let mut login = match protocol {
            Protocol::Binary => {
                let body = AuthRequest { user_id: user.to_owned(), token, platform: "bench".to_owned() };
                binary(CommandType::CmdAuthReq, &body)
            }
            Protocol::JsonRpc => frame(
                0x81,
                format!(
                    r#"{{"method":"connect","params":{{"uid":"{user}","token":"{token}","deviceId":"bench"}},"id":"connect"}}"#
                )
                .as_bytes(),
            ),
        };
        self.give(key, &mut login);
        self.settle();
        assert!(self.turn.is_authenticated(key), "{user} is let in");
        key
    }

    /// The first user creates a group of all users.
    fn make_group(&mut self, users: &[String]) {
        let mut users: Vec<UserId> = users.iter().map(|user| UserId::new(user).expect("well formed")).collect();
        let (group, owner) = (GroupId::new(GROUP).expect("well formed"), users.remove(0));
        self.turn.ordered(self.now, Ticket(1), Order::CreateGroup { group, owner, members: users });
        if let Some(batch) = self.turn.seal() {
            self.turn.synced(self.now, batch.to);
        }
        let mut actions = self.turn.take_actions(Vec::new());
        let is_made = |action: &Action| match action {
            Action::External(ExternalEffect::Answer { answer, .. }) => !matches!(answer, Answer::Refused(_)),
            _ => false,
        };
        assert!(actions.iter().any(is_made), "the group is made");
        self.carry_out(&mut actions);
        self.settle();
    }
}

fn binary(command: CommandType, body: &impl prost::Message) -> Vec<u8> {
    let body = Bytes::from(body.encode_to_vec());
    let envelope = WebSocketMessage { command: command.into(), sequence: 1, body, timestamp: 0 };
    frame(0x82, &envelope.encode_to_vec())
}

/// Masked with the key 0.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(payload);
    out
}

/// The recipients of the messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Bob,
    Group,
}

fn message(protocol: Protocol, to: To, number: u64) -> Vec<u8> {
    let id = format!("0b2f7f8e-7c55-4f10-9d0e-{number:012}");
    let (user, group) = if to == To::Bob { ("bob", "") } else { ("", GROUP) };
    match protocol {
        Protocol::Binary => binary(
            CommandType::CmdSendMsgReq,
            &SendMessageRequest {
                client_msg_id: id,
                receiver_id: user.to_owned(),
                group_id: group.to_owned(),
                message_type: 1,
                content: vec![b'x'; 128].into(),
                ..Default::default()
            },
        ),
        Protocol::JsonRpc => {
            let (channel, kind) = if to == To::Bob { (user, 1) } else { (group, 2) };
            let text = "x".repeat(100);
            let send = format!(
                r#"{{"method":"send","params":{{"clientMsgNo":"{id}","channelId":"{channel}","channelType":{kind},"payload":{{"type":1,"content":"{text}"}}}},"id":"{number}"}}"#
            );
            frame(0x81, send.as_bytes())
        }
    }
}

/// The messages from `from` on, `batch` of them in each read. They are made before the measurement, so that only the
/// server's allocations are counted.
fn reads(protocol: Protocol, to: To, from: u64, count: u64, batch: u64) -> Vec<Vec<u8>> {
    let numbers: Vec<u64> = (from..from + count).collect();
    let read = |part: &[u64]| part.iter().flat_map(|&n| message(protocol, to, n)).collect();
    numbers.chunks(batch as usize).map(read).collect()
}

fn binary_ack(seq: u64) -> Vec<u8> {
    binary(CommandType::CmdMsgAck, &MessageAck { message_id: String::new(), seq: seq.cast_signed() })
}

/// A JSON-RPC client acknowledges each message by its id, without an answer.
fn json_rpc_ack(id: u64, seq: u64) -> Vec<u8> {
    frame(0x81, format!(r#"{{"method":"recvack","params":{{"messageId":"{id}","messageSeq":{seq}}}}}"#).as_bytes())
}

/// The number of allocations and their bytes.
#[derive(Clone, Copy, Default)]
struct Spent {
    allocations: f64,
    bytes: f64,
}

/// The allocations of `work` for each of `count`.
fn spent(count: u64, work: impl FnOnce()) -> Spent {
    let before = counted();
    work();
    let after = counted();
    let each = |before: u64, after: u64| (after - before) as f64 / count as f64;
    Spent { allocations: each(before.0, after.0), bytes: each(before.1, after.1) }
}

/// The allocations per message of `count` messages, after as many that warm up, with `batch` of them in each read.
fn measure_pair(protocol: Protocol, count: u64, batch: u64) -> Spent {
    let mut core = Core::new();
    let alice = core.log_in(protocol, "alice");
    let bob = core.log_in(protocol, "bob");
    let mut measured = Spent::default();
    for from in [0, count] {
        let mut reads = reads(protocol, To::Bob, from, count, batch);
        let mut acks: Vec<Vec<u8>> = match protocol {
            Protocol::Binary => {
                (0..count.div_ceil(batch)).map(|n| binary_ack((from + (n + 1) * batch).min(from + count))).collect()
            }
            Protocol::JsonRpc => Vec::new(),
        };
        let written = core.written;
        measured = spent(count, || serve_pair(&mut core, (alice, &mut reads), (bob, &mut acks)));
        assert!(core.written - written > count * 150, "messages are answered and pushed");
    }
    measured
}

/// The measured part: each read of the author and, if there is one, the reader's acknowledgement.
#[inline(never)]
fn serve_pair(core: &mut Core, (author, reads): (LinkKey, &mut [Vec<u8>]), (reader, acks): (LinkKey, &mut [Vec<u8>])) {
    let mut acks = acks.iter_mut();
    for read in reads {
        // The clock must advance: otherwise thousands of messages would get ids ahead of it, which a shard checks.
        core.now = core.now.plus(1);
        core.give(author, read);
        core.settle();
        if let Some(ack) = acks.next() {
            core.give(reader, ack);
            core.settle();
        }
    }
}

/// The allocations per delivery of `count` messages to the other members of a group, after as many messages that warm
/// up, with `batch` of them in each read. Every member acknowledges each read as clients do.
fn measure_group(protocol: Protocol, members: usize, count: u64, batch: u64) -> Spent {
    let mut core = Core::new();
    let users: Vec<String> = (0..members).map(|number| format!("bench-member-{number}")).collect();
    let links: Vec<LinkKey> = users.iter().map(|user| core.log_in(protocol, user)).collect();
    core.make_group(&users);
    // The creation of the group has the first seq of each inbox and the first id; ids count up while the clock stands
    // still.
    let first_id = (NOW.wall.0 << 21) + 1;
    let deliveries = count * (members as u64 - 1);
    let mut measured = Spent::default();
    for from in [0, count] {
        let mut reads = reads(protocol, To::Group, from, count, batch);
        let numbers: Vec<u64> = (from..from + count).collect();
        let ack = |part: &[u64]| match protocol {
            Protocol::Binary => binary_ack(part.last().expect("a read has messages") + 2),
            Protocol::JsonRpc => part.iter().flat_map(|n| json_rpc_ack(first_id + n, n + 2)).collect(),
        };
        let acks: Vec<Vec<u8>> = numbers.chunks(batch as usize).map(ack).collect();
        let written = core.written;
        measured = spent(deliveries, || serve_group(&mut core, &links, &mut reads, &acks));
        assert!(core.written - written > deliveries * 150, "messages are pushed");
        let (flag, last) = (0, UserId::new(&users[members - 1]).expect("well formed"));
        let delivered = core.turn.shard().delivered(&last, &DeviceKey { flag, id: "bench".into() });
        assert_eq!(delivered, Some(Seq(from + count + 1)), "all is acknowledged");
    }
    measured
}

/// The measured part: each read of the author, who is the first member, and the acknowledgements of all others.
#[inline(never)]
fn serve_group(core: &mut Core, links: &[LinkKey], reads: &mut [Vec<u8>], acks: &[Vec<u8>]) {
    let mut received = Vec::new();
    for (read, ack) in reads.iter_mut().zip(acks) {
        core.give(links[0], read);
        core.settle();
        for link in &links[1..] {
            received.clear();
            received.extend_from_slice(ack);
            core.give(*link, &mut received);
        }
        core.settle();
    }
}

fn main() {
    let (messages, members, group_messages) = if is_smoke() { (64, 80, 32) } else { (20_000, 200, 320) };
    println!(
        "## allocations per delivered message: bytes in, decoded, handled, recorded, synced, encoded, bytes out\n"
    );
    println!(
        "{messages} messages of 128 bytes in a pair, {group_messages} to a group of {members}, after as many that warm up; \
         one shard, in memory; acknowledgements included, but for a pair's in JSON-RPC\n"
    );
    println!("| | messages a read | allocations per delivered message | bytes of them |");
    println!("|---|---:|---:|---:|");
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    // Without a name of one kind, all of that kind are measured.
    let is_wanted = |name: &str, kind: &[&str]| {
        named.iter().any(|other| other == name) || !named.iter().any(|other| kind.contains(&other.as_str()))
    };
    for (name, protocol) in [("binary", Protocol::Binary), ("jsonrpc", Protocol::JsonRpc)] {
        if !is_wanted(name, &["binary", "jsonrpc"]) {
            continue;
        }
        for (to, load) in [(To::Bob, "pair"), (To::Group, "group")] {
            if !is_wanted(load, &["pair", "group"]) {
                continue;
            }
            for batch in [1, 16] {
                let Spent { allocations, bytes } = match to {
                    To::Bob => measure_pair(protocol, messages, batch),
                    To::Group => measure_group(protocol, members, group_messages, batch),
                };
                println!("| {name}, {load} | {batch} | {allocations:.2} | {bytes:.0} |");
            }
        }
    }
}
