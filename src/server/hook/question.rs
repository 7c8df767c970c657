//! A question as the hook reads it: the message, with the names of the request that sends one over HTTP.

use crate::model::{Annotations, Recipient};
use crate::server::event::message::ShownContent;
use crate::shard::HookQuestion;
use serde::Serialize;
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

#[derive(Serialize)]
struct AskedMessage<'a> {
    from: &'a str,
    to: AskedRecipient<'a>,
    client_msg_id: &'a str,
    #[serde(rename = "type")]
    message_type: i32,
    #[serde(flatten)]
    content: ShownContent<'a>,
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
    let message = AskedMessage {
        from: question.author().as_str(),
        to,
        client_msg_id: send.client_message_id.as_str(),
        message_type: send.message_type,
        content: ShownContent::of(&send.content),
        extra: send.extra.iter().collect(),
        topic: annotations.and_then(|notes| notes.topic.as_deref()),
        stream: annotations.and_then(|notes| notes.chunk.as_ref()).map(|chunk| chunk.stream.as_str()),
    };
    let body = QuestionBody { event: "message.send", time: time_ms, kind: question.kind.name(), message };
    serde_json::to_vec(&body).expect("a question has text keys and finite numbers")
}
