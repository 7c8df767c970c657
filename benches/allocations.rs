//! How often a message allocates on its way from one socket's bytes to the others': decoded, handled by the shard,
//! recorded, synced, encoded. One shard, both people online, everything warm; without sockets and disks, which the
//! reactor's ring and mapped files stand for and which allocate nothing per message.
//!
//! An allocator that counts tells. `MUSHAN_BENCH_SMOKE=1` only proves that it runs. A name (`binary`, `jsonrpc`) as
//! argument measures that protocol alone; what its messages cost in instructions, function by function, is what
//! `valgrind --tool=callgrind --toggle-collect='allocations::serve*'` says of this bench then, twice the messages of a
//! row of the table (warming up is served alike).

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a bench lives in the world")]

mod common;

use bytes::Bytes;
use common::is_smoke;
use mushan::log::MemoryStorage;
use mushan::model::{Limits, Millis, Policies, ShardId, UserId};
use mushan::server::turn::{Action, Common, LinkKey, Turn};
use mushan::shard::{Placement, Settings, Shard, Upkeep, Windows};
use mushan::wire::proto::{AuthRequest, CommandType, MessageAck, SendMessageRequest, WebSocketMessage};
use mushan::wire::{Context, ServerKey, token};
use prost::Message as _;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, with books.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

// SAFETY: it only counts, and hands on.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's part.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's part.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's part.
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

const NOW: Millis = Millis(1_700_000_000_000);
const SECRET: &[u8] = b"a secret of some thirty-two bytes";
const NO_CHECKPOINTS: &[&[u8]] = &[];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Binary,
    JsonRpc,
}

/// One core without its sockets and disk.
struct Core {
    turn: Turn<MemoryStorage>,
    now: Millis,
    /// Emptied outboxes, as the reactor keeps them.
    spares: Vec<Vec<u8>>,
    actions: Vec<Action>,
    written: u64,
}

impl Core {
    fn new() -> Self {
        let placement = Placement::new(1);
        let limits = Limits { sends_per_second: 1_000_000, sends_burst: u32::MAX, ..Limits::default() };
        let settings = Settings {
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
        let context = Context { limits, server_version: "bench", server_key: ServerKey::of([1; 32]), node_id: 1 };
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

    /// Commits, and writes what is to be written.
    fn settle(&mut self) {
        loop {
            if let Some(batch) = self.turn.seal() {
                self.turn.synced(self.now, batch.to);
            }
            self.actions.extend(self.turn.actions());
            if self.actions.is_empty() {
                return;
            }
            let mut actions = std::mem::take(&mut self.actions);
            for action in actions.drain(..) {
                let Action::Write(key) = action else { continue };
                let mut bytes = self.turn.take_outbox(key, self.spares.pop().unwrap_or_default());
                self.written += bytes.len() as u64;
                self.turn.wrote(self.now, key, bytes.len());
                bytes.clear();
                self.spares.push(bytes);
            }
            self.actions = actions;
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
        let token = token::mint(SECRET, &id, self.now, self.now.plus(3_600_000));
        let mut login = match protocol {
            Protocol::Binary => {
                let body = AuthRequest { user_id: user.to_owned(), token, platform: "bench".to_owned() };
                binary(CommandType::CmdAuthReq, &body)
            }
            Protocol::JsonRpc => frame(
                0x81,
                format!(r#"{{"method":"connect","params":{{"uid":"{user}","token":"{token}"}},"id":"connect"}}"#)
                    .as_bytes(),
            ),
        };
        self.give(key, &mut login);
        self.settle();
        assert!(self.turn.is_authenticated(key), "{user} is let in");
        key
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

fn message(protocol: Protocol, number: u64) -> Vec<u8> {
    let id = format!("0b2f7f8e-7c55-4f10-9d0e-{number:012}");
    match protocol {
        Protocol::Binary => binary(
            CommandType::CmdSendMsgReq,
            &SendMessageRequest {
                client_msg_id: id,
                receiver_id: "bob".to_owned(),
                message_type: 1,
                content: vec![b'x'; 128].into(),
                ..Default::default()
            },
        ),
        Protocol::JsonRpc => {
            let text = "x".repeat(100);
            let send = format!(
                r#"{{"method":"send","params":{{"clientMsgNo":"{id}","channelId":"bob","channelType":1,"payload":{{"type":1,"content":"{text}"}}}},"id":"{number}"}}"#
            );
            frame(0x81, send.as_bytes())
        }
    }
}

/// Allocations, and bytes of them, per message of `count` after as many that warm up, `batch` of them in each read.
fn measure(protocol: Protocol, count: u64, batch: u64) -> (f64, f64) {
    let mut core = Core::new();
    let alice = core.log_in(protocol, "alice");
    let bob = core.log_in(protocol, "bob");
    // Made before: what the generator allocates is not the server's.
    let reads = |from: u64| -> Vec<Vec<u8>> {
        let numbers: Vec<u64> = (from..from + count).collect();
        numbers.chunks(batch as usize).map(|part| part.iter().flat_map(|&n| message(protocol, n)).collect()).collect()
    };
    let acks = |from: u64| -> Vec<Vec<u8>> {
        let ack = |n: u64| {
            let seq = (from + (n + 1) * batch).min(from + count).cast_signed();
            binary(CommandType::CmdMsgAck, &MessageAck { message_id: String::new(), seq })
        };
        (0..count.div_ceil(batch)).map(ack).collect()
    };
    let mut spent = (0, 0);
    for from in [0, count] {
        let (mut reads, mut acks) = (reads(from), acks(from));
        let written = core.written;
        let before = counted();
        match protocol {
            Protocol::Binary => serve(&mut core, (alice, &mut reads), (bob, &mut acks)),
            Protocol::JsonRpc => serve(&mut core, (alice, &mut reads), (bob, &mut [])),
        }
        let after = counted();
        assert!(core.written - written > count * 150, "messages are answered and pushed");
        spent = (after.0 - before.0, after.1 - before.1);
    }
    (spent.0 as f64 / count as f64, spent.1 as f64 / count as f64)
}

/// What is measured: each read of the author and, where there is one, the reader's acknowledgement of it.
#[inline(never)]
fn serve(core: &mut Core, (author, reads): (LinkKey, &mut [Vec<u8>]), (reader, acks): (LinkKey, &mut [Vec<u8>])) {
    let mut acks = acks.iter_mut();
    for read in reads {
        core.give(author, read);
        core.settle();
        if let Some(ack) = acks.next() {
            core.give(reader, ack);
            core.settle();
        }
    }
}

fn main() {
    let count = if is_smoke() { 64 } else { 20_000 };
    println!("## allocations per p2p message: bytes in, decoded, handled, recorded, synced, encoded, bytes out\n");
    println!("{count} messages of 128 bytes after as many that warm up, one shard, in memory; binary acks included\n");
    println!("| | messages a read | allocations per message | bytes of them per message |");
    println!("|---|---:|---:|---:|");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for (name, protocol) in [("binary", Protocol::Binary), ("jsonrpc", Protocol::JsonRpc)] {
        if !wanted.is_empty() && !wanted.iter().any(|other| other == name) {
            continue;
        }
        for batch in [1, 16] {
            let (allocations, bytes) = measure(protocol, count, batch);
            println!("| {name} | {batch} | {allocations:.2} | {bytes:.0} |");
        }
    }
}
