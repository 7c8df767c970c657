//! A message in JSON: `recv`'s params, which are also what `sync`, `history` and `conversations` show (PROTOCOL 3.5).

use crate::model::{
    Annotations, ChunkPhase, ConversationRow, Entry, HeaderFlags, Message, PresenceState, Seq, StreamChunk,
};
use crate::wire::base::dialect::Dialect;
use crate::wire::json::message_key::{MessageKey, Proved};
use crate::wire::json::text::{array, flag_member, member, name, quoted_decimal, string, text, text_member};
use crate::wire::jsonrpc::audience::{Audience, channel, channel_members};
use crate::wire::jsonrpc::fact;
use crate::wire::jsonrpc::payload::push_payload;

/// The first version of a client that understands streams; the next one understands expiry (PROTOCOL 3.3).
const VERSION_OF_STREAMS: u8 = 2;
const VERSION_OF_EXPIRY: u8 = 3;

/// Appends one entry of an inbox or of a history: a message in the form of `recv`, or a fact with its `type`.
pub(in crate::wire) fn push_entry(out: &mut Vec<u8>, audience: &Audience<'_>, entry: &Entry) {
    match entry.message.fact.as_deref() {
        None => {
            push_message(out, audience, &entry.message, entry.seq);
        }
        Some(fact) => {
            let method = fact::method(fact);
            text(out, r#"{"type":"#);
            string(out, method);
            fact::push_fact(out, audience, entry, fact, ",");
        }
    }
}

/// Appends the params of `recv`. Returns how many bytes of them follow the inbox seq, or the place where it would be.
pub(in crate::wire) fn push_message(out: &mut Vec<u8>, audience: &Audience<'_>, message: &Message, seq: Seq) -> usize {
    let header = message.header();
    text(out, r#"{"header":"#);
    header_object(out, header);
    name(out, "messageId");
    quoted_decimal(out, message.id.0);
    member(out, "messageSeq", if header.no_persist { 0 } else { message.conversation_seq.0 });
    member(out, "timestamp", message.server_time.0 / 1_000);
    name(out, "channelId");
    channel_members(out, &message.conversation, audience.viewer);
    text_member(out, "fromUid", message.author.as_str());
    text_member(out, "clientMsgNo", message.client_message_id.as_str());
    if let Some(annotations) = message.annotations.as_deref() {
        annotation_members(out, audience, annotations);
    }
    if audience.dialect == Dialect::JsonRpc {
        extra_member(out, message);
        member(out, "inboxSeq", seq.0);
    }
    let behind_seq = out.len();
    name(out, "payload");
    let start = out.len();
    push_payload(out, &message.content);
    if let Some(key) = audience.key {
        proof_member(out, audience, message, key, start);
    }
    text(out, "}");
    out.len() - behind_seq
}

fn header_object(out: &mut Vec<u8>, header: HeaderFlags) {
    let HeaderFlags { no_persist, red_dot, sync_once, dup } = header;
    let flags = [(no_persist, "noPersist"), (red_dot, "redDot"), (sync_once, "syncOnce"), (dup, "dup")];
    flags_object(out, &flags);
}

/// An object of those flags that are set.
fn flags_object(out: &mut Vec<u8>, flags: &[(bool, &str)]) {
    let set = flags.iter().filter(|(is_set, _)| *is_set);
    text(out, "{");
    for (index, (_, flag)) in set.enumerate() {
        text(out, if index > 0 { ",\"" } else { "\"" });
        text(out, flag);
        text(out, "\":true");
    }
    text(out, "}");
}

fn annotation_members(out: &mut Vec<u8>, audience: &Audience<'_>, annotations: &Annotations) {
    let Annotations { header: _, setting, topic, message_key, expire_s, chunk, is_replaced: _ } = annotations;
    if setting.receipt || setting.topic || chunk.is_some() {
        name(out, "setting");
        let flags = [(setting.receipt, "receipt"), (chunk.is_some(), "stream"), (setting.topic, "topic")];
        flags_object(out, &flags);
    }
    if let Some(topic) = topic {
        text_member(out, "topic", topic);
    }
    if let (Some(carried), None) = (message_key, audience.key) {
        text_member(out, "msgKey", carried);
    }
    if *expire_s > 0 && audience.version >= VERSION_OF_EXPIRY {
        member(out, "expire", (*expire_s).into());
    }
    if let Some(chunk) = chunk
        && audience.version >= VERSION_OF_STREAMS
    {
        chunk_members(out, chunk);
    }
}

fn chunk_members(out: &mut Vec<u8>, chunk: &StreamChunk) {
    text_member(out, "streamNo", &chunk.stream);
    name(out, "streamId");
    quoted_decimal(out, chunk.number);
    let flag = match chunk.phase {
        ChunkPhase::First => 0,
        ChunkPhase::Next => 1,
        ChunkPhase::Last => 2,
    };
    member(out, "streamFlag", flag);
}

fn extra_member(out: &mut Vec<u8>, message: &Message) {
    if message.extra.is_empty() {
        return;
    }
    name(out, "extra");
    text(out, "{");
    for (index, (key, value)) in message.extra.iter().enumerate() {
        text(out, if index > 0 { "," } else { "" });
        string(out, key);
        text(out, ":");
        string(out, value);
    }
    text(out, "}");
}

/// Appends the message key (PROTOCOL 3.13) over the payload that begins at `start` in `out`.
fn proof_member(out: &mut Vec<u8>, audience: &Audience<'_>, message: &Message, key: &MessageKey, start: usize) {
    let (channel_id, channel_type) = channel(&message.conversation, audience.viewer);
    let written = &out[start..];
    let payload = written.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(written);
    let client_message_id = message.client_message_id.as_str();
    let digits = key.digits(&Proved { client_message_id, channel_id, channel_type, payload });
    text_member(out, "msgKey", str::from_utf8(&digits).unwrap_or_default());
}

/// Appends one row of `conversations`.
pub(in crate::wire) fn push_row(out: &mut Vec<u8>, audience: &Audience<'_>, row: &ConversationRow) {
    text(out, r#"{"channelId":"#);
    channel_members(out, &row.conversation, audience.viewer);
    member(out, "lastSeq", row.last_seq.0);
    member(out, "unread", row.unread);
    member(out, "readThrough", row.read_through.0);
    member(out, "newestSeq", row.newest_seq.0);
    if let Some(last) = &row.last {
        name(out, "last");
        push_entry(out, audience, last);
    }
    text(out, "}");
}

/// Appends one user's state.
pub(in crate::wire) fn push_presence(out: &mut Vec<u8>, state: &PresenceState) {
    text(out, r#"{"userId":"#);
    string(out, state.user.as_str());
    flag_member(out, "online", state.is_online);
    member(out, "lastSeen", state.last_seen.0);
    text(out, "}");
}

/// Appends entries, as an array.
pub(in crate::wire) fn push_entries(out: &mut Vec<u8>, audience: &Audience<'_>, entries: &[Entry]) {
    array(out, entries, |out, entry| push_entry(out, audience, entry));
}
