//! Client frames that are built once and only renumbered for each message, so that the generator costs little.
//!
//! Every message carries its number and that of its stream at the beginning of its content. Frames are masked with the
//! key 0, which is legal and leaves the bytes unchanged.

use crate::wire::proto::{
    AuthRequest, CommandType, ReadReceiptRequest, SendMessageRequest, SyncRequest, TypingStatusRequest,
    WebSocketMessage,
};
use bytes::Bytes;
use prost::Message as _;
use std::io::Write;

/// The shortest content that has room for the numbers in both protocols.
pub const BODY_BYTES_MIN: usize = 64;
/// The longest content within the default limits.
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// Numbers are below this, so that all have the same length on the wire.
pub const NUMBERS: u32 = 1 << 28;
pub const DIGITS: usize = 8;

/// A placeholder for the number; no user id or text of the generator contains it.
const HEX_PLACE: &[u8] = b"@@@@@@@@";
/// Always five bytes as a varint.
const SEQUENCE_BASE: u32 = NUMBERS;
const SEQUENCE_PLACE: u32 = SEQUENCE_BASE | 0x0abc_def1;

/// The protocol of the generator's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadDialect {
    Binary,
    JsonRpc,
    /// Frames of the same length as binary ones, for a relay that parses nothing (benches/floor): no handshake, no
    /// login.
    Bare,
}

impl LoadDialect {
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::JsonRpc => "jsonrpc",
            Self::Bare => "bare",
        }
    }

    pub fn path(self) -> &'static str {
        match self {
            Self::JsonRpc => "/rpc",
            Self::Binary | Self::Bare => "/ws",
        }
    }
}

/// The recipient.
#[derive(Clone, Copy)]
pub enum To<'a> {
    User(&'a str),
    Group(&'a str),
}

/// The properties of a template's messages.
pub struct Authorship<'a> {
    pub to: To<'a>,
    pub run: &'a str,
    pub stream: u32,
    pub body_bytes: usize,
}

pub struct Template {
    frame: Vec<u8>,
    hex_places: Vec<usize>,
    sequence_place: Option<usize>,
}

impl Template {
    pub fn new(dialect: LoadDialect, authorship: &Authorship<'_>) -> Self {
        match dialect {
            LoadDialect::Binary => Self::binary(authorship),
            LoadDialect::JsonRpc => Self::json_rpc(authorship),
            LoadDialect::Bare => Self::bare(authorship),
        }
    }

    pub fn frame_bytes(&self) -> usize {
        self.frame.len()
    }

    /// A frame of the length of the binary one that contains only the numbers.
    fn bare(authorship: &Authorship<'_>) -> Self {
        let length = Self::binary(authorship).frame_bytes();
        let payload_bytes = if length - 6 < 126 { length - 6 } else { length - 8 };
        let mut content = numbered_text(authorship.stream);
        content.resize(payload_bytes, b'x');
        let mut frame = Vec::new();
        push_frame(&mut frame, BINARY, &content);
        Self { hex_places: places(&frame, HEX_PLACE), sequence_place: None, frame }
    }

    fn binary(authorship: &Authorship<'_>) -> Self {
        let mut content = numbered_text(authorship.stream);
        content.resize(authorship.body_bytes, b'x');
        let (receiver_id, group_id) = match authorship.to {
            To::User(user) => (user.to_owned(), String::new()),
            To::Group(group) => (String::new(), group.to_owned()),
        };
        let request = SendMessageRequest {
            client_msg_id: format!("{}-{:x}-@@@@@@@@", authorship.run, authorship.stream),
            receiver_id,
            group_id,
            message_type: 1,
            content: Bytes::from(content),
            ..Default::default()
        };
        let body = Bytes::from(request.encode_to_vec());
        let envelope = WebSocketMessage {
            command: CommandType::CmdSendMsgReq.into(),
            sequence: SEQUENCE_PLACE,
            body,
            timestamp: 0,
        };
        let mut frame = Vec::new();
        push_frame(&mut frame, BINARY, &envelope.encode_to_vec());
        let sequence_place = places(&frame, &varint5(SEQUENCE_PLACE)).first().copied();
        Self { hex_places: places(&frame, HEX_PLACE), sequence_place, frame }
    }

    fn json_rpc(authorship: &Authorship<'_>) -> Self {
        let payload = |text: &str| format!(r#"{{"type":1,"content":"{text}"}}"#);
        let mut text = String::from_utf8(numbered_text(authorship.stream)).expect("digits and letters");
        let (channel, kind) = match authorship.to {
            To::User(user) => (user, 1),
            To::Group(group) => (group, 2),
        };
        let filler = authorship.body_bytes.saturating_sub(payload(&text).len());
        text.extend(std::iter::repeat_n('x', filler));
        let request = format!(
            r#"{{"method":"send","params":{{"clientMsgNo":"{}-{:x}-@@@@@@@@","channelId":"{channel}","channelType":{kind},"payload":{}}},"id":"@@@@@@@@"}}"#,
            authorship.run,
            authorship.stream,
            payload(&text),
        );
        let mut frame = Vec::new();
        push_frame(&mut frame, TEXT, request.as_bytes());
        Self { hex_places: places(&frame, HEX_PLACE), sequence_place: None, frame }
    }

    /// Appends the frame of message `number`.
    pub fn push(&mut self, number: u32, out: &mut Vec<u8>) {
        let digits = hex(number);
        for &place in &self.hex_places {
            self.frame[place..place + DIGITS].copy_from_slice(&digits);
        }
        if let Some(place) = self.sequence_place {
            self.frame[place..place + 5].copy_from_slice(&varint5(SEQUENCE_BASE | number));
        }
        out.extend_from_slice(&self.frame);
    }
}

/// The message number of an answer's `sequence`.
pub fn number_of_sequence(sequence: u32) -> Option<u32> {
    sequence.checked_sub(SEQUENCE_BASE).filter(|&number| number < NUMBERS)
}

/// Acknowledges a binary inbox up to `seq`.
pub fn push_binary_ack(seq: u64, out: &mut Vec<u8>) {
    let mut body = vec![2 << 3];
    push_varint(seq, &mut body);
    let envelope =
        WebSocketMessage { command: CommandType::CmdMsgAck.into(), body: Bytes::from(body), ..Default::default() };
    push_frame(out, BINARY, &envelope.encode_to_vec());
}

/// Acknowledges one JSON-RPC message, by notification.
pub fn push_json_rpc_ack(message_id: &str, message_seq: u64, out: &mut Vec<u8>) {
    let mut text = Vec::with_capacity(128);
    write!(text, r#"{{"method":"recvack","params":{{"messageId":"{message_id}","messageSeq":{message_seq}}}}}"#)
        .expect("writing to a Vec cannot fail");
    push_frame(out, TEXT, &text);
}

/// The user who logs in.
pub struct Login<'a> {
    pub user: &'a str,
    pub token: &'a str,
}

/// The first frame on a connection.
pub fn push_login(dialect: LoadDialect, login: &Login<'_>, out: &mut Vec<u8>) {
    let Login { user, token } = login;
    match dialect {
        LoadDialect::Binary => {
            let body =
                AuthRequest { user_id: (*user).to_owned(), token: (*token).to_owned(), platform: "bench".to_owned() };
            push_binary(CommandType::CmdAuthReq, &body, out);
        }
        LoadDialect::JsonRpc => push_text(
            &format!(
                r#"{{"method":"connect","params":{{"uid":"{user}","token":"{token}","deviceId":"bench","deviceFlag":1}},"id":"connect"}}"#
            ),
            out,
        ),
        LoadDialect::Bare => {}
    }
}

/// Requests the inbox after seq `after`.
pub fn push_sync(dialect: LoadDialect, after: u64, limit: i32, out: &mut Vec<u8>) {
    match dialect {
        LoadDialect::Binary => {
            let body = SyncRequest { min_seq: 0, max_seq: after.cast_signed(), limit };
            push_binary(CommandType::CmdSyncReq, &body, out);
        }
        LoadDialect::JsonRpc => {
            push_text(&format!(r#"{{"method":"sync","params":{{"maxSeq":{after},"limit":{limit}}},"id":"sync"}}"#), out)
        }
        LoadDialect::Bare => {}
    }
}

/// A read receipt for a conversation of two users.
pub fn push_receipt(dialect: LoadDialect, me: &str, author: &str, message_id: &str, out: &mut Vec<u8>) {
    match dialect {
        LoadDialect::Binary => {
            let body = ReadReceiptRequest {
                message_ids: vec![message_id.to_owned()],
                conversation_id: conversation_of(me, author),
            };
            push_binary(CommandType::CmdReadReceiptReq, &body, out);
        }
        LoadDialect::JsonRpc => push_text(
            &format!(
                r#"{{"method":"receipt","params":{{"channelId":"{author}","channelType":1,"messageIds":["{message_id}"]}},"id":"receipt"}}"#
            ),
            out,
        ),
        LoadDialect::Bare => {}
    }
}

/// A typing notice for a conversation of two users.
pub fn push_typing(dialect: LoadDialect, me: &str, peer: &str, out: &mut Vec<u8>) {
    match dialect {
        LoadDialect::Binary => {
            let body = TypingStatusRequest { conversation_id: conversation_of(me, peer), status: 1 };
            push_binary(CommandType::CmdTypingStatusReq, &body, out);
        }
        LoadDialect::JsonRpc => push_text(
            &format!(r#"{{"method":"typing","params":{{"channelId":"{peer}","channelType":1,"status":1}}}}"#),
            out,
        ),
        LoadDialect::Bare => {}
    }
}

/// The default name of a conversation of two users.
fn conversation_of(one: &str, other: &str) -> String {
    format!("single_{}_{}", one.min(other), one.max(other))
}

fn push_binary(command: CommandType, body: &impl prost::Message, out: &mut Vec<u8>) {
    let body = Bytes::from(body.encode_to_vec());
    let envelope = WebSocketMessage { command: command.into(), sequence: 1, body, timestamp: 0 };
    push_frame(out, BINARY, &envelope.encode_to_vec());
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    push_frame(out, TEXT, text.as_bytes());
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;

fn push_frame(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    match payload.len() {
        length @ ..126 => out.push(MASKED | length as u8),
        length @ 126..=0xffff => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

fn numbered_text(stream: u32) -> Vec<u8> {
    [HEX_PLACE, &hex(stream)].concat()
}

fn hex(number: u32) -> [u8; DIGITS] {
    std::array::from_fn(|index| b"0123456789abcdef"[(number >> (28 - 4 * index)) as usize & 15])
}

fn varint5(number: u32) -> [u8; 5] {
    std::array::from_fn(|index| {
        let more = if index < 4 { 0x80 } else { 0 };
        ((number >> (7 * index)) & 0x7f) as u8 | more
    })
}

fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn places(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    (0..=bytes.len().saturating_sub(wanted.len())).filter(|&at| bytes[at..].starts_with(wanted)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use tungstenite::protocol::frame::FrameHeader;

    const AUTHORSHIP: Authorship<'_> = Authorship { to: To::User("bob"), run: "r", stream: 0x17, body_bytes: 200 };

    fn payload(frame: &[u8]) -> &[u8] {
        let mut cursor = Cursor::new(frame);
        let (header, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
        assert_eq!(header.mask, Some([0; 4]), "a client's frames are masked");
        let start = usize::try_from(cursor.position()).unwrap();
        assert_eq!(frame.len() - start, usize::try_from(length).unwrap());
        &frame[start..]
    }

    #[test]
    fn a_binary_frame_is_a_send_with_its_number_in_all_three_places() {
        let mut template = Template::new(LoadDialect::Binary, &AUTHORSHIP);
        for number in [0, 5, NUMBERS - 1] {
            let mut out = Vec::new();
            template.push(number, &mut out);
            let envelope = WebSocketMessage::decode(payload(&out)).unwrap();
            assert_eq!(number_of_sequence(envelope.sequence), Some(number));
            let request = SendMessageRequest::decode(envelope.body).unwrap();
            assert_eq!(request.client_msg_id, format!("r-17-{number:08x}"));
            assert!(request.content.starts_with(format!("{number:08x}00000017").as_bytes()));
            assert_eq!((request.content.len(), request.receiver_id.as_str()), (200, "bob"));
        }
    }

    #[test]
    fn a_bare_frame_is_as_long_as_the_binary_one() {
        for body_bytes in [64, 128, 4_096] {
            let authorship = Authorship { body_bytes, ..AUTHORSHIP };
            let [mut bare, binary] = [LoadDialect::Bare, LoadDialect::Binary].map(|it| Template::new(it, &authorship));
            assert_eq!(bare.frame_bytes(), binary.frame_bytes());
            let mut out = Vec::new();
            bare.push(5, &mut out);
            assert!(payload(&out).starts_with(b"0000000500000017xx"));
        }
    }

    #[test]
    fn a_message_to_a_group_names_the_group() {
        let authorship = Authorship { to: To::Group("team"), ..AUTHORSHIP };
        let mut out = Vec::new();
        Template::new(LoadDialect::Binary, &authorship).push(1, &mut out);
        let request = SendMessageRequest::decode(WebSocketMessage::decode(payload(&out)).unwrap().body).unwrap();
        assert_eq!((request.group_id.as_str(), request.receiver_id.as_str()), ("team", ""));
        let mut out = Vec::new();
        Template::new(LoadDialect::JsonRpc, &authorship).push(1, &mut out);
        let json: serde_json::Value = serde_json::from_slice(payload(&out)).unwrap();
        assert_eq!((&json["params"]["channelId"], &json["params"]["channelType"]), (&"team".into(), &2.into()));
    }

    #[test]
    fn a_json_frame_is_a_send_with_its_number_in_all_three_places() {
        let mut template = Template::new(LoadDialect::JsonRpc, &AUTHORSHIP);
        let mut out = Vec::new();
        template.push(0xabc, &mut out);
        let json: serde_json::Value = serde_json::from_slice(payload(&out)).unwrap();
        assert_eq!((&json["id"], &json["params"]["clientMsgNo"]), (&"00000abc".into(), &"r-17-00000abc".into()));
        let payload = &json["params"]["payload"];
        assert!(payload["content"].as_str().unwrap().starts_with("00000abc00000017xxx"));
        assert_eq!(payload.to_string().len(), 200);
    }
}
