//! Vocabulary to seed 2's JSON-RPC, whole WebSocket frames in one pass.
//!
//! Invariants: every message carries `"jsonrpc":"2.0"`; text is escaped here and nowhere else; a tag of `None` gets no
//! answer.

use super::connection::Dialect;
use super::exchange::ClientTraits;
use super::frame::push_text;
use super::json_payload::push_payload;
use crate::model::{
    Annotations, Closing, Conversation, Entry, Event, HeaderFlags, Refused, Reply, RequestTag, SettingFlags, UserId,
};

/// What only the answer to `connect` says.
pub(super) struct Welcome<'a> {
    pub server_key: &'a str,
    pub server_version: &'a str,
    pub node_id: u16,
    pub salt: [u8; 16],
    pub traits: ClientTraits,
}

/// WuKongIM's reason code for "logged in elsewhere" (PROTOCOL 3.15).
const REASON_REPLACED: u64 = 12;

/// Appends an answer: `"name":` and what `write` appends, then the id.
fn push_answer(out: &mut Vec<u8>, tag: &RequestTag, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    if *tag == RequestTag::None {
        return;
    }
    push_text(out, |out| {
        text(out, r#"{"jsonrpc":"2.0","id":"#);
        push_tag(out, tag);
        text(out, ",\"");
        text(out, name);
        text(out, "\":");
        write(out);
        text(out, "}");
    });
}

fn push_tag(out: &mut Vec<u8>, tag: &RequestTag) {
    match tag {
        RequestTag::None => text(out, "null"),
        RequestTag::Sequence(number, _) => decimal(out, (*number).into()),
        RequestTag::Number(digits) => text(out, digits),
        RequestTag::Text(id) => string(out, id),
    }
}

pub(super) fn push_error(out: &mut Vec<u8>, tag: &RequestTag, code: i32, message: &str) {
    push_answer(out, tag, "error", |out| error_object(out, code, message));
}

pub(super) fn push_refusal(out: &mut Vec<u8>, tag: &RequestTag, refused: Refused) {
    push_error(out, tag, refused.refusal.json_rpc_code(), refused.detail);
}

/// An error about something that has no id that could be read.
pub(super) fn push_nameless_error(out: &mut Vec<u8>, code: i32, message: &str) {
    push_text(out, |out| {
        text(out, r#"{"jsonrpc":"2.0","id":null,"error":"#);
        error_object(out, code, message);
        text(out, "}");
    });
}

fn error_object(out: &mut Vec<u8>, code: i32, message: &str) {
    text(out, r#"{"code":"#);
    signed(out, code.into());
    text(out, r#","message":"#);
    string(out, message);
    text(out, "}");
}

/// PROTOCOL 3.7: the answer, then the notification that seed 2's example shows.
pub(super) fn push_pong(out: &mut Vec<u8>, dialect: Dialect, tag: &RequestTag) {
    if *tag == RequestTag::None {
        return;
    }
    push_answer(out, tag, "result", |out| text(out, if dialect == Dialect::Wukong { "null" } else { "{}" }));
    push_text(out, |out| text(out, r#"{"jsonrpc":"2.0","method":"pong"}"#));
}

/// Appends the reply to the request that carried `tag`.
pub(super) fn push_reply(
    out: &mut Vec<u8>,
    dialect: Dialect,
    tag: &RequestTag,
    viewer: &UserId,
    reply: &Reply,
    welcome: &Welcome<'_>,
) {
    match reply {
        Reply::Refused(refused) => push_refusal(out, tag, *refused),
        reply => push_answer(out, tag, "result", |out| result(out, dialect, viewer, reply, welcome)),
    }
}

fn result(out: &mut Vec<u8>, dialect: Dialect, viewer: &UserId, reply: &Reply, welcome: &Welcome<'_>) {
    match reply {
        Reply::Welcome { max_seq: _ } => welcome_object(out, dialect, welcome),
        Reply::Sent { message_id, seq, conversation_seq, server_time: _ } => {
            text(out, r#"{"messageId":""#);
            decimal(out, message_id.0);
            text(out, r#"","messageSeq":"#);
            decimal(out, conversation_seq.0);
            member(out, "reasonCode", success_code(dialect));
            text(out, r#","header":{}"#);
            if dialect == Dialect::JsonRpc {
                member(out, "inboxSeq", seq.0);
            }
            text(out, "}");
        }
        Reply::Synced { entries, server_max_seq, has_more } => {
            text(out, r#"{"messages":["#);
            for (index, entry) in entries.iter().enumerate() {
                text(out, if index > 0 { "," } else { "" });
                message_object(out, dialect, viewer, entry);
            }
            text(out, "]");
            member(out, "serverMaxSeq", server_max_seq.0);
            text(out, if *has_more { r#","hasMore":true}"# } else { r#","hasMore":false}"# });
        }
        _ => text(out, "{}"),
    }
}

fn welcome_object(out: &mut Vec<u8>, dialect: Dialect, welcome: &Welcome<'_>) {
    text(out, r#"{"serverKey":"#);
    string(out, welcome.server_key);
    text(out, r#","salt":"#);
    string(out, str::from_utf8(&welcome.salt).unwrap_or_default());
    text(out, r#","timeDiff":"#);
    signed(out, welcome.traits.time_diff_ms);
    member(out, "reasonCode", success_code(dialect));
    text(out, r#","header":{}"#);
    member(out, "serverVersion", version_number(welcome.server_version));
    member(out, "nodeId", welcome.node_id.into());
    text(out, "}");
}

fn success_code(dialect: Dialect) -> u64 {
    u64::from(dialect == Dialect::Wukong)
}

/// Seed 2 wants an integer: major, minor and patch, two digits each.
fn version_number(version: &str) -> u64 {
    version.split('.').take(3).fold(0, |sum, part| sum * 100 + part.parse::<u64>().unwrap_or(0).min(99))
}

/// Appends the notification of `event` to `viewer`.
pub(super) fn push_event(out: &mut Vec<u8>, dialect: Dialect, viewer: &UserId, event: &Event) {
    match event {
        Event::Transient(..) | Event::Typing(_) | Event::Presence(_) => {}
        Event::Entry(entry) => {
            out.reserve(entry.message.content.len() + 512);
            push_text(out, |out| {
                text(out, r#"{"jsonrpc":"2.0","method":"recv","params":"#);
                message_object(out, dialect, viewer, entry);
                text(out, "}");
            });
        }
    }
}

/// Appends the notification that a session ends for good. `disconnect` tells clients not to come back, so it is sent
/// only where that is meant.
pub(super) fn push_farewell(out: &mut Vec<u8>, closing: Closing) {
    if closing != Closing::Replaced {
        return;
    }
    push_text(out, |out| {
        text(out, r#"{"jsonrpc":"2.0","method":"disconnect","params":{"reasonCode":"#);
        decimal(out, REASON_REPLACED);
        text(out, r#","reason":"#);
        string(out, closing.reason());
        text(out, "}}");
    });
}

/// `recv`'s params, which are also an element of `sync`'s messages (PROTOCOL 3.5).
fn message_object(out: &mut Vec<u8>, dialect: Dialect, viewer: &UserId, entry: &Entry) {
    let message = &*entry.message;
    let (channel_id, channel_type) = match &message.conversation {
        Conversation::Pair(..) => (message.peer_of(viewer).unwrap_or(&message.author).as_str(), 1),
        Conversation::Group(id) => (id.as_str(), 2),
    };
    let annotations = message.annotations.as_deref();
    text(out, r#"{"header":"#);
    header_object(out, annotations.map(|annotations| annotations.header).unwrap_or_default());
    text(out, r#","messageId":""#);
    decimal(out, message.id.0);
    text(out, r#"""#);
    member(out, "messageSeq", message.conversation_seq.0);
    member(out, "timestamp", message.server_time.0 / 1_000);
    text(out, r#","channelId":"#);
    string(out, channel_id);
    member(out, "channelType", channel_type);
    text(out, r#","fromUid":"#);
    string(out, message.author.as_str());
    text(out, r#","clientMsgNo":"#);
    string(out, message.client_message_id.as_str());
    if let Some(annotations) = annotations {
        annotation_members(out, annotations);
    }
    if dialect == Dialect::JsonRpc {
        member(out, "inboxSeq", entry.seq.0);
    }
    text(out, r#","payload":"#);
    push_payload(out, &message.content);
    text(out, "}");
}

fn header_object(out: &mut Vec<u8>, header: HeaderFlags) {
    text(
        out,
        match (header.red_dot, header.dup) {
            (false, false) => "{}",
            (true, false) => r#"{"redDot":true}"#,
            (false, true) => r#"{"dup":true}"#,
            (true, true) => r#"{"redDot":true,"dup":true}"#,
        },
    );
}

fn annotation_members(out: &mut Vec<u8>, annotations: &Annotations) {
    let SettingFlags { receipt, topic } = annotations.setting;
    text(
        out,
        match (receipt, topic) {
            (false, false) => "",
            (true, false) => r#","setting":{"receipt":true}"#,
            (false, true) => r#","setting":{"topic":true}"#,
            (true, true) => r#","setting":{"receipt":true,"topic":true}"#,
        },
    );
    if let Some(topic) = &annotations.topic {
        text(out, r#","topic":"#);
        string(out, topic);
    }
    if let Some(key) = &annotations.message_key {
        text(out, r#","msgKey":"#);
        string(out, key);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// A further member with a number.
fn member(out: &mut Vec<u8>, name: &str, value: u64) {
    text(out, ",\"");
    text(out, name);
    text(out, "\":");
    decimal(out, value);
}

fn signed(out: &mut Vec<u8>, value: i64) {
    text(out, if value < 0 { "-" } else { "" });
    decimal(out, value.unsigned_abs());
}

fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// A JSON string. Only what must be escaped is.
fn string(out: &mut Vec<u8>, value: &str) {
    const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEXADECIMAL[usize::from(byte >> 4)], HEXADECIMAL[usize::from(byte & 15)]]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
