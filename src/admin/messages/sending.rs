//! Messages over HTTP: sent in a user's name, one or many, and taken back by the operator. Every bound that a client of the two
//! protocols has holds here, too.

use crate::admin::api::Api;
use crate::admin::base::answer::{Answered, ChangeDone, done};
use crate::admin::base::contract::{Answering, RouteContract};
use crate::admin::base::error::{ApiError, ErrorBody, json};
use crate::admin::base::intake::{self, Asked, InPath, NoBody, Posted};
use crate::model::{
    Annotations, Answer, Authority, ClientMessageId, Extra, Fact, HeaderFlags, Limits, MessageContent, MessageId,
    Order, Recipient, Refusal, Refused, Send, SentMessage, UserId, has_control_character,
};
use crate::server::event::schema::{IdSchema, MessageIdSchema, MillisSchema, SeqSchema, WITHOUT_CONTROLS, given};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use compact_str::CompactString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json as value};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// The most messages of one batch.
const BATCH_MAX: usize = 1_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageBatch {
    /// What is no NewMessage is answered by itself, and holds up no other.
    #[schemars(schema_with = "batch_schema")]
    messages: Vec<Box<RawValue>>,
}

fn batch_schema(generator: &mut SchemaGenerator) -> Schema {
    let message = generator.subschema_for::<NewMessage>();
    json_schema!({"type": "array", "minItems": 1, "maxItems": BATCH_MAX, "items": {"anyOf": [message, {}]}})
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeQuery {
    /// A reader, or the author if it is in the conversation: the message is looked for in this user's conversations.
    #[schemars(with = "IdSchema")]
    user: String,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "SentMessage")]
struct ShownSent {
    #[schemars(with = "MessageIdSchema")]
    message_id: String,
    /// 0 for what is not stored.
    #[schemars(with = "SeqSchema")]
    conversation_seq: u64,
    #[schemars(with = "MillisSchema")]
    server_time: u64,
    /// The message was sent before; nothing was sent now.
    duplicate: bool,
}

/// What POST /v1/messages would have answered: the members of SentMessage, or `error`.
#[derive(JsonSchema, Serialize)]
struct BatchAnswer {
    status: u16,
    #[serde(flatten)]
    sent: Option<ShownSent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ErrorBody")]
    error: Option<ErrorBody>,
}

#[derive(JsonSchema, Serialize)]
pub struct BatchAnswers {
    answers: Vec<BatchAnswer>,
}

/// The response to a message: 201, or 200 for one that was sent before.
pub struct SendDone(SentMessage);

impl IntoResponse for SendDone {
    fn into_response(self) -> Response {
        json(status_of(&self.0), &shown(&self.0))
    }
}

impl Answering for SendDone {
    fn describe(contract: &mut RouteContract<'_>) {
        for status in [StatusCode::OK, StatusCode::CREATED] {
            contract.answers::<ShownSent>(status.as_u16(), "application/json");
        }
    }
}

pub async fn send(State(api): State<Arc<Api>>, Posted(message): Posted<NewMessage>) -> Result<SendDone, ApiError> {
    send_one(&api, message.outgoing(&api.options.limits)?).await.map(SendDone)
}

async fn send_one(
    api: &Api,
    OutgoingMessage { author, send, authority }: OutgoingMessage,
) -> Result<SentMessage, ApiError> {
    let answer = api.orders.ask(Order::Send { author, send, authority }).await;
    sent_of(api, authority, answer)
}

/// Counts the shard's answer to a send, and returns its result.
fn sent_of(api: &Api, authority: Authority, answer: Result<Answer, ApiError>) -> Result<SentMessage, ApiError> {
    let sent = match answer {
        Ok(Answer::Sent(sent)) => Ok(sent),
        Ok(_) => Err(ApiError::Internal),
        Err(error) => Err(error),
    };
    let outcome = match &sent {
        Ok(sent) if sent.is_repeated => "duplicate",
        Ok(_) => "accepted",
        Err(_) => "refused",
    };
    let mut counts = api.messages.lock().unwrap_or_else(PoisonError::into_inner);
    *counts.entry((name_of(authority), outcome)).or_default() += 1;
    sent
}

/// The name of the authority in metrics and requests.
pub fn name_of(authority: Authority) -> &'static str {
    match authority {
        Authority::User => "author",
        Authority::System => "system",
    }
}

fn status_of(sent: &SentMessage) -> StatusCode {
    if sent.is_repeated { StatusCode::OK } else { StatusCode::CREATED }
}

fn shown(sent: &SentMessage) -> ShownSent {
    ShownSent {
        message_id: sent.id.to_string(),
        conversation_seq: sent.conversation_seq.0,
        server_time: sent.server_time.0,
        duplicate: sent.is_repeated,
    }
}

/// Passes the orders to the authors' shards one after another, so that each author's messages keep their order, and
/// awaits the answers together. All batches together may use only a part of the pending orders, so that other orders
/// find room.
pub async fn send_batch(
    State(api): State<Arc<Api>>,
    Posted(MessageBatch { messages }): Posted<MessageBatch>,
) -> Result<Answered<BatchAnswers>, ApiError> {
    if !(1..=BATCH_MAX).contains(&messages.len()) {
        return Err(ApiError::invalid(format!("messages has not 1 to {BATCH_MAX} elements")));
    }
    let mut waiting = Vec::with_capacity(messages.len());
    for message in &messages {
        let outgoing = intake::part::<NewMessage>(message).and_then(|new| new.outgoing(&api.options.limits));
        waiting.push(match outgoing {
            Ok(outgoing) => Ok(begin(&api, outgoing).await),
            Err(error) => Err(error),
        });
    }
    let mut answers = Vec::with_capacity(waiting.len());
    for waiting in waiting {
        let sent = match waiting {
            Ok(task) => task.await.unwrap_or(Err(ApiError::Internal)),
            Err(error) => Err(error),
        };
        answers.push(batch_answer(sent));
    }
    Ok(Answered::of(&BatchAnswers { answers }))
}

/// Waits for a place, then passes the order on; the returned task waits for the answer.
async fn begin(api: &Arc<Api>, outgoing: OutgoingMessage) -> tokio::task::JoinHandle<Result<SentMessage, ApiError>> {
    let place = api.orders.place_in_batch().await;
    let OutgoingMessage { author, send, authority } = outgoing;
    let given = api.orders.give(Order::Send { author, send, authority });
    let api = api.clone();
    tokio::spawn(async move {
        let answer = match given {
            Ok(under_way) => api.orders.wait(under_way).await,
            Err(error) => Err(error),
        };
        drop(place);
        sent_of(&api, authority, answer)
    })
}

fn batch_answer(sent: Result<SentMessage, ApiError>) -> BatchAnswer {
    match sent {
        Ok(sent) => BatchAnswer { status: status_of(&sent).as_u16(), sent: Some(shown(&sent)), error: None },
        Err(error) => BatchAnswer { status: error.status().as_u16(), sent: None, error: Some(ErrorBody::of(&error)) },
    }
}

pub async fn revoke(
    State(api): State<Arc<Api>>,
    InPath(message): InPath<MessageId>,
    Asked(RevokeQuery { user }): Asked<RevokeQuery>,
    _: NoBody,
) -> Result<ChangeDone, ApiError> {
    let user = intake::user("user", &user)?;
    done(&api.orders.ask(Order::Revoke { user, message }).await?)
}

const BASE64_PATTERN: &str = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw](==)?|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=?)?$";

/// RFC 4648 4, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    extend("oneOf" = given(&["payload", "content"])),
    extend("example" = value!({
        "from": "alice",
        "to": {"user": "bob"},
        "client_msg_id": "order-4711-paid",
        "payload": {"type": 1, "content": "Thank you."},
    }))
)]
pub struct NewMessage {
    /// The author. Its sessions are told as of what another device of its sent.
    #[schemars(with = "IdSchema")]
    from: String,
    #[serde(deserialize_with = "intake::object")]
    to: NewRecipient,
    /// 1 to 128 bytes without control characters; not beginning with `stream-end-`. The author's own id of the message:
    /// the same one again within the dedupe window (24 h) is the same message and gets the same answer, whoever sent it
    /// first; with other content it is refused.
    #[schemars(length(min = 1, max = 128), extend("pattern" = format!("^(?!stream-end-){}", &WITHOUT_CONTROLS[1..])))]
    client_msg_id: String,
    /// Not 1001 to 1099. When absent: the payload's `type` if that is such an integer, else 1.
    #[serde(rename = "type", default, deserialize_with = "intake::whole_or_none")]
    #[schemars(
        with = "Option<i32>",
        range(min = 1),
        extend("not" = {"type": "integer", "minimum": *Fact::MESSAGE_TYPES.start(), "maximum": *Fact::MESSAGE_TYPES.end()})
    )]
    message_type: Option<i32>,
    /// The content, byte for byte as it stands here.
    #[schemars(with = "Option<Map<String, Value>>")]
    payload: Option<Box<RawValue>>,
    /// The content in base64 (RFC 4648 4). At most 64 KiB when decoded (limits.content_bytes_max).
    #[schemars(
        extend("contentEncoding" = "base64", "pattern" = BASE64_PATTERN)
    )]
    content: Option<String>,
    /// Delivered unchanged; 8 KiB at most, and not the key `revoked`.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": format!("^(?!revoked$){}", &WITHOUT_CONTROLS[1..])}))]
    extra: BTreeMap<String, String>,
    /// Seconds after which it is shown no more; 0: never.
    #[serde(default, deserialize_with = "intake::whole")]
    #[schemars(range(max = u32::MAX))]
    expire: u32,
    /// Told to whoever is online and never stored. Repetitions are not recognised.
    #[serde(default)]
    no_persist: bool,
    /// The first device of a user that acknowledges it consumes it for all.
    #[serde(default)]
    sync_once: bool,
    /// Whose permissions count. Both are counted apart (mushan_admin_messages_total). Neither is charged to the author's
    /// rate.
    #[serde(rename = "as", default)]
    authority: As,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = given(&["user", "group"])))]
struct NewRecipient {
    #[schemars(with = "Option<IdSchema>")]
    user: Option<String>,
    #[schemars(with = "Option<IdSchema>")]
    group: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "As")]
enum As {
    /// As in a session of the author's: a blocked or muted author, one who is no member of the group, and a disabled account
    /// are refused.
    #[default]
    Author,
    /// None of these is refused; the group must be there, and in a closed directory the recipient. An author who is no member
    /// has its own message in its inbox, and sees nothing else of the group.
    System,
}

/// What an order sends.
struct OutgoingMessage {
    author: UserId,
    send: Box<Send>,
    authority: Authority,
}

impl NewMessage {
    fn outgoing(self, limits: &Limits) -> Result<OutgoingMessage, ApiError> {
        let author = intake::user("from", &self.from)?;
        let recipient = self.to.recipient()?;
        let client_message_id = ClientMessageId::new(&self.client_msg_id)
            .map_err(|error| ApiError::invalid(format!("client_msg_id {error}")))?;
        let (content, payload_type) = content_of(self.payload.as_deref(), self.content.as_deref())?;
        if content.len() > limits.content_bytes_max {
            return Err(ApiError::Refused(Refusal::MessageTooLarge.into()));
        }
        let message_type = match self.message_type {
            None => payload_type,
            Some(given) if given >= 1 && !Fact::MESSAGE_TYPES.contains(&given) => given,
            Some(_) => return Err(ApiError::invalid("type is below 1, or one of the server's own (1001 to 1099)")),
        };
        let annotations = Annotations {
            header: HeaderFlags { no_persist: self.no_persist, sync_once: self.sync_once, ..HeaderFlags::default() },
            expire_s: self.expire,
            ..Annotations::default()
        };
        let send = Send {
            client_message_id,
            recipient,
            conversation_name: None,
            message_type,
            content,
            send_time: 0,
            extra: extra_of(self.extra, limits)?,
            annotations: (annotations != Annotations::default()).then(|| Box::new(annotations)),
        };
        let authority = match self.authority {
            As::Author => Authority::User,
            As::System => Authority::System,
        };
        Ok(OutgoingMessage { author, send: Box::new(send), authority })
    }
}

impl NewRecipient {
    fn recipient(&self) -> Result<Recipient, ApiError> {
        match (&self.user, &self.group) {
            (Some(user), None) => intake::user("to.user", user).map(Recipient::User),
            (None, Some(group)) => intake::group(group).map(Recipient::Group),
            _ => Err(ApiError::invalid("to names neither or both of user and group")),
        }
    }
}

/// An object, byte for byte as it was sent, or any bytes in base64; and the type that the object says.
fn content_of(payload: Option<&RawValue>, content: Option<&str>) -> Result<(MessageContent, i32), ApiError> {
    match (payload, content) {
        (Some(payload), None) if payload.get().starts_with('{') => {
            let text = payload.get();
            Ok((text.as_bytes().to_vec().into(), type_in(text)))
        }
        (Some(_), None) => Err(ApiError::invalid("payload is no object: other content goes into content, in base64")),
        (None, Some(content)) => {
            let bytes = BASE64.decode(content).map_err(|_| ApiError::invalid("content is not base64"))?;
            Ok((bytes.into(), DEFAULT_TYPE))
        }
        _ => Err(ApiError::invalid("neither or both of payload and content are given")),
    }
}

const DEFAULT_TYPE: i32 = 1;

/// As the JSON-RPC protocol reads it: `type`, when it is an integer of at least 1; else 1.
fn type_in(object: &str) -> i32 {
    let object: Option<Map<String, Value>> = serde_json::from_str(object).ok();
    let number = object.and_then(|object| object.get("type")?.as_i64()).and_then(|number| i32::try_from(number).ok());
    number.filter(|number| *number >= 1).unwrap_or(DEFAULT_TYPE)
}

fn extra_of(pairs: BTreeMap<String, String>, limits: &Limits) -> Result<Extra, ApiError> {
    let pairs = pairs.into_iter().map(|(key, value)| (CompactString::from(key), CompactString::from(value)));
    let extra = Extra::new(pairs.collect());
    if extra.bytes() > limits.extra_bytes_max {
        return Err(ApiError::Refused(Refused::because(Refusal::MessageTooLarge, "extra is too large")));
    }
    if extra.iter().any(|(key, _)| has_control_character(key)) {
        return Err(ApiError::invalid("a key of extra holds a control character"));
    }
    Ok(extra)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(text: &str) -> Result<OutgoingMessage, String> {
        let new: NewMessage = serde_json::from_str(text).map_err(|error| error.to_string())?;
        new.outgoing(&Limits::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_object_is_the_content_byte_for_byte_and_says_the_type() {
        let text = r#"{"from":"a","to":{"user":"b"},"client_msg_id":"1","payload":{ "type":3, "a":"\u00e4" }}"#;
        let sent = outgoing(text).expect("well formed").send;
        assert_eq!(sent.content, br#"{ "type":3, "a":"\u00e4" }"#[..]);
        assert_eq!((sent.message_type, sent.annotations.is_none(), sent.send_time), (3, true, 0));
        for (kind, expected) in [("0", 1), ("\"3\"", 1), ("1.5", 1), ("4294967296", 1), ("7", 7)] {
            let text = format!(r#"{{"from":"a","to":{{"user":"b"}},"client_msg_id":"1","payload":{{"type":{kind}}}}}"#);
            assert_eq!(outgoing(&text).expect("well formed").send.message_type, expected, "{kind}");
        }
    }

    #[test]
    fn base64_is_any_content_and_a_given_type_counts() {
        for content in ["AAH/", "aGk=", "aGk"] {
            let text = format!(
                r#"{{"from":"a","to":{{"group":"g"}},"client_msg_id":"1","content":"{content}","type":5,"as":"system"}}"#
            );
            let OutgoingMessage { send, authority, .. } = outgoing(&text).expect("well formed");
            assert_eq!((send.message_type, authority), (5, Authority::System));
            let expected: &[u8] = if content == "AAH/" { &[0, 1, 255] } else { b"hi" };
            assert_eq!(send.content, *expected);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let most = "x".repeat(129);
        for (rest, said) in [
            (r#""content":"@@""#.to_owned(), "content is not base64"),
            (r#""content":"aGk=","payload":{}"#.to_owned(), "neither or both of payload and content"),
            (r#""type":1"#.to_owned(), "neither or both of payload and content"),
            (r#""payload":"text""#.to_owned(), "payload is no object"),
            (r#""payload":{},"type":0"#.to_owned(), "type is below 1"),
            (r#""payload":{},"type":1001"#.to_owned(), "the server's own"),
            (r#""payload":{},"as":"root""#.to_owned(), "unknown variant"),
            (r#""payload":{},"color":"red""#.to_owned(), "unknown field"),
            (r#""payload":{},"expire":-1"#.to_owned(), "-1"),
            (r#""payload":{},"extra":{"a\n":"1"}"#.to_owned(), "a key of extra"),
            (format!(r#""payload":{{}},"extra":{{"a":"{}"}}"#, "x".repeat(9_000)), "extra is too large"),
            (format!(r#""content":"{}""#, "A".repeat(90_000)), "too large"),
        ] {
            let text = format!(r#"{{"from":"a","to":{{"user":"b"}},"client_msg_id":"1",{rest}}}"#);
            let refused = outgoing(&text).err().unwrap_or_default();
            assert!(refused.contains(said), "{rest}: {refused}");
        }
        for (text, said) in [
            (r#"{"from":"","to":{"user":"b"},"client_msg_id":"1","payload":{}}"#.to_owned(), "from is empty"),
            (r#"{"from":"a","to":{},"client_msg_id":"1","payload":{}}"#.to_owned(), "to names neither"),
            (r#"{"from":"a","to":{"user":"b","group":"g"},"client_msg_id":"1","payload":{}}"#.to_owned(), "both"),
            (format!(r#"{{"from":"a","to":{{"user":"b"}},"client_msg_id":"{most}","payload":{{}}}}"#), "client_msg_id"),
        ] {
            let refused = outgoing(&text).err().unwrap_or_default();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }
}
