//! A client of the connection, without a socket, and the values that tests speak of.

pub use crate::model::testing::{client_message_id, group, name, plain_send, user};
use crate::vectors::Vectors;
use bytes::Bytes;
use mushan::model::{
    Annotations, ChunkPhase, Command, Conversation, ConversationRow, ConversationSeq, Entry, Event, Extra, Fact,
    GroupChange, HeaderFlags, Limits, Message, MessageId, Millis, Moment, PresenceState, ReadMessage, Reply,
    RequestTag, Seq, SettingFlags, StreamChunk,
};
use mushan::wire::{
    Connection, Context, Credentials, HandshakePolicy, Incoming, ReceivedBytes as Received, Scratch, ServerKey,
    SessionGrant, encode_event,
};
use std::sync::Arc;

pub const NOW: Moment = Moment::told(Millis(1_700_000_000_000));
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

/// Alice's private key in RFC 7748, 6.1.
const SERVER_KEY: [u8; 32] = [
    0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f,
    0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a,
];

pub struct Client {
    pub connection: Connection,
    pub context: Context,
    opcode: u8,
}

impl Client {
    pub fn new(path: &str) -> Self {
        let server_key = ServerKey::of(SERVER_KEY);
        let context = Context {
            limits: Limits::default(),
            handshake: HandshakePolicy::default(),
            server_version: "0.1.2",
            server_key,
            node_id: 1,
            // The greatest that there may be.
            inbox_epoch: (1 << 53) - 1,
        };
        let mut connection = Connection::new(NOW, &context);
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .into_bytes();
        assert_eq!(connection.next(&mut Received::new(&mut request), NOW, &context, &mut Scratch::default()), None);
        assert!(connection.drain_outbox(Vec::new()).starts_with(b"HTTP/1.1 101 "));
        Self { connection, context, opcode: if path == "/ws" { BINARY } else { TEXT } }
    }

    /// A client that said the vector, was let in and was told so.
    pub fn welcomed(path: &str, auth: &[u8]) -> (Self, Credentials, Vec<Vec<u8>>) {
        let mut client = Self::new(path);
        let Some(Incoming::Authenticate(credentials)) = client.say(auth) else { panic!("no credentials") };
        let (user, expires) = (credentials.user.clone(), NOW.wall.plus(3_600_000));
        let grant = SessionGrant { user, expires, salt: *b"0123456789abcdef" };
        let let_in = client.connection.authenticate(grant, NOW, &client.context);
        assert_eq!(let_in, Ok(()));
        client.reply(&credentials.tag, &Reply::Welcome { max_seq: Seq(42) });
        let heard = client.heard();
        (client, credentials, heard)
    }

    /// Alice in the binary protocol, let in, and its vectors.
    pub fn binary() -> (Self, Vectors) {
        let vectors = Vectors::binary();
        (Self::welcomed("/ws", &vectors.one("auth request")).0, vectors)
    }

    /// Alice in the JSON-RPC protocol, let in, and its vectors.
    pub fn json_rpc() -> (Self, Vectors) {
        let vectors = Vectors::json_rpc();
        (Self::welcomed("/rpc", &vectors.one("connect request")).0, vectors)
    }

    /// Bob, where the vectors show alice.
    pub fn as_bob(path: &str, vectors: &Vectors) -> Self {
        let connect = String::from_utf8(vectors.one("connect request")).expect("UTF-8");
        Self::welcomed(path, connect.replace("alice", "bob").as_bytes()).0
    }

    pub fn say(&mut self, payload: &[u8]) -> Option<Incoming> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![self.opcode, 0x80 | 126];
        frame.extend_from_slice(&u16::try_from(payload.len()).expect("short").to_be_bytes());
        if payload.len() < 126 {
            frame = vec![self.opcode, 0x80 | payload.len() as u8];
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        self.connection.next(&mut Received::new(&mut frame), NOW, &self.context, &mut Scratch::default())
    }

    pub fn reply(&mut self, tag: &RequestTag, reply: &Reply) {
        self.connection.reply(tag, reply, NOW, &self.context);
    }

    /// What the client hears of an event that is told to `viewer`.
    pub fn push(&mut self, viewer: &str, event: &Event) -> Vec<Vec<u8>> {
        match self.connection.encoding() {
            Some(encoding) => {
                let mut frame = Vec::new();
                encode_event(encoding, &user(viewer), event, NOW.wall, &mut frame);
                self.connection.enqueue(&frame);
            }
            None => self.connection.tell(event, NOW.wall),
        }
        self.heard()
    }

    /// The payloads of all frames queued; the last may be a close frame.
    pub fn heard(&mut self) -> Vec<Vec<u8>> {
        let outbox = self.connection.drain_outbox(Vec::new());
        let mut rest = outbox.as_slice();
        let mut payloads = Vec::new();
        while let [opcode, length, behind @ ..] = rest {
            assert!(*opcode == self.opcode || *opcode == CLOSE, "opcode {opcode:#x}");
            let (length, behind) = match (length, behind) {
                (127, _) => {
                    let (long, behind) = behind.split_first_chunk::<8>().expect("a long length");
                    (usize::try_from(u64::from_be_bytes(*long)).expect("it fits"), behind)
                }
                (126, [high, low, behind @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), behind),
                (length, behind) => (usize::from(*length), behind),
            };
            payloads.push(behind[..length].to_vec());
            rest = &behind[length..];
        }
        payloads
    }
}

pub fn to_bob(content: &'static [u8]) -> Message {
    Message {
        id: MessageId(900),
        conversation: Conversation::pair(user("alice"), user("bob")),
        conversation_seq: ConversationSeq(11),
        author: user("alice"),
        client_message_id: client_message_id("c-1"),
        conversation_name: Some(name("my bob")),
        message_type: 3,
        content: Bytes::from_static(content).into(),
        send_time: 5,
        server_time: NOW.wall,
        extra: Extra::new(vec![("k".into(), "v".into())]),
        annotations: Some(Box::new(annotations())),
        fact: None,
    }
}

pub fn to_team(content: &'static [u8]) -> Message {
    Message {
        id: MessageId(901),
        conversation: Conversation::Group(group("team")),
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

pub fn annotations() -> Annotations {
    Annotations {
        header: HeaderFlags { red_dot: true, ..HeaderFlags::default() },
        setting: SettingFlags { receipt: true, topic: true },
        topic: Some("t".into()),
        message_key: Some("k".into()),
        ..Annotations::default()
    }
}

/// Every annotation that there is.
pub fn everything() -> Annotations {
    Annotations {
        header: HeaderFlags { no_persist: false, red_dot: true, sync_once: true, dup: true },
        expire_s: 60,
        chunk: Some(StreamChunk { stream: "s-1".into(), number: 4, phase: ChunkPhase::Last }),
        ..annotations()
    }
}

/// An entry whose user calls the conversation what the server fills.
pub fn entry(seq: u64, message: Message) -> Entry {
    Entry { seq: Seq(seq), message: Arc::new(message), name: None }
}

pub fn my_alice(entry: Entry) -> Entry {
    Entry { name: Some(name("my alice")), ..entry }
}

/// Three things that alice did and bob hears of.
pub fn facts() -> [Entry; 3] {
    let by_alice = |id, fact| Message {
        id: MessageId(id),
        client_message_id: client_message_id("unused"),
        content: Bytes::new().into(),
        send_time: 0,
        extra: Extra::default(),
        annotations: None,
        fact: Some(Arc::new(fact)),
        ..to_bob(b"")
    };
    let read = |id| ReadMessage { id: MessageId(id), conversation_seq: ConversationSeq(1) };
    let revoked = by_alice(910, Fact::Revoked { message: MessageId(900) });
    let read = by_alice(911, Fact::Read { told: user("bob"), messages: vec![read(700), read(701)] });
    let added = Fact::Group(GroupChange::Added { members: vec![user("bob"), user("carol")] });
    let added = Message { conversation: to_team(b"").conversation, ..by_alice(912, added) };
    [my_alice(entry(10, revoked)), my_alice(entry(11, read)), entry(12, added)]
}

pub fn states() -> Vec<PresenceState> {
    vec![
        PresenceState { user: user("bob"), is_online: true, last_seen: Millis(0) },
        PresenceState { user: user("carol"), is_online: false, last_seen: NOW.wall },
    ]
}

pub fn sent() -> Reply {
    Reply::Sent {
        message_id: MessageId(900),
        seq: Seq(43),
        conversation_seq: ConversationSeq(11),
        server_time: NOW.wall,
    }
}

/// Two of bob's conversations; `last` is the newest message of the first.
pub fn rows(last: Message) -> Vec<ConversationRow> {
    let row = ConversationRow {
        conversation: Conversation::pair(user("alice"), user("bob")),
        name: Some(name("my alice")),
        last: Some(my_alice(entry(8, last))),
        last_seq: Seq(8),
        unread: 3,
        read_through: ConversationSeq(10),
        newest_seq: ConversationSeq(13),
    };
    let silent = ConversationRow {
        conversation: to_team(b"").conversation,
        name: None,
        last: None,
        last_seq: Seq(6),
        unread: 0,
        read_through: ConversationSeq(0),
        newest_seq: ConversationSeq(0),
    };
    vec![row, silent]
}

/// The vector "WHAT request" of the JSON-RPC protocol, whose id is 7, is this command, and the reply to it is the vector
/// "WHAT response".
pub fn expect_exchange(vectors: &Vectors, what: &str, command: Command, reply: Option<Reply>) {
    let tag = RequestTag::Number("7".into());
    let mut client = Client::as_bob("/rpc", vectors);
    let expected = Some(Incoming::Request { tag: tag.clone(), command });
    assert_eq!(client.say(&vectors.one(&format!("{what} request"))), expected, "{what}");
    if let Some(reply) = reply {
        client.reply(&tag, &reply);
        assert_eq!(client.heard(), [vectors.one(&format!("{what} response"))], "{what}");
    }
}
