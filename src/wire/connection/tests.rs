//! A connection's life, rule by rule, through its public face.

use super::*;
use crate::model::{Ack, Command, MessageId, Refusal, Seq, Sync, SyncDirection, Verb};
use crate::wire::common::incoming::Credentials;
use crate::wire::connection::requests::UNANSWERED_MAX;
use crate::wire::json::message_key::ServerKey;
use crate::wire::protobuf::im::{self, CommandType};
use prost::Message as _;

pub(in crate::wire) const NOW: Moment = Moment::told(Millis(1_700_000_000_000));
pub(in crate::wire) const TEXT: u8 = 0x81;
pub(in crate::wire) const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const CLOSE: u8 = 0x88;
pub(in crate::wire) const CONNECT: &str = r#"{"method":"connect","id":"c","params":{"uid":"alice","token":"t"}}"#;

fn context() -> Context {
    let (limits, handshake, server_key) = (Limits::default(), Default::default(), ServerKey::of([1; 32]));
    Context { limits, handshake, server_version: "0.1.0", server_key, node_id: 1, inbox_epoch: 1 }
}

fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

pub(in crate::wire) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let (mask, mut bytes) = ([9, 8, 7, 6], vec![first]);
    if payload.len() < 126 {
        bytes.push(0x80 | payload.len() as u8);
    } else {
        bytes.push(0x80 | 126);
        bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

pub(in crate::wire) fn envelope(command: CommandType, sequence: u32, body: &impl prost::Message) -> Vec<u8> {
    let body = body.encode_to_vec().into();
    let envelope = im::WebSocketMessage { command: command.into(), sequence, body, timestamp: 0 };
    frame(BINARY, &envelope.encode_to_vec())
}

pub(in crate::wire) fn auth_request() -> Vec<u8> {
    let request = im::AuthRequest { user_id: "alice".into(), token: "t".into(), platform: "iOS".into() };
    envelope(CommandType::CmdAuthReq, 1, &request)
}

pub(in crate::wire) fn sync_request(sequence: u32) -> Vec<u8> {
    envelope(CommandType::CmdSyncReq, sequence, &im::SyncRequest::default())
}

pub(in crate::wire) fn send_request() -> im::SendMessageRequest {
    im::SendMessageRequest {
        client_msg_id: "c".into(),
        receiver_id: "bob".into(),
        message_type: 1,
        ..im::SendMessageRequest::default()
    }
}

/// A connection with a clock.
pub(in crate::wire) struct Peer {
    pub(in crate::wire) connection: Connection,
    pub(in crate::wire) context: Context,
    pub(in crate::wire) now: Moment,
    scratch: Scratch,
}

impl Peer {
    pub(in crate::wire) fn new() -> Self {
        let context = context();
        Self { connection: Connection::new(NOW, &context), context, now: NOW, scratch: Scratch::default() }
    }

    pub(in crate::wire) fn upgraded(path: &str) -> Self {
        let mut peer = Self::new();
        assert_eq!(peer.feed(&upgrade(path)), []);
        assert!(peer.connection.drain_outbox(Vec::new()).starts_with(b"HTTP/1.1 101 "));
        peer
    }

    /// Authenticated and welcomed; the token is valid for an hour.
    pub(in crate::wire) fn open(path: &str) -> Self {
        let mut peer = Self::upgraded(path);
        let auth = if path == "/ws" { auth_request() } else { frame(TEXT, CONNECT.as_bytes()) };
        let Some(Incoming::Authenticate(credentials)) = peer.feed(&auth).pop() else { panic!("no credentials") };
        peer.let_in(&credentials);
        peer.frames();
        peer
    }

    pub(in crate::wire) fn let_in(&mut self, credentials: &Credentials) {
        let (user, expires) = (credentials.user.clone(), self.now.wall.plus(3_600_000));
        let grant = SessionGrant { user, expires, salt: [b's'; 16] };
        self.connection.authenticate(grant, self.now, &self.context).expect("a sound key, or none");
        self.connection.reply(&credentials.tag, &Reply::Welcome { max_seq: Seq(0) }, self.now, &self.context);
    }

    pub(in crate::wire) fn feed(&mut self, bytes: &[u8]) -> Vec<Incoming> {
        let mut bytes = bytes.to_vec();
        let (mut chunk, mut incoming) = (ReceivedBytes::new(&mut bytes), Vec::new());
        while let Some(next) = self.connection.next(&mut chunk, self.now, &self.context, &mut self.scratch) {
            incoming.push(next);
        }
        self.connection.buffer(chunk);
        incoming
    }

    pub(in crate::wire) fn close(&mut self, closing: Closing) {
        self.connection.close(closing, self.now, &self.context);
    }

    /// The frames queued: first byte and payload.
    pub(in crate::wire) fn frames(&mut self) -> Vec<(u8, Vec<u8>)> {
        let outbox = self.connection.drain_outbox(Vec::new());
        let mut rest = outbox.as_slice();
        let mut frames = Vec::new();
        while let [first, length, behind @ ..] = rest {
            let (length, behind) = match (length, behind) {
                (126, [high, low, behind @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), behind),
                (length, behind) => (usize::from(*length), behind),
            };
            frames.push((*first, behind[..length].to_vec()));
            rest = &behind[length..];
        }
        frames
    }

    pub(in crate::wire) fn texts(&mut self) -> Vec<String> {
        let text = |(_, payload)| String::from_utf8(payload).expect("UTF-8");
        self.frames().into_iter().filter(|(first, _)| *first == TEXT).map(text).collect()
    }

    /// Command, sequence, error code and message of the binary answers.
    pub(in crate::wire) fn answers(&mut self) -> Vec<(CommandType, u32, i32, String)> {
        let answer = |(_, payload): (u8, Vec<u8>)| {
            let envelope = im::WebSocketMessage::decode(payload.as_slice()).expect("an envelope");
            let body = im::UnknownResponse::decode(envelope.body.clone()).expect("a response");
            (envelope.command(), envelope.sequence, body.error_code, body.error_msg)
        };
        self.frames().into_iter().filter(|(first, _)| *first == BINARY).map(answer).collect()
    }

    /// The code of the close frame, which is the last frame.
    pub(in crate::wire) fn close_code(&mut self) -> Option<u16> {
        let (first, payload) = self.frames().pop()?;
        assert_eq!(first, CLOSE);
        Some(u16::from_be_bytes([*payload.first()?, *payload.get(1)?]))
    }
}

#[test]
fn a_connection_is_small_and_an_idle_one_holds_no_buffer() {
    assert!(size_of::<Connection>() < 512, "{} bytes", size_of::<Connection>());
    let mut peer = Peer::open("/rpc");
    peer.feed(&frame(0x01, b"{\"method\":"));
    peer.feed(&frame(0x80, b"\"dance\"}")[..4]);
    peer.feed(&frame(0x80, b"\"dance\"}")[4..]);
    assert_eq!(peer.connection.buffered_bytes(), 0);
    assert_eq!(peer.connection.state.outbox.capacity(), 0);
    peer.feed(&frame(PING, b""));
    assert_eq!(peer.connection.drain_outbox(Vec::new()), [PONG, 0]);
    assert_eq!(peer.connection.state.outbox.capacity(), 0);
}

#[test]
fn bytes_behind_the_upgrade_request_are_the_first_frame_wherever_they_are_cut() {
    for (path, auth) in [("/ws", auth_request()), ("/", frame(TEXT, CONNECT.as_bytes()))] {
        let bytes = [upgrade(path), frame(PING, b"p"), auth].concat();
        for cut in 0..=bytes.len() {
            let mut peer = Peer::new();
            let mut incoming = peer.feed(&bytes[..cut]);
            incoming.extend(peer.feed(&bytes[cut..]));
            let [Incoming::Authenticate(credentials)] = incoming.as_slice() else { panic!("{incoming:?}") };
            assert_eq!(credentials.user.as_str(), "alice");
            assert!(peer.connection.drain_outbox(Vec::new()).ends_with(&[PONG, 1, b'p']), "cut at {cut}");
        }
    }
}

#[test]
fn a_refused_handshake_ends_the_connection_without_a_close_frame() {
    let mut peer = Peer::new();
    assert_eq!(peer.feed(&upgrade("/elsewhere")), []);
    assert_eq!(peer.connection.closing(), Some(Closing::HandshakeRefused));
    assert!(peer.connection.drain_outbox(Vec::new()).starts_with(b"HTTP/1.1 404 "));
    assert_eq!(peer.feed(&auth_request()), []);
    assert_eq!((peer.connection.outbox_bytes(), peer.connection.buffered_bytes()), (0, 0));

    let mut peer = Peer::new();
    for _ in 0..17 {
        peer.feed(&[b'x'; 1_000]);
    }
    assert!(peer.connection.drain_outbox(Vec::new()).starts_with(b"HTTP/1.1 431 "));
}

#[test]
fn nothing_is_given_out_while_an_authentication_is_decided_and_everything_after() {
    let mut peer = Peer::upgraded("/ws");
    let incoming = peer.feed(&[auth_request(), sync_request(2), frame(PING, b"")].concat());
    let [Incoming::Authenticate(credentials)] = incoming.as_slice() else { panic!("{incoming:?}") };
    assert!(peer.connection.buffered_bytes() > 0);
    assert_eq!(peer.feed(&sync_request(3)), []);
    assert_eq!(peer.connection.outbox_bytes(), 0, "not even a ping is answered");
    peer.let_in(credentials);
    let sync = Command::Sync(Sync { direction: SyncDirection::After(Seq(0)), limit: 100 });
    let expected = [2, 3]
        .map(|sequence| Incoming::Request { tag: RequestTag::Sequence(sequence, Verb::Sync), command: sync.clone() });
    assert_eq!(peer.feed(&[]), expected);
    assert_eq!(peer.connection.buffered_bytes(), 0);
    assert_eq!(peer.connection.user().map(UserId::as_str), Some("alice"));
}

#[test]
fn a_refused_authentication_is_answered_and_ends_the_connection() {
    for (path, auth) in [("/ws", auth_request()), ("/rpc", frame(TEXT, CONNECT.as_bytes()))] {
        for (refusal, code) in [(Refusal::AuthFailed, 4001), (Refusal::TokenExpired, 4007)] {
            let mut peer = Peer::upgraded(path);
            let Some(Incoming::Authenticate(credentials)) = peer.feed(&auth).pop() else { panic!("no credentials") };
            peer.connection.refuse_authentication(&credentials.tag, refusal.into(), NOW, &peer.context);
            let frames = peer.frames();
            assert_eq!(frames.len(), 2, "the answer and the close frame, no farewell: {frames:?}");
            assert_eq!(frames[1].1[..2], u16::to_be_bytes(code));
            let grant = SessionGrant { user: credentials.user, expires: NOW.wall.plus(1), salt: [0; 16] };
            let late = peer.connection.authenticate(grant, NOW, &peer.context);
            assert_eq!(late, Ok(()));
            assert_eq!(peer.connection.user(), None, "the first decision stands");
        }
    }
}

#[test]
fn a_refusal_is_sent_in_the_response_that_belongs_to_the_request() {
    let mut peer = Peer::open("/ws");
    let refused = Reply::Refused(Refusal::StorageDamaged.into());
    for (verb, response) in [
        (Verb::Authenticate, 101),
        (Verb::Reauthenticate, 103),
        (Verb::Send, 201),
        (Verb::Sync, 301),
        (Verb::Ack, 0),
        (Verb::Revoke, 206),
        (Verb::Receipt, 501),
        (Verb::Typing, 0),
        (Verb::History, 705),
        (Verb::Conversations, 701),
        (Verb::MarkRead, 703),
        (Verb::ClearHistory, 745),
        (Verb::DeleteConversation, 747),
        (Verb::Presence, 401),
    ] {
        peer.connection.reply(&RequestTag::Sequence(7, verb), &refused, NOW, &peer.context);
        let answers: Vec<_> = peer.answers().into_iter().map(|(command, ..)| command as i32).collect();
        assert_eq!(answers, [response], "{verb:?}");
    }
}

#[test]
fn unanswered_requests_are_bounded_and_each_answer_makes_room_for_one() {
    const SYNC: &str = r#"{"method":"sync","id":99}"#;
    for path in ["/ws", "/rpc"] {
        let mut peer = Peer::open(path);
        let request = if path == "/ws" { sync_request(99) } else { frame(TEXT, SYNC.as_bytes()) };
        assert_eq!(peer.feed(&request.repeat(UNANSWERED_MAX as usize)).len(), UNANSWERED_MAX as usize);
        assert_eq!((peer.feed(&request), peer.scratch.refusals().sum()), (Vec::new(), 1));
        let tag = if path == "/ws" {
            assert_eq!(peer.answers(), [(CommandType::CmdSyncRsp, 99, 201, "too many unanswered requests".into())]);
            RequestTag::Sequence(99, Verb::Sync)
        } else {
            assert!(peer.texts()[0].contains("1104"));
            RequestTag::Number("99".into())
        };
        peer.connection.reply(&tag, &Reply::Done, NOW, &peer.context);
        peer.connection.reply(&RequestTag::None, &Reply::Done, NOW, &peer.context);
        assert_eq!(peer.feed(&request.repeat(2)).len(), 1);
    }
}

#[test]
fn a_frame_of_the_wrong_kind_closes_only_the_binary_path() {
    let mut peer = Peer::open("/ws");
    peer.feed(&frame(TEXT, b"{}"));
    assert_eq!(peer.close_code(), Some(1003));
    let mut peer = Peer::open("/rpc");
    peer.feed(&frame(BINARY, br#"{"method":"dance","id":1}"#));
    assert!(peer.texts()[0].contains("-32601"));
    peer.feed(&frame(BINARY, b"{\"method\":\"\xff\",\"id\":1}"));
    assert!(peer.texts()[0].contains("-32700"), "binary that is not UTF-8 is a parse error");
    peer.feed(&frame(TEXT, b"{\"method\":\"\xff\",\"id\":1}"));
    assert_eq!(peer.close_code(), Some(1007));
}

#[test]
fn malformed_requests_in_a_row_close_the_connection() {
    for (path, bad, good) in [
        ("/ws", frame(BINARY, b"\xff"), sync_request(1)),
        ("/rpc", frame(TEXT, b"{"), frame(TEXT, br#"{"method":"ping","id":1}"#)),
    ] {
        let mut peer = Peer::open(path);
        for _ in 0..15 {
            peer.feed(&bad);
        }
        peer.feed(&good);
        for _ in 0..15 {
            peer.feed(&bad);
        }
        assert_eq!(peer.connection.closing(), None);
        peer.feed(&bad);
        assert_eq!(peer.connection.closing(), Some(Closing::TooManyBadRequests));
        assert_eq!(peer.close_code(), Some(4006));
    }
    let mut peer = Peer::open("/ws");
    peer.feed(&frame(BINARY, b"\xff"));
    assert_eq!(peer.answers(), [(CommandType::CmdUnknown, 0, 2, "not a WebSocketMessage".into())]);
}

#[test]
fn each_phase_ends_at_its_deadline() {
    for (path, auth_ms, idle_ms) in [("/ws", 10_000, 90_000), ("/rpc", 2_000, 180_000), ("/wukong", 2_000, 180_000)] {
        let mut peer = Peer::new();
        assert_eq!(peer.connection.deadline(NOW), NOW.plus(5_000).steady);
        peer.now = NOW.plus(4_000);
        peer.feed(&upgrade(path));
        peer.connection.drain_outbox(Vec::new());
        assert_eq!(peer.connection.deadline(NOW), NOW.plus(4_000 + auth_ms).steady, "from the end of the handshake");
        peer.now = NOW.plus(5_000);
        peer.feed(&frame(PING, b""));
        assert_eq!(peer.connection.deadline(NOW), NOW.plus(4_000 + auth_ms).steady, "a ping does not put it off");
        let auth = if path == "/ws" { auth_request() } else { frame(TEXT, CONNECT.as_bytes()) };
        let Some(Incoming::Authenticate(credentials)) = peer.feed(&auth).pop() else { panic!("no credentials") };
        assert_eq!(peer.connection.deadline(NOW), NOW.plus(4_000 + auth_ms).steady);
        peer.let_in(&credentials);
        assert_eq!(peer.connection.deadline(NOW), NOW.plus(5_000 + idle_ms).steady);
        peer.now = NOW.plus(60_000);
        peer.feed(&frame(PING, b""));
        assert_eq!(peer.connection.deadline(NOW), NOW.plus(60_000 + idle_ms).steady);
        peer.connection.expire(NOW.plus(60_000 + idle_ms - 1), &peer.context);
        assert_eq!(peer.connection.closing(), None);
        peer.connection.expire(NOW.plus(60_000 + idle_ms), &peer.context);
        assert_eq!(peer.connection.closing(), Some(Closing::Idle));
        assert_eq!(
            peer.connection.deadline(NOW),
            NOW.plus(60_000 + idle_ms + 2_000).steady,
            "time to read the close frame"
        );
        assert_eq!(peer.close_code(), Some(4003));
    }
}

#[test]
fn what_is_too_late_is_closed_with_its_own_code() {
    let mut silent = Peer::new();
    silent.connection.expire(NOW.plus(5_000), &silent.context);
    assert_eq!(silent.connection.closing(), Some(Closing::HandshakeRefused));
    assert_eq!(silent.connection.outbox_bytes(), 0);

    let mut anonymous = Peer::upgraded("/rpc");
    anonymous.connection.expire(NOW.plus(2_000), &anonymous.context);
    assert_eq!(anonymous.close_code(), Some(4002));

    let mut expired = Peer::open("/ws");
    expired.now = NOW.plus(3_600_000 + 59_000);
    expired.feed(&frame(PING, b""));
    let due = NOW.plus(3_600_000 + 60_000);
    assert_eq!(expired.connection.deadline(NOW), due.steady);
    expired.connection.expire(due, &expired.context);
    assert_eq!(expired.connection.closing(), Some(Closing::TokenExpired));
    assert_eq!(expired.close_code(), Some(4007));
    expired.connection.expire(due.plus(10_000), &expired.context);
    assert_eq!(expired.connection.outbox_bytes(), 0, "an end ends once");
}

#[test]
fn the_farewell_comes_before_the_close_frame_where_the_protocol_has_one() {
    for closing in Closing::ALL {
        let mut peer = Peer::open("/ws");
        peer.close(closing);
        let mut frames = peer.frames();
        assert_eq!(frames.pop().map(|(_, payload)| u16::from_be_bytes([payload[0], payload[1]])), closing.code());
        let reason = frames.pop().map(|(_, payload)| {
            let envelope = im::WebSocketMessage::decode(payload.as_slice()).expect("an envelope");
            assert_eq!((envelope.command(), envelope.sequence), (CommandType::CmdKickOut, 0));
            im::KickOutNotification::decode(envelope.body).expect("a farewell").reason
        });
        let expected = match closing {
            Closing::Replaced => Some(1),
            Closing::AccountDisabled => Some(2),
            Closing::TokenExpired | Closing::TokenRevoked => Some(3),
            Closing::Stopping => Some(4),
            Closing::TooSlow => Some(5),
            _ => None,
        };
        assert_eq!(reason, expected, "{closing:?}");

        for path in ["/rpc", "/wukong"] {
            let mut peer = Peer::open(path);
            peer.close(closing);
            let disconnects = peer.texts().iter().filter(|text| text.contains("disconnect")).count();
            let is_final = matches!(closing, Closing::Replaced | Closing::AccountDisabled);
            assert_eq!(disconnects, usize::from(is_final), "{closing:?} on {path}");
        }
    }
}

#[test]
fn a_stranger_gets_no_farewell() {
    let mut peer = Peer::upgraded("/ws");
    peer.close(Closing::Stopping);
    assert_eq!(peer.frames(), [(CLOSE, [&[0x03, 0xe9], b"server stopping".as_slice()].concat())]);
}

#[test]
fn after_the_end_nothing_is_read_and_nothing_queued() {
    let mut peer = Peer::open("/ws");
    peer.feed(&sync_request(1)[..3]);
    peer.close(Closing::TooSlow);
    peer.close(Closing::Stopping);
    assert_eq!(peer.connection.closing(), Some(Closing::TooSlow), "the first closing wins");
    assert_eq!(peer.close_code(), Some(4005));
    assert_eq!(peer.feed(&[sync_request(2), frame(CLOSE, b"")].concat()), []);
    peer.connection.enqueue(b"frame");
    peer.connection.reply(&RequestTag::Sequence(1, Verb::Ack), &Reply::Done, NOW, &peer.context);
    assert_eq!((peer.connection.outbox_bytes(), peer.connection.buffered_bytes()), (0, 0));
}

#[test]
fn a_close_frame_is_answered_with_one() {
    for (payload, answer, closing) in [
        (&[][..], &[][..], Closing::Normal),
        (&[0x03, 0xe8, b'b', b'y', b'e'], &[0x03, 0xe8], Closing::Normal),
        (&[0x0f, 0xa0], &[0x0f, 0xa0], Closing::Normal),
        (&[0x03], &[0x03, 0xea], Closing::ProtocolError),
        (&[0x03, 0xed], &[0x03, 0xea], Closing::ProtocolError),
        (&[0x03, 0xe8, 0xff], &[0x03, 0xef], Closing::BadText),
    ] {
        let mut peer = Peer::open("/rpc");
        peer.feed(&[frame(CLOSE, payload), frame(PING, b"")].concat());
        assert_eq!(peer.connection.closing(), Some(closing), "{payload:?}");
        let frames = peer.frames();
        assert_eq!(frames.len(), 1);
        assert!(frames[0].0 == CLOSE && frames[0].1.starts_with(answer), "{frames:?}");
        assert!(closing != Closing::Normal || frames[0].1 == answer);
    }
}

#[test]
fn one_who_asks_without_reading_the_answers_is_heard_no_further_than_there_is_room_for() {
    let mut peer = Peer::open("/rpc");
    let pings: Vec<u8> = (0..4_000).flat_map(|_| frame(PING, &[0; 125])).collect();
    peer.feed(&pings);
    let mut pongs = Vec::new();
    loop {
        assert_eq!(peer.connection.closing(), None);
        assert!(peer.connection.outbox_bytes() < peer.context.limits.outbox_bytes_max / 2 + 128);
        let frames = peer.frames();
        if frames.is_empty() {
            break;
        }
        pongs.extend(frames);
        peer.feed(&[]);
    }
    assert_eq!(pongs.len(), 4_000, "what was not read is read when the answers before it have been taken");
}

#[test]
fn events_are_encoded_for_what_the_connection_speaks() {
    assert_eq!(Peer::open("/ws").connection.encoding(), Some(Encoding::Binary));
    assert_eq!(Peer::open("/").connection.encoding(), Some(Encoding::JsonRpc { version: 3 }));
    assert_eq!(Peer::open("/wukong").connection.encoding(), Some(Encoding::Wukong { version: 3 }));
}

#[test]
fn requests_are_read_alike_however_the_bytes_are_cut() {
    let ack = im::MessageAck { message_id: "5".into(), seq: 0 };
    let bytes = [
        sync_request(1),
        envelope(CommandType::CmdHeartbeatReq, 2, &im::HeartbeatRequest::default()),
        envelope(CommandType::CmdMsgAck, 3, &ack),
        frame(BINARY, b"\xff"),
    ]
    .concat();
    let mut whole = Peer::open("/ws");
    let expected = (whole.feed(&bytes), whole.frames());
    let last = Incoming::Request { tag: RequestTag::None, command: Command::Ack(Ack::Message(MessageId(5))) };
    assert_eq!(expected.0.last(), Some(&last));
    for cut in 0..=bytes.len() {
        let mut peer = Peer::open("/ws");
        let mut incoming = peer.feed(&bytes[..cut]);
        incoming.extend(peer.feed(&bytes[cut..]));
        assert_eq!((incoming, peer.frames()), expected, "cut at {cut}");
    }
}
