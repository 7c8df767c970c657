//! Vocabulary to seed 1's binary messages, whole WebSocket frames in one pass.
//!
//! Invariant: the bytes are what any protobuf encoder would write, fields in order and defaults left out.

use super::frame::{Kind, push_header};
use super::protobuf::im::{self, CommandType, ErrorCode};
use crate::model::{Closing, Entry, Event, Millis, Recipient, Refused, Reply, Seq, UserId};
use prost::Message;

/// The envelope's field keys: number << 3 | wire type.
const COMMAND_KEY: u8 = 0x08;
const SEQUENCE_KEY: u8 = 0x10;
const BODY_KEY: u8 = 0x1a;
const TIMESTAMP_KEY: u8 = 0x20;

/// Appends a frame with `body` in its envelope.
pub(super) fn push_envelope(out: &mut Vec<u8>, now: Millis, command: CommandType, sequence: u32, body: &impl Message) {
    let command = u64::from((command as i32).cast_unsigned());
    let body_bytes = body.encoded_len();
    let body_field_bytes = if body_bytes == 0 { 0 } else { 1 + varint_bytes(body_bytes as u64) + body_bytes };
    let length = [command, sequence.into(), now.0].map(varint_field_bytes).iter().sum::<usize>() + body_field_bytes;
    out.reserve(length + 10);
    push_header(out, Kind::Binary, length);
    push_varint_field(out, COMMAND_KEY, command);
    push_varint_field(out, SEQUENCE_KEY, sequence.into());
    if body_bytes > 0 {
        out.push(BODY_KEY);
        body.encode_length_delimited(out).expect("a Vec has room");
    }
    push_varint_field(out, TIMESTAMP_KEY, now.0);
}

fn varint_bytes(value: u64) -> usize {
    prost::length_delimiter_len(value as usize)
}

/// A field with its default value is left out.
fn varint_field_bytes(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_bytes(value) }
}

fn push_varint_field(out: &mut Vec<u8>, key: u8, value: u64) {
    if value != 0 {
        out.push(key);
        prost::encode_length_delimiter(value as usize, out).expect("a Vec has room");
    }
}

/// Appends a response that says no; every response begins with these two fields.
pub(super) fn push_refusal(out: &mut Vec<u8>, now: Millis, response: CommandType, sequence: u32, refused: Refused) {
    let body = im::UnknownResponse { error_code: refused.refusal.error_code(), error_msg: refused.detail.to_owned() };
    push_envelope(out, now, response, sequence, &body);
}

/// Appends the reply to the request `sequence`; a refusal as `refusal_response`.
pub(super) fn push_reply(
    out: &mut Vec<u8>,
    now: Millis,
    sequence: u32,
    viewer: &UserId,
    reply: &Reply,
    refusal_response: CommandType,
) {
    let error_code = ErrorCode::ErrSuccess.into();
    let _ = viewer;
    match reply {
        Reply::Welcome { max_seq } => {
            let body = im::AuthResponse { error_code, error_msg: String::new(), max_seq: signed(*max_seq) };
            push_envelope(out, now, CommandType::CmdAuthRsp, sequence, &body);
        }
        Reply::Sent { message_id, seq, server_time, conversation_seq: _ } => {
            let body = im::SendMessageResponse {
                error_code,
                error_msg: String::new(),
                message_id: message_id.to_string(),
                seq: signed(*seq),
                server_time: server_time.0.cast_signed(),
            };
            push_envelope(out, now, CommandType::CmdSendMsgRsp, sequence, &body);
        }
        Reply::Synced { entries, server_max_seq, has_more } => {
            let body = im::SyncResponse {
                error_code,
                error_msg: String::new(),
                messages: entries.iter().map(|entry| push_message(entry)).collect(),
                server_max_seq: signed(*server_max_seq),
                has_more: *has_more,
            };
            push_envelope(out, now, CommandType::CmdSyncRsp, sequence, &body);
        }
        Reply::Refused(refused) => push_refusal(out, now, refusal_response, sequence, *refused),
        _ => {}
    }
}

/// Appends the push of `event` to `viewer`.
pub(super) fn push_event(out: &mut Vec<u8>, now: Millis, viewer: &UserId, event: &Event) {
    let _ = viewer;
    match event {
        Event::Transient(..) | Event::Typing(_) | Event::Presence(_) => {}
        Event::Entry(entry) => {
            push_envelope(out, now, CommandType::CmdPushMsg, 0, &push_message(entry));
        }
    }
}

/// Appends the push that tells an authenticated session why it ends, where seed 1 has one (PROTOCOL 2.1).
pub(super) fn push_farewell(out: &mut Vec<u8>, now: Millis, closing: Closing) {
    let reason = match closing {
        Closing::Replaced => 1,
        Closing::TokenExpired => 3,
        Closing::Stopping => 4,
        Closing::TooSlow => 5,
        _ => return,
    };
    let body = im::KickOutNotification { reason, message: closing.reason().to_owned() };
    push_envelope(out, now, CommandType::CmdKickOut, 0, &body);
}

fn push_message(entry: &Entry) -> im::PushMessage {
    let message = &*entry.message;
    let (receiver_id, group_id) = match message.recipient() {
        Recipient::User(user) => (user.to_string(), String::new()),
        Recipient::Group(group) => (String::new(), group.to_string()),
    };
    im::PushMessage {
        message_id: message.id.to_string(),
        client_msg_id: message.client_message_id.as_str().to_owned(),
        conversation_id: entry.conversation_name().into(),
        sender_id: message.author.as_str().to_owned(),
        receiver_id,
        group_id,
        message_type: message.message_type,
        content: message.content.clone(),
        send_time: message.send_time,
        server_time: message.server_time.0.cast_signed(),
        seq: signed(entry.seq),
        extra: message.extra.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
    }
}

fn signed(seq: Seq) -> i64 {
    seq.0.cast_signed()
}
