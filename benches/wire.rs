//! What one message costs on the wire floor, without a socket: from masked bytes to vocabulary, and back to a frame.
//!
//! With MUSHAN_BENCH_SMOKE set, every measurement is as short as criterion allows: it only proves that they run.

#![allow(clippy::disallowed_methods)]

mod common;

use bytes::Bytes;
use common::criterion;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mushan::model::{
    ClientMessageId, Conversation, ConversationSeq, Entry, Event, Extra, Limits, Message, MessageId, Millis, Reply,
    RequestTag, Seq, UserId,
};
use mushan::wire::{Chunk, Connection, Context, Encoding, Incoming, encode_event};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const NOW: Millis = Millis(1_700_000_000_000);
const SIZES: [usize; 3] = [64, 1 << 10, 16 << 10];
const SYNCED: usize = 100;

#[derive(Clone, Copy)]
enum Protocol {
    Binary,
    JsonRpc,
}

impl Protocol {
    const ALL: [(&'static str, Self); 2] = [("binary", Self::Binary), ("jsonrpc", Self::JsonRpc)];

    fn path(self) -> &'static str {
        match self {
            Self::Binary => "/ws",
            Self::JsonRpc => "/rpc",
        }
    }

    fn encoding(self) -> Encoding {
        match self {
            Self::Binary => Encoding::Binary,
            Self::JsonRpc => Encoding::JsonRpc { version: 3 },
        }
    }

    fn tag(self) -> RequestTag {
        match self {
            Self::Binary => RequestTag::Sequence(7),
            Self::JsonRpc => RequestTag::Text("req-7".into()),
        }
    }

    fn auth(self) -> Vec<u8> {
        match self {
            Self::Binary => envelope(100, &[text(1, "alice"), text(2, "token")].concat()),
            Self::JsonRpc => br#"{"method":"connect","params":{"uid":"alice","token":"token"},"id":"req-1"}"#.to_vec(),
        }
    }

    fn send(self, content: &[u8]) -> Vec<u8> {
        match self {
            Self::Binary => {
                let fields = [text(1, "0d5e8f2a-client-id"), text(4, "bob"), vec![0x30, 1], field(7, content)];
                envelope(200, &fields.concat())
            }
            Self::JsonRpc => {
                let payload = str::from_utf8(content).expect("JSON");
                format!(
                    r#"{{"jsonrpc":"2.0","id":"req-7","method":"send","params":{{"clientMsgNo":"0d5e8f2a-client-id","channelId":"bob","channelType":1,"payload":{payload}}}}}"#
                )
                .into_bytes()
            }
        }
    }

    fn ack(self) -> Vec<u8> {
        match self {
            Self::Binary => envelope(203, &[text(1, "1234567890"), vec![0x10, 77]].concat()),
            Self::JsonRpc => {
                br#"{"method":"recvack","params":{"messageId":"1234567890","messageSeq":77,"header":{}}}"#.to_vec()
            }
        }
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 127 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(value.len() as u64), value.to_vec()].concat()
}

fn text(number: u8, value: &str) -> Vec<u8> {
    field(number, value.as_bytes())
}

fn envelope(command: u64, body: &[u8]) -> Vec<u8> {
    [vec![0x08], varint(command), vec![0x10, 7], field(3, body)].concat()
}

/// A client's frame, masked.
fn masked(protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![if matches!(protocol, Protocol::Binary) { 0x82 } else { 0x81 }];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A JSON object of so many bytes, which both protocols can carry.
fn content(bytes: usize) -> Vec<u8> {
    format!(r#"{{"type":1,"content":"{}"}}"#, "x".repeat(bytes - 25)).into_bytes()
}

fn context() -> Context {
    Context { limits: Limits::default(), server_version: "0.1.0", server_key: "key".into(), node_id: 1 }
}

fn open(protocol: Protocol, context: &Context) -> Connection {
    let mut connection = Connection::new(NOW, context);
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        protocol.path()
    );
    let mut bytes = [request.into_bytes(), masked(protocol, &protocol.auth())].concat();
    let incoming = connection.next(&mut Chunk::new(&mut bytes), NOW, context);
    let Some(Incoming::Authenticate(credentials)) = incoming else { panic!("no credentials: {incoming:?}") };
    connection.authenticate(credentials.user, NOW.plus(1_000_000), *b"0123456789abcdef", NOW, context);
    connection.take_outbox(Vec::new());
    connection
}

fn entry(seq: u64, bytes: usize) -> Entry {
    let user = |id| UserId::new(id).expect("well formed");
    let message = Message {
        id: MessageId(1_234_567_890),
        conversation: Conversation::pair(user("alice"), user("bob")),
        conversation_seq: ConversationSeq(seq),
        author: user("alice"),
        client_message_id: ClientMessageId::new("0d5e8f2a-client-id").expect("well formed"),
        conversation_name: None,
        message_type: 1,
        content: Bytes::from(content(bytes)),
        send_time: 1_700_000_000_000,
        server_time: NOW,
        extra: Extra::default(),
        annotations: None,
    };
    Entry { seq: Seq(seq), message: Arc::new(message) }
}

fn decode(criterion: &mut Criterion) {
    let context = context();
    let mut group = criterion.benchmark_group("decode");
    for (name, protocol) in Protocol::ALL {
        let mut connection = open(protocol, &context);
        let mut requests = vec![("ack".to_owned(), masked(protocol, &protocol.ack()))];
        for bytes in SIZES {
            requests.push((format!("send/{bytes}"), masked(protocol, &protocol.send(&content(bytes)))));
        }
        for (what, frame) in requests {
            let mut received = frame.clone();
            group.throughput(Throughput::Bytes(frame.len() as u64));
            group.bench_function(BenchmarkId::new(name, what), |bencher| {
                bencher.iter(|| {
                    received.copy_from_slice(&frame);
                    let incoming = connection.next(&mut Chunk::new(&mut received), NOW, &context);
                    assert!(black_box(incoming).is_some());
                });
            });
        }
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let context = context();
    let bob = UserId::new("bob").expect("well formed");
    let mut group = criterion.benchmark_group("encode");
    for (name, protocol) in Protocol::ALL {
        let mut out = Vec::with_capacity(1 << 20);
        for bytes in SIZES {
            let event = Event::Message(entry(7, bytes));
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(BenchmarkId::new(name, format!("push/{bytes}")), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    encode_event(protocol.encoding(), &bob, &event, NOW, &mut out);
                    black_box(&out);
                });
            });
        }
        let sent = Reply::Sent {
            message_id: MessageId(1_234_567_890),
            seq: Seq(7),
            conversation_seq: ConversationSeq(7),
            server_time: NOW,
        };
        let entries = (1..=SYNCED as u64).map(|seq| entry(seq, 64)).collect();
        let synced = Reply::Synced { entries, server_max_seq: Seq(1_000), has_more: true };
        for (what, reply) in [("sent", sent), ("synced 100 entries/64", synced)] {
            let mut connection = open(protocol, &context);
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new(name, what), |bencher| {
                bencher.iter(|| {
                    connection.reply(&protocol.tag(), &reply, NOW, &context);
                    out.clear();
                    out = connection.take_outbox(std::mem::take(&mut out));
                    black_box(&out);
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = wire;
    config = criterion(Duration::from_secs(2));
    targets = decode, encode
}
criterion_main!(wire);
