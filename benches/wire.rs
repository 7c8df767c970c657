//! The cost of one message in `wire`, without a socket: from masked bytes to the model's types, and back to a frame.
//!
//! With MUSHAN_BENCH_SMOKE set every measurement is as short as criterion allows and only proves that it runs.

#![allow(clippy::disallowed_methods)]

mod common;

use common::criterion;
use common::model::testing::{client_message_id, group, plain_message, user};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mushan::model::{
    Annotations, Conversation, ConversationRow, ConversationSeq, Entry, Event, Fact, GroupChange, HeaderFlags, Limits,
    Message, MessageContent, MessageId, Millis, Moment, PresenceState, ReadMessage, Reply, RequestTag, Seq,
    TypingNotice, Verb,
};
use mushan::wire::{
    Connection, Context, Encoding, HandshakePolicy, Incoming, ReceivedBytes, Scratch, ServerKey, SessionGrant,
    encode_event,
};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const NOW: Moment = Moment::told(Millis(1_700_000_000_000));
const SIZES: [usize; 3] = [64, 1 << 10, 16 << 10];
const LISTED: usize = 100;
/// The requests of one connection, below its bound on unanswered ones; then a new connection is used.
const REQUESTS_PER_CONNECTION: usize = 5_000;

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

    fn tag(self, verb: Verb) -> RequestTag {
        match self {
            Self::Binary => RequestTag::Sequence(7, verb),
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

    /// Every other request, with its name.
    fn requests(self) -> Vec<(&'static str, Vec<u8>)> {
        let ids: Vec<String> = (0..LISTED).map(|index| (1_234_567_890 + index).to_string()).collect();
        match self {
            Self::Binary => {
                let name = text(2, "single_alice_bob");
                let messages: Vec<u8> = ids.iter().flat_map(|id| text(1, id)).collect();
                let users: Vec<u8> = ids.iter().flat_map(|id| text(1, id)).collect();
                let topic = text(5, "topic");
                let history = [text(1, "single_alice_bob"), vec![0x18, 77, 0x20, 50], topic].concat();
                vec![
                    ("ack", envelope(203, &[text(1, "1234567890"), vec![0x10, 77]].concat())),
                    ("sync", envelope(300, &[0x10, 77, 0x18, 50])),
                    ("revoke", envelope(205, &[text(1, "1234567890"), name.clone()].concat())),
                    ("receipt of 100", envelope(500, &[messages, name].concat())),
                    ("typing", envelope(600, &[text(1, "single_alice_bob"), vec![0x10, 1]].concat())),
                    ("history", envelope(704, &history)),
                    ("conversations", envelope(700, &[0x08, 77, 0x10, 50])),
                    ("markRead", envelope(702, &[text(1, "single_alice_bob"), vec![0x10, 77]].concat())),
                    ("presence of 100", envelope(400, &[users, vec![0x10, 1]].concat())),
                ]
            }
            Self::JsonRpc => {
                let list = serde_json::to_string(&ids).expect("strings");
                let call = |method: &str, params: &str| {
                    let channel = r#""channelId":"bob","channelType":1"#;
                    let head = format!(r#"{{"jsonrpc":"2.0","id":"req-7","method":"{method}","params":{{{channel}"#);
                    format!("{head},{params}}}}}").into_bytes()
                };
                let ack = br#"{"method":"recvack","params":{"messageId":"1234567890","messageSeq":77,"header":{}}}"#;
                vec![
                    ("ack", ack.to_vec()),
                    ("sync", call("sync", r#""maxSeq":77,"limit":50"#)),
                    ("revoke", call("revoke", r#""messageId":"1234567890""#)),
                    ("receipt of 100", call("receipt", &format!(r#""messageIds":{list}"#))),
                    ("typing", call("typing", r#""status":1"#)),
                    ("history", call("history", r#""beforeSeq":77,"limit":50,"topic":"topic""#)),
                    ("conversations", call("conversations", r#""beforeSeq":77,"limit":50"#)),
                    ("markRead", call("markRead", r#""through":77"#)),
                    ("presence of 100", call("presence", &format!(r#""userIds":{list},"action":1"#))),
                ]
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

/// A JSON object of `bytes` bytes, which both protocols can carry.
fn content(bytes: usize) -> Vec<u8> {
    format!(r#"{{"type":1,"content":"{}"}}"#, "x".repeat(bytes - 25)).into_bytes()
}

fn context() -> Context {
    let server_key = ServerKey::of([7; 32]);
    Context {
        limits: Limits::default(),
        handshake: HandshakePolicy::default(),
        server_version: "0.1.0",
        server_key,
        node_id: 1,
        inbox_epoch: 1,
    }
}

fn open(protocol: Protocol, context: &Context) -> Connection {
    open_with(protocol, &protocol.auth(), context)
}

fn open_with(protocol: Protocol, auth: &[u8], context: &Context) -> Connection {
    let mut connection = Connection::new(NOW, context);
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        protocol.path()
    );
    let mut bytes = [request.into_bytes(), masked(protocol, auth)].concat();
    let incoming = connection.next(&mut ReceivedBytes::new(&mut bytes), NOW, context, &mut Scratch::default());
    let Some(Incoming::Authenticate(credentials)) = incoming else { panic!("no credentials: {incoming:?}") };
    let (user, expires) = (credentials.user, NOW.wall.plus(1_000_000));
    let grant = SessionGrant { user, expires, salt: *b"0123456789abcdef" };
    connection.authenticate(grant, NOW, context).expect("a sound key, or none");
    connection.drain_outbox(Vec::new());
    connection
}

fn message(seq: u64, bytes: usize) -> Message {
    Message {
        id: MessageId(1_234_567_890),
        conversation_seq: ConversationSeq(seq),
        client_message_id: client_message_id("0d5e8f2a-client-id"),
        content: content(bytes).into(),
        send_time: 1_700_000_000_000,
        server_time: NOW.wall,
        ..plain_message()
    }
}

fn entry(seq: u64, bytes: usize) -> Entry {
    Entry { seq: Seq(seq), message: Arc::new(message(seq, bytes)), name: None }
}

fn entries(count: usize) -> Vec<Entry> {
    (1..=count as u64).map(|seq| entry(seq, 64)).collect()
}

fn decode(criterion: &mut Criterion) {
    let context = context();
    let mut group = criterion.benchmark_group("decode");
    for (name, protocol) in Protocol::ALL {
        let sends = SIZES.map(|bytes| (format!("send/{bytes}"), protocol.send(&content(bytes))));
        let others = protocol.requests().into_iter().map(|(what, request)| (what.to_owned(), request));
        for (what, request) in sends.into_iter().chain(others) {
            let frame = masked(protocol, &request);
            let mut received = frame.clone();
            let mut connection = open(protocol, &context);
            let mut asked = 0;
            let mut scratch = Scratch::default();
            group.throughput(Throughput::Bytes(frame.len() as u64));
            group.bench_function(BenchmarkId::new(name, what), |bencher| {
                bencher.iter(|| {
                    asked += 1;
                    if asked % REQUESTS_PER_CONNECTION == 0 {
                        connection = open(protocol, &context);
                    }
                    received.copy_from_slice(&frame);
                    let incoming = connection.next(&mut ReceivedBytes::new(&mut received), NOW, &context, &mut scratch);
                    assert!(black_box(incoming).is_some());
                });
            });
        }
    }
    group.finish();
}

/// Events other than plain messages.
fn events() -> Vec<(&'static str, Event)> {
    let fact = |fact| {
        let message = Message { fact: Some(Arc::new(fact)), content: MessageContent::new(), ..message(7, 64) };
        Event::Entry(Entry { seq: Seq(7), message: Arc::new(message), name: None })
    };
    let read = |id| ReadMessage { id: MessageId(id), conversation_seq: ConversationSeq(id) };
    let members = (0..LISTED).map(|index| user(&format!("user-{index}"))).collect();
    let change = Arc::new(Fact::Group(GroupChange::Added { members }));
    let added = Message { conversation: Conversation::Group(group("team")), fact: Some(change), ..message(7, 64) };
    let annotations = Annotations {
        header: HeaderFlags { red_dot: true, ..HeaderFlags::default() },
        topic: Some("topic".into()),
        expire_s: 60,
        ..Annotations::default()
    };
    let annotated = Message { annotations: Some(Box::new(annotations)), ..message(7, 64) };
    let conversation = Conversation::pair(user("alice"), user("bob"));
    vec![
        ("push annotated/64", Event::Entry(Entry { seq: Seq(7), message: Arc::new(annotated), name: None })),
        ("transient/64", Event::Transient(Arc::new(message(0, 64)), None)),
        ("revoked", fact(Fact::Revoked { message: MessageId(1_234_567_890) })),
        ("read 10", fact(Fact::Read { told: user("bob"), messages: (1..=10).map(read).collect() })),
        ("group of 100", Event::Entry(Entry { seq: Seq(7), message: Arc::new(added), name: None })),
        ("typing", Event::Typing(Box::new(TypingNotice { conversation, name: None, user: user("alice"), status: 1 }))),
        ("presence", Event::Presence(PresenceState { user: user("alice"), is_online: true, last_seen: Millis(0) })),
    ]
}

fn replies() -> Vec<(&'static str, Verb, Reply)> {
    let seqs = (Seq(7), ConversationSeq(7));
    let row = |entry: Entry| ConversationRow {
        conversation: entry.message.conversation.clone(),
        name: None,
        last: Some(entry),
        last_seq: Seq(7),
        unread: 3,
        read_through: ConversationSeq(4),
        newest_seq: ConversationSeq(7),
    };
    let state = |index| PresenceState { user: user(&format!("user-{index}")), is_online: true, last_seen: Millis(0) };
    let (seq, conversation_seq) = seqs;
    let has_more = true;
    vec![
        (
            "sent",
            Verb::Send,
            Reply::Sent { message_id: MessageId(1_234_567_890), seq, conversation_seq, server_time: NOW.wall },
        ),
        ("done", Verb::Revoke, Reply::Done),
        ("synced 100/64", Verb::Sync, Reply::Synced { entries: entries(LISTED), server_max_seq: seq, has_more }),
        (
            "history 100/64",
            Verb::History,
            Reply::History {
                messages: entries(LISTED),
                reached: conversation_seq,
                newest_seq: conversation_seq,
                has_more,
            },
        ),
        (
            "conversations 100/64",
            Verb::Conversations,
            Reply::Conversations { rows: entries(LISTED).into_iter().map(row).collect(), has_more },
        ),
        ("presence of 100", Verb::Presence, Reply::Presence((0..LISTED).map(state).collect())),
    ]
}

fn encode(criterion: &mut Criterion) {
    let context = context();
    let bob = user("bob");
    let mut group = criterion.benchmark_group("encode");
    for (name, protocol) in Protocol::ALL {
        let mut out = Vec::with_capacity(1 << 20);
        let pushes = SIZES.map(|bytes| (format!("push/{bytes}"), Event::Entry(entry(7, bytes))));
        for (what, event) in pushes.into_iter().chain(events().into_iter().map(|(what, event)| (what.into(), event))) {
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new(name, what), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    encode_event(protocol.encoding(), &bob, &event, NOW.wall, &mut out);
                    black_box(&out);
                });
            });
        }
        for (what, verb, reply) in replies() {
            let mut connection = open(protocol, &context);
            group.bench_function(BenchmarkId::new(name, what), |bencher| {
                bencher.iter(|| {
                    connection.reply(&protocol.tag(verb), &reply, NOW, &context);
                    out.clear();
                    out = connection.drain_outbox(std::mem::take(&mut out));
                    black_box(&out);
                });
            });
        }
    }
    group.finish();
}

/// The cost for a session with message keys, whose encoded events cannot be shared.
fn proved(criterion: &mut Criterion) {
    let context = context();
    let key = ServerKey::of([9; 32]);
    let auth = format!(
        r#"{{"method":"connect","params":{{"uid":"bob","token":"token","clientKey":"{}"}},"id":1}}"#,
        key.public()
    );
    let mut connection = open_with(Protocol::JsonRpc, auth.as_bytes(), &context);
    let mut group = criterion.benchmark_group("proved");
    let mut out = Vec::with_capacity(1 << 20);
    for bytes in SIZES {
        let event = Event::Entry(entry(7, bytes));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("jsonrpc", format!("push/{bytes}")), |bencher| {
            bencher.iter(|| {
                connection.tell(&event, NOW.wall);
                out.clear();
                out = connection.drain_outbox(std::mem::take(&mut out));
                black_box(&out);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = wire;
    config = criterion(Duration::from_secs(2));
    targets = decode, encode, proved
}
criterion_main!(wire);
