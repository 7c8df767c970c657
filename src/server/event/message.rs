//! A message, with the names of the request that sends one.

use crate::model::{Conversation, Message};
use crate::server::event::schema::{IdSchema, MessageIdSchema, MillisSchema, SeqSchema, TrueSchema};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A message as applications read it, with the names of the request that sends one: payload or content. A message that was
/// taken back shows no content.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Message")]
pub struct ShownMessage<'a> {
    #[schemars(with = "MessageIdSchema")]
    message_id: String,
    #[schemars(with = "SeqSchema")]
    conversation_seq: u64,
    #[schemars(with = "IdSchema")]
    from: &'a str,
    client_msg_id: &'a str,
    #[serde(rename = "type")]
    message_type: i32,
    #[schemars(with = "MillisSchema")]
    server_time: u64,
    #[serde(flatten)]
    said: Said<'a>,
}

#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
enum Said<'a> {
    /// It was taken back and has no content.
    Revoked {
        #[schemars(with = "TrueSchema")]
        revoked: True,
    },
    Written(Written<'a>),
}

/// Always `true`: the mark is there or is not.
struct True;

impl Serialize for True {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

#[derive(JsonSchema, Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    body: ShownContent<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: BTreeMap<&'a str, &'a str>,
    /// Seconds after which it is shown no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    expire: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrueSchema")]
    sync_once: Option<True>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ShownStream<'static>")]
    stream: Option<ShownStream<'a>>,
}

/// Content that is a JSON object is a payload, with its digits as they were sent; all other content is base64.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ShownContent<'a> {
    /// Content that is a JSON object, with its digits and its order as they were sent; line breaks in it are spaces.
    Payload(#[schemars(with = "Map<String, Value>")] Cow<'a, RawValue>),
    /// Any other content, in base64.
    Content(#[schemars(extend("contentEncoding" = "base64"))] String),
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Stream")]
struct ShownStream<'a> {
    name: &'a str,
    number: u64,
}

/// A conversation that nobody in particular looks at.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Conversation")]
pub enum ShownConversation<'a> {
    Users(#[schemars(with = "[IdSchema; 2]")] [&'a str; 2]),
    Group(#[schemars(with = "IdSchema")] &'a str),
}

impl<'a> ShownConversation<'a> {
    pub fn of(conversation: &'a Conversation) -> Self {
        match conversation {
            Conversation::Pair(one, other) => Self::Users([one.as_str(), other.as_str()]),
            Conversation::Group(group) => Self::Group(group.as_str()),
        }
    }
}

impl<'a> ShownMessage<'a> {
    pub fn of(message: &'a Message) -> Self {
        let is_revoked = message.extra.iter().any(|(key, _)| key == Message::REVOKED_KEY);
        Self {
            message_id: message.id.to_string(),
            conversation_seq: message.conversation_seq.0,
            from: message.author.as_str(),
            client_msg_id: message.client_message_id.as_str(),
            message_type: message.message_type,
            server_time: message.server_time.0,
            said: match is_revoked {
                true => Said::Revoked { revoked: True },
                false => Said::Written(Written::of(message)),
            },
        }
    }
}

impl<'a> Written<'a> {
    fn of(message: &'a Message) -> Self {
        let annotations = message.annotations.as_deref();
        let chunk = annotations.and_then(|annotations| annotations.chunk.as_ref());
        Self {
            body: ShownContent::of(&message.content).on_one_line(),
            extra: message.extra.iter().collect(),
            expire: annotations.map(|annotations| annotations.expire_s).filter(|expire_s| *expire_s > 0),
            sync_once: annotations.filter(|annotations| annotations.header.sync_once).map(|_| True),
            topic: annotations.and_then(|annotations| annotations.topic.as_deref()),
            stream: chunk.map(|chunk| ShownStream { name: chunk.stream.as_str(), number: chunk.number }),
        }
    }
}

impl<'a> ShownContent<'a> {
    pub fn of(content: &'a [u8]) -> Self {
        let is_bare = content.first() == Some(&b'{') && content.last() == Some(&b'}');
        let payload = if is_bare { serde_json::from_slice::<&RawValue>(content).ok() } else { None };
        payload.map_or_else(|| Self::Content(BASE64.encode(content)), |raw| Self::Payload(Cow::Borrowed(raw)))
    }

    /// A line break would end an event. Outside a text it is a space, and inside one JSON has none.
    fn on_one_line(self) -> Self {
        match self {
            Self::Payload(raw) if raw.get().contains(['\n', '\r']) => {
                let line = RawValue::from_string(raw.get().replace(['\n', '\r'], " "));
                Self::Payload(Cow::Owned(line.expect("white space is replaced by white space")))
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(content: &str) -> String {
        serde_json::to_string(&ShownContent::of(content.as_bytes()).on_one_line()).expect("it is JSON")
    }

    #[test]
    fn a_payload_keeps_its_digits_and_its_order_and_stands_on_one_line() {
        let exact = r#"{"z":12345678901234567890123,"a":1.10,"a":"\n"}"#;
        assert_eq!(shown(exact), format!(r#"{{"payload":{exact}}}"#));
        assert_eq!(shown("{\r\n \"a\": 1\n}"), "{\"payload\":{   \"a\": 1 }}");
    }

    #[test]
    fn what_is_no_object_is_base64() {
        for content in ["", "7", "[]", "{", "{}x{}", " {}", "{\"a\":\"\n\"}"] {
            assert_eq!(shown(content), format!(r#"{{"content":"{}"}}"#, BASE64.encode(content)), "{content:?}");
        }
    }
}
