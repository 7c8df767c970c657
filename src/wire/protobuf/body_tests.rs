//! What is written by hand against what prost writes of the same.

use super::*;
use crate::model::testing::{client_message_id, group, plain_message, user};
use crate::model::{ConversationSeq, Extra, Fact, Limits, Reply, Verb};
use crate::wire::common::incoming::Context;
use crate::wire::json::message_key::ServerKey;
use crate::wire::protobuf::encode::{AnsweredRequest, push_message, push_reply};
use crate::wire::protobuf::im::{self, CommandType};
use crate::wire::websocket::policy::HandshakePolicy;
use prost::Message as _;
use std::sync::Arc;

fn entries() -> Vec<Entry> {
    let plain = Message {
        id: MessageId(1_234_567_890_123),
        conversation_seq: ConversationSeq(4),
        client_message_id: client_message_id(&"c".repeat(128)),
        content: vec![7; 300].into(),
        send_time: 1_700_000_000_000,
        server_time: Millis(1_700_000_000_001),
        ..plain_message()
    };
    let extra = Extra::new(vec![("".into(), "".into()), ("k".into(), "".into()), ("key".into(), "值".into())]);
    let empty = Message { content: Bytes::new().into(), send_time: 0, extra, message_type: i32::MAX, ..plain.clone() };
    let odd = Message { send_time: -1, message_type: -1, id: MessageId(0), author: user("bob"), ..plain.clone() };
    let grouped = Message { conversation: Conversation::Group(group("team")), ..plain.clone() };
    let fact = Message { fact: Some(Arc::new(Fact::Revoked { message: MessageId(9) })), ..grouped.clone() };
    let oneself = Message { conversation: Conversation::pair(user("alice"), user("alice")), ..plain.clone() };
    let name = Some(ConversationName::new("my bob").expect("well formed"));
    let mut entries = Vec::new();
    for message in [plain, empty, odd, grouped, fact, oneself].map(Arc::new) {
        entries.push(Entry { seq: Seq(1), message: message.clone(), name: None });
        entries.push(Entry { seq: Seq(u64::MAX), message, name: name.clone() });
    }
    entries
}

fn context() -> Context {
    let (handshake, server_key) = (HandshakePolicy::default(), ServerKey::of([7; 32]));
    Context { limits: Limits::default(), handshake, server_version: "", server_key, node_id: 1, inbox_epoch: 1 }
}

fn put(body: &impl EnvelopeBody) -> Vec<u8> {
    let mut out = Vec::new();
    body.put(&mut out);
    assert_eq!(out.len(), body.bytes(), "as many as it says");
    out
}

#[test]
fn a_message_is_written_as_prost_writes_it() {
    let viewer = user("bob");
    for entry in entries() {
        assert_eq!(
            put(&MessageBody::of_entry(&viewer, &entry)),
            push_message(&viewer, &entry).encode_to_vec(),
            "{entry:?}"
        );
    }
}

#[test]
fn a_page_and_an_answer_are_written_as_prost_writes_them() {
    let (viewer, entries) = (user("bob"), entries());
    for (count, newest, has_more) in [(0, 0, false), (1, 5, true), (entries.len(), 1 << 40, true)] {
        let body = im::SyncResponse {
            messages: entries[..count].iter().map(|entry| push_message(&viewer, entry)).collect(),
            server_max_seq: newest,
            has_more,
            ..Default::default()
        };
        let page = SyncedBody::new(&viewer, &entries[..count], Seq(newest.cast_unsigned()), has_more);
        assert_eq!(put(&page), body.encode_to_vec());
    }
    for (id, seq, time) in [(0, 0, 0), (u64::MAX, 1, 1_700_000_000_000)] {
        let (message_id, server_time) = (id.to_string(), time);
        let body = im::SendMessageResponse { message_id, seq, server_time, ..Default::default() };
        let mut sent = Vec::new();
        put_sent(&mut sent, MessageId(id), Seq(seq.cast_unsigned()), Millis(time.cast_unsigned()));
        assert_eq!(sent, body.encode_to_vec());
    }
}

#[test]
fn the_answer_to_a_send_is_framed_as_prost_writes_its_envelope() {
    let viewer = user("alice");
    for (sequence, id, seq, now) in
        [(0, 0, 0, 0), (1, 7, 1, 1_700_000_000_000), (u32::MAX, u64::MAX, u64::MAX, u64::MAX)]
    {
        let (message_id, server_time) = (MessageId(id), Millis(now));
        let reply = Reply::Sent { message_id, seq: Seq(seq), conversation_seq: ConversationSeq(1), server_time };
        let mut frame = Vec::new();
        push_reply(
            &mut frame,
            Millis(now),
            AnsweredRequest { sequence, verb: Verb::Send, viewer: &viewer },
            &reply,
            &context(),
        );
        let (message_id, seq, server_time) = (id.to_string(), seq.cast_signed(), now.cast_signed());
        let body =
            im::SendMessageResponse { message_id, seq, server_time, ..Default::default() }.encode_to_vec().into();
        let command = CommandType::CmdSendMsgRsp.into();
        let envelope = im::WebSocketMessage { command, sequence, body, timestamp: now.cast_signed() }.encode_to_vec();
        assert_eq!(frame, [&[0x82, envelope.len() as u8], &envelope[..]].concat());
    }
}
