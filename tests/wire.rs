//! Golden vectors of both protocols: bytes written out from the specifications, against `wire`, both directions, without a
//! socket.

use bytes::Bytes;
use mushan::model::{
    Ack, Annotations, ClientMessageId, Closing, Command, Conversation, ConversationName, ConversationSeq, DeviceKey,
    Entry, Event, Extra, GroupId, HeaderFlags, Limits, Message, MessageId, Millis, Recipient, Refusal, Reply,
    RequestTag, Send, Seq, SettingFlags, Sync, SyncDirection, UserId,
};
use mushan::wire::{Chunk, Connection, Context, Credentials, Incoming, encode_event};
use std::sync::Arc;

const NOW: Millis = Millis(1_700_000_000_000);
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

/// The named vectors of a file: the bytes of each message.
struct Vectors(Vec<(String, Vec<Vec<u8>>)>);

impl Vectors {
    fn binary() -> Self {
        Self::of(include_str!("vectors/binary.txt"), |lines| {
            let digits: String = lines.iter().flat_map(|line| line.split('#').next()).collect();
            let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal");
            vec![digits.chunks(2).map(byte).collect()]
        })
    }

    fn json_rpc() -> Self {
        Self::of(include_str!("vectors/jsonrpc.txt"), |lines| {
            lines.iter().map(|line| line.as_bytes().to_vec()).collect()
        })
    }

    fn of(text: &str, messages: impl Fn(&[&str]) -> Vec<Vec<u8>>) -> Self {
        let sections = text.split("\n[").skip(1).map(|section| {
            let (name, body) = section.split_once("]\n").expect("a name");
            let lines: Vec<&str> = body.lines().filter(|line| !line.is_empty()).collect();
            (name.to_owned(), messages(&lines))
        });
        Self(sections.collect())
    }

    fn all(&self, name: &str) -> Vec<Vec<u8>> {
        let found = self.0.iter().find(|(section, _)| section == name);
        found.unwrap_or_else(|| panic!("no vector {name}")).1.clone()
    }

    fn one(&self, name: &str) -> Vec<u8> {
        let mut all = self.all(name);
        assert_eq!(all.len(), 1, "{name} is one message");
        all.remove(0)
    }
}

struct Client {
    connection: Connection,
    context: Context,
    opcode: u8,
}

impl Client {
    fn new(path: &str) -> Self {
        let context = Context {
            limits: Limits::default(),
            server_version: "0.1.2",
            server_key: "c2VydmVyIGtleQ==".into(),
            node_id: 1,
        };
        let mut connection = Connection::new(NOW, &context);
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .into_bytes();
        assert_eq!(connection.next(&mut Chunk::new(&mut request), NOW, &context), None);
        assert!(connection.take_outbox(Vec::new()).starts_with(b"HTTP/1.1 101 "));
        Self { connection, context, opcode: if path == "/ws" { BINARY } else { TEXT } }
    }

    /// A client that said the vector, was let in and was told so.
    fn welcomed(path: &str, auth: &[u8]) -> (Self, Credentials, Vec<Vec<u8>>) {
        let mut client = Self::new(path);
        let Some(Incoming::Authenticate(credentials)) = client.say(auth) else { panic!("no credentials") };
        let (user, expires) = (credentials.user.clone(), NOW.plus(3_600_000));
        client.connection.authenticate(user, expires, *b"0123456789abcdef", NOW, &client.context);
        client.reply(&credentials.tag, &Reply::Welcome { max_seq: Seq(42) });
        let heard = client.heard();
        (client, credentials, heard)
    }

    fn say(&mut self, payload: &[u8]) -> Option<Incoming> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![self.opcode, 0x80 | 126];
        frame.extend_from_slice(&u16::try_from(payload.len()).expect("short").to_be_bytes());
        if payload.len() < 126 {
            frame = vec![self.opcode, 0x80 | payload.len() as u8];
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        self.connection.next(&mut Chunk::new(&mut frame), NOW, &self.context)
    }

    fn reply(&mut self, tag: &RequestTag, reply: &Reply) {
        self.connection.reply(tag, reply, NOW, &self.context);
    }

    fn push(&mut self, viewer: &str, entry: Entry) -> Vec<Vec<u8>> {
        let mut frame = Vec::new();
        encode_event(self.connection.encoding(), &user(viewer), &Event::Message(entry), NOW, &mut frame);
        self.connection.enqueue(&frame);
        self.heard()
    }

    /// The payloads of all frames queued; the last may be a close frame.
    fn heard(&mut self) -> Vec<Vec<u8>> {
        let outbox = self.connection.take_outbox(Vec::new());
        let mut rest = outbox.as_slice();
        let mut payloads = Vec::new();
        while let [opcode, length, behind @ ..] = rest {
            assert!(*opcode == self.opcode || *opcode == CLOSE, "opcode {opcode:#x}");
            let (length, behind) = match (length, behind) {
                (126, [high, low, behind @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), behind),
                (length, behind) => (usize::from(*length), behind),
            };
            payloads.push(behind[..length].to_vec());
            rest = &behind[length..];
        }
        payloads
    }
}

fn user(id: &str) -> UserId {
    UserId::new(id).expect("well formed")
}

fn client_message_id(id: &str) -> ClientMessageId {
    ClientMessageId::new(id).expect("well formed")
}

fn to_bob(content: &'static [u8]) -> Message {
    Message {
        id: MessageId(900),
        conversation: Conversation::pair(user("alice"), user("bob")),
        conversation_seq: ConversationSeq(11),
        author: user("alice"),
        client_message_id: client_message_id("c-1"),
        conversation_name: Some(ConversationName::new("my bob").expect("well formed")),
        message_type: 3,
        content: Bytes::from_static(content),
        send_time: 5,
        server_time: NOW,
        extra: Extra::new(vec![("k".into(), "v".into())]),
        annotations: Some(Box::new(annotations())),
    }
}

fn to_team(content: &'static [u8]) -> Message {
    Message {
        id: MessageId(901),
        conversation: Conversation::Group(GroupId::new("team").expect("well formed")),
        conversation_seq: ConversationSeq(12),
        client_message_id: client_message_id("c-2"),
        conversation_name: None,
        message_type: 1,
        send_time: 0,
        extra: Extra::default(),
        annotations: None,
        ..to_bob(content)
    }
}

fn annotations() -> Annotations {
    Annotations {
        header: HeaderFlags { red_dot: true, dup: false },
        setting: SettingFlags { receipt: true, topic: true },
        topic: Some("t".into()),
        message_key: Some("k".into()),
    }
}

fn entry(seq: u64, message: Message) -> Entry {
    Entry { seq: Seq(seq), message: Arc::new(message) }
}

fn sent() -> Reply {
    Reply::Sent { message_id: MessageId(900), seq: Seq(43), conversation_seq: ConversationSeq(11), server_time: NOW }
}

fn request(sequence: u32, command: Command) -> Option<Incoming> {
    Some(Incoming::Request { tag: RequestTag::Sequence(sequence), command })
}

#[test]
fn a_binary_client_logs_in_as_seed_1_prints_it() {
    let vectors = Vectors::binary();
    let (mut client, credentials, heard) = Client::welcomed("/ws", &vectors.one("auth request"));
    let device = DeviceKey { flag: 0, id: "iOS".into() };
    let tag = RequestTag::Sequence(1);
    assert_eq!(credentials, Credentials { tag: tag.clone(), user: user("alice"), token: "tok".into(), device });
    assert_eq!(heard, [vectors.one("auth response")]);
    assert_eq!(client.say(&vectors.one("heartbeat request")), None);
    assert_eq!(client.heard(), [vectors.one("heartbeat response")]);

    let mut refused = Client::new("/ws");
    refused.say(&vectors.one("auth request"));
    refused.connection.refuse_authentication(&tag, Refusal::AuthFailed.into(), NOW, &refused.context);
    assert_eq!(refused.connection.closing(), Some(Closing::AuthFailed));
    let close = [4001_u16.to_be_bytes().as_slice(), b"authentication failed"].concat();
    assert_eq!(refused.heard(), [vectors.one("auth response to a bad token"), close]);
}

#[test]
fn binary_sends_are_read_and_answered_as_seed_1_prints_them() {
    let vectors = Vectors::binary();
    let (mut client, _, _) = Client::welcomed("/ws", &vectors.one("auth request"));
    let to_bob = Send {
        client_message_id: client_message_id("c-1"),
        recipient: Recipient::User(user("bob")),
        conversation_name: Some(ConversationName::new("my bob").expect("well formed")),
        message_type: 3,
        content: Bytes::from_static(b"\x00\xff"),
        send_time: 5,
        extra: Extra::new(vec![("k".into(), "v".into())]),
        annotations: None,
    };
    assert_eq!(client.say(&vectors.one("send request")), request(2, Command::Send(to_bob.clone())));
    let to_team = Send {
        client_message_id: client_message_id("c-2"),
        recipient: Recipient::Group(GroupId::new("team").expect("well formed")),
        conversation_name: None,
        message_type: 1,
        content: Bytes::new(),
        send_time: 0,
        extra: Extra::default(),
        annotations: None,
    };
    assert_eq!(client.say(&vectors.one("send request to a group")), request(3, Command::Send(to_team)));
    client.reply(&RequestTag::Sequence(2), &sent());
    client.reply(&RequestTag::Sequence(2), &Reply::Refused(Refusal::UserNotExist.into()));
    assert_eq!(client.heard(), [vectors.one("send response"), vectors.one("send response that refuses")]);
}

#[test]
fn binary_pushes_and_acks_are_as_seed_1_prints_them() {
    let vectors = Vectors::binary();
    let (mut client, _, _) = Client::welcomed("/ws", &vectors.one("auth request"));
    assert_eq!(client.push("bob", entry(8, to_bob(b"\x00\xff"))), [vectors.one("push message")]);
    assert_eq!(client.push("alice", entry(8, to_bob(b"\x00\xff"))), [vectors.one("push message to the author")]);
    assert_eq!(client.push("bob", entry(9, to_team(b""))), [vectors.one("push message in a group")]);
    for (name, ack) in
        [("message ack", Ack::Through(Seq(8))), ("message ack without seq", Ack::Message(MessageId(900)))]
    {
        let expected = Incoming::Request { tag: RequestTag::None, command: Command::Ack(ack) };
        assert_eq!(client.say(&vectors.one(name)), Some(expected));
    }
    client.reply(&RequestTag::None, &Reply::Acknowledged);
    assert!(client.heard().is_empty(), "an ack has no answer");
}

#[test]
fn binary_syncs_are_as_seed_1_prints_them() {
    let vectors = Vectors::binary();
    let (mut client, _, _) = Client::welcomed("/ws", &vectors.one("auth request"));
    let forward = Sync { direction: SyncDirection::After(Seq(7)), limit: 50 };
    assert_eq!(client.say(&vectors.one("sync request forward")), request(4, Command::Sync(forward)));
    let synced = Reply::Synced { entries: vec![entry(8, to_bob(b"\x00\xff"))], server_max_seq: Seq(9), has_more: true };
    // The entry's viewer is the session's user, who is the author here: the peer's view is what the vector shows.
    let mut bob = Client::new("/ws");
    let Some(Incoming::Authenticate(credentials)) = bob.say(&vectors.one("auth request")) else { panic!("no auth") };
    bob.connection.authenticate(user("bob"), NOW.plus(1_000_000), [b'0'; 16], NOW, &bob.context);
    bob.reply(&credentials.tag, &Reply::Welcome { max_seq: Seq(0) });
    bob.heard();
    bob.reply(&RequestTag::Sequence(4), &synced);
    assert_eq!(bob.heard(), [vectors.one("sync response")]);

    let back = Sync { direction: SyncDirection::Before(Seq(9)), limit: 20 };
    client.reply(&RequestTag::Sequence(4), &Reply::Refused(Refusal::StorageDamaged.into()));
    assert_eq!(client.heard(), [vectors.one("sync response that refuses")]);
    assert_eq!(client.say(&vectors.one("sync request back")), request(4, Command::Sync(back)));
}

#[test]
fn an_unknown_command_and_a_farewell_are_as_protocol_2_1_has_them() {
    let vectors = Vectors::binary();
    let (mut client, _, _) = Client::welcomed("/ws", &vectors.one("auth request"));
    assert_eq!(client.say(&vectors.one("unknown request")), None);
    assert_eq!(client.heard(), [vectors.one("unknown response")]);
    client.connection.close(Closing::Stopping, NOW, &client.context);
    let close = [1001_u16.to_be_bytes().as_slice(), b"server stopping"].concat();
    assert_eq!(client.heard(), [vectors.one("kick out"), close]);
}

#[test]
fn json_rpc_clients_connect_as_seed_2_prints_it() {
    let vectors = Vectors::json_rpc();
    for (path, response) in
        [("/rpc", "connect response"), ("/", "connect response"), ("/wukong", "connect response wukong")]
    {
        let (_, credentials, heard) = Client::welcomed(path, &vectors.one("connect request"));
        let device = DeviceKey { flag: 1, id: "phone".into() };
        let tag = RequestTag::Text("req-conn-1".into());
        assert_eq!(credentials, Credentials { tag, user: user("alice"), token: "tok".into(), device });
        assert_eq!(heard, vectors.all(response), "{path}");
    }
    let mut refused = Client::new("/rpc");
    let Some(Incoming::Authenticate(credentials)) = refused.say(&vectors.one("connect request")) else {
        panic!("no credentials")
    };
    refused.connection.refuse_authentication(&credentials.tag, Refusal::AuthFailed.into(), NOW, &refused.context);
    assert_eq!(refused.heard()[0], vectors.one("connect response that refuses"));
}

#[test]
fn json_rpc_sends_are_read_and_answered_as_seed_2_prints_them() {
    let vectors = Vectors::json_rpc();
    let (mut client, _, _) = Client::welcomed("/rpc", &vectors.one("connect request"));
    let to_bob = Send {
        client_message_id: client_message_id("c-1"),
        recipient: Recipient::User(user("bob")),
        conversation_name: None,
        message_type: 3,
        content: Bytes::from_static(br#"{"content":"Hello!","type":3}"#),
        send_time: 0,
        extra: Extra::default(),
        annotations: Some(Box::new(annotations())),
    };
    let tag = RequestTag::Text("req-send-1".into());
    let expected = Incoming::Request { tag: tag.clone(), command: Command::Send(to_bob.clone()) };
    assert_eq!(client.say(&vectors.one("send request")), Some(expected));
    let to_team = Send {
        client_message_id: client_message_id("c-2"),
        recipient: Recipient::Group(GroupId::new("team").expect("well formed")),
        message_type: 2,
        content: Bytes::from_static(br#"{"type":2}"#),
        annotations: None,
        ..to_bob
    };
    let expected = Incoming::Request { tag: RequestTag::Number("7".into()), command: Command::Send(to_team) };
    assert_eq!(client.say(&vectors.one("send request to a group")), Some(expected));
    client.reply(&tag, &sent());
    client.reply(&tag, &Reply::Refused(Refusal::UserNotExist.into()));
    assert_eq!(client.heard(), [vectors.one("send response"), vectors.one("send response that refuses")]);
    let (mut wukong, _, _) = Client::welcomed("/wukong", &vectors.one("connect request"));
    wukong.reply(&tag, &sent());
    assert_eq!(wukong.heard(), [vectors.one("send response wukong")]);
}

#[test]
fn json_rpc_pushes_and_acks_are_as_seed_2_prints_them() {
    const PAYLOAD: &[u8] = br#"{"content":"Hello!","type":3}"#;
    let vectors = Vectors::json_rpc();
    let (mut client, _, _) = Client::welcomed("/rpc", &vectors.one("connect request"));
    assert_eq!(client.push("bob", entry(8, to_bob(PAYLOAD))), [vectors.one("recv")]);
    assert_eq!(client.push("alice", entry(8, to_bob(PAYLOAD))), [vectors.one("recv by the author")]);
    assert_eq!(client.push("bob", entry(9, to_team(b"\x00\xff"))), [vectors.one("recv of bytes in a group")]);
    let (mut wukong, _, _) = Client::welcomed("/wukong", &vectors.one("connect request"));
    assert_eq!(wukong.push("bob", entry(8, to_bob(PAYLOAD))), [vectors.one("recv wukong")]);
    for (name, tag) in
        [("recvack request", RequestTag::Text("req-ack-1".into())), ("recvack notification", RequestTag::None)]
    {
        let command = Command::Ack(Ack::Message(MessageId(900)));
        assert_eq!(client.say(&vectors.one(name)), Some(Incoming::Request { tag: tag.clone(), command }));
        client.reply(&tag, &Reply::Acknowledged);
    }
    assert_eq!(client.heard(), [vectors.one("recvack response")], "the notification has no answer");
}

#[test]
fn json_rpc_ping_sync_and_errors_are_as_protocol_3_has_them() {
    let vectors = Vectors::json_rpc();
    for (path, response) in [("/rpc", "ping response"), ("/wukong", "ping response wukong")] {
        let (mut client, _, _) = Client::welcomed(path, &vectors.one("connect request"));
        assert_eq!(client.say(&vectors.one("ping request")), None);
        assert_eq!(client.heard(), vectors.all(response));
    }
    let (mut client, _, _) = Client::welcomed("/rpc", &vectors.one("connect request"));
    let sync = Command::Sync(Sync { direction: SyncDirection::After(Seq(7)), limit: 50 });
    let tag = RequestTag::Number("1".into());
    let expected = Incoming::Request { tag: tag.clone(), command: sync };
    assert_eq!(client.say(&vectors.one("sync request")), Some(expected));
    let entries = vec![entry(9, to_team(b"\x00\xff"))];
    client.reply(&tag, &Reply::Synced { entries, server_max_seq: Seq(9), has_more: false });
    assert_eq!(client.heard(), [vectors.one("sync response")]);
    assert_eq!(client.say(&vectors.one("unknown request")), None);
    assert_eq!(client.say(b"{"), None);
    assert_eq!(client.heard(), [vectors.one("unknown response"), vectors.one("parse error")]);
    client.connection.close(Closing::Replaced, NOW, &client.context);
    assert_eq!(client.heard()[0], vectors.one("disconnect"));
}

#[test]
fn every_vector_is_used_and_json_is_json() {
    let source = include_str!("wire.rs");
    let (binary, json_rpc) = (Vectors::binary(), Vectors::json_rpc());
    for (name, _) in binary.0.iter().chain(&json_rpc.0) {
        assert!(source.contains(&format!("\"{name}\"")), "{name} is not used");
    }
    for message in json_rpc.0.iter().flat_map(|(_, messages)| messages) {
        serde_json::from_slice::<serde_json::Value>(message).expect("JSON");
    }
}
