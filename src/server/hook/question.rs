//! A question as the hook reads it: the message, with the names of the request that sends one over HTTP.

use crate::model::{Annotations, Recipient, Send};
use crate::shard::HookQuestion;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct QuestionBody<'a> {
    #[serde(rename = "type")]
    event: &'static str,
    /// Milliseconds since 1970.
    time: u64,
    kind: &'static str,
    message: AskedMessage<'a>,
}

/// Content that is a JSON object is `payload`, and all other content is `content`, in base64.
#[derive(Serialize)]
struct AskedMessage<'a> {
    from: &'a str,
    to: AskedRecipient<'a>,
    client_msg_id: &'a str,
    #[serde(rename = "type")]
    message_type: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum AskedRecipient<'a> {
    User(&'a str),
    Group(&'a str),
}

/// The body of the request about the question.
pub fn body(question: &HookQuestion, time_ms: u64) -> Vec<u8> {
    let send = &question.send;
    let to = match &send.recipient {
        Recipient::User(user) => AskedRecipient::User(user.as_str()),
        Recipient::Group(group) => AskedRecipient::Group(group.as_str()),
    };
    let annotations: Option<&Annotations> = send.annotations.as_deref();
    let payload = payload_of(send);
    let message = AskedMessage {
        from: question.author().as_str(),
        to,
        client_msg_id: send.client_message_id.as_str(),
        message_type: send.message_type,
        content: payload.is_none().then(|| BASE64.encode(&send.content[..])),
        payload,
        extra: send.extra.iter().collect(),
        topic: annotations.and_then(|notes| notes.topic.as_deref()),
        stream: annotations.and_then(|notes| notes.chunk.as_ref()).map(|chunk| chunk.stream.as_str()),
    };
    let body = QuestionBody { event: "message.send", time: time_ms, kind: question.kind.name(), message };
    serde_json::to_vec(&body).expect("a question has text keys and finite numbers")
}

fn payload_of(send: &Send) -> Option<&RawValue> {
    let bytes = send.content.bytes();
    let is_bare = bytes.first() == Some(&b'{') && bytes.last() == Some(&b'}');
    if is_bare { serde_json::from_slice(bytes).ok() } else { None }
}
