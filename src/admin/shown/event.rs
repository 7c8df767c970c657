//! Events of the stream: what a record of a log says to an application.
//!
//! Invariant: an event follows from one committed record alone, so whoever reads that record again gets the same event.

use crate::log::Record;
use crate::model::{Conversation, Fact, GroupChange, Message, Millis, ReadMessage, UserId};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The kinds of events, as their names stand in the stream and in `types`.
pub const EVENT_TYPES: [&str; 11] = [
    "message.created",
    "message.revoked",
    "receipt",
    "group.created",
    "group.members_added",
    "group.members_removed",
    "group.member_changed",
    "group.dissolved",
    "user.online",
    "user.offline",
    "sessions.ended",
];

/// One event, and whom and what it is about.
pub struct LogEvent<'a> {
    pub kind: &'static str,
    pub users: Vec<&'a UserId>,
    pub conversation: Option<&'a Conversation>,
    body: EventBody<'a>,
}

/// The members of an event's object; each kind has its own.
#[derive(Default, Serialize)]
struct EventBody<'a> {
    event: &'static str,
    cursor: &'a str,
    shard: u16,
    time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<ShownConversation<'a>>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<EventMessage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<EventRead>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    muted_until: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum ShownConversation<'a> {
    Users([&'a str; 2]),
    Group(&'a str),
}

/// A message with the names of the request that sends one. Content that is a JSON object is `payload`, and all other
/// content is `content`, in base64.
#[derive(Serialize)]
struct EventMessage<'a> {
    message_id: String,
    conversation_seq: u64,
    from: &'a str,
    client_msg_id: &'a str,
    #[serde(rename = "type")]
    message_type: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct EventRead {
    message_id: String,
    conversation_seq: u64,
}

impl<'a> LogEvent<'a> {
    /// The event of a record, if it has one.
    pub fn of(record: &'a Record) -> Option<Self> {
        match record {
            Record::Posted { message, .. } => Some(of_message(message)),
            Record::Online { user, since } => Some(of_user("user.online", user, *since)),
            Record::Seen { user, last_seen } if *last_seen > Millis(0) => {
                Some(of_user("user.offline", user, *last_seen))
            }
            Record::Start { time, .. } => {
                let body = EventBody { time: time.0, ..EventBody::default() };
                Some(Self { kind: "sessions.ended", users: Vec::new(), conversation: None, body })
            }
            _ => None,
        }
    }

    /// The event as one line of JSON.
    pub fn line(self, cursor: &str, shard: u16) -> String {
        let body = EventBody { event: self.kind, cursor, shard, ..self.body };
        serde_json::to_string(&body).expect("an event has text keys and finite numbers")
    }
}

fn of_user<'a>(kind: &'static str, user: &'a UserId, time: Millis) -> LogEvent<'a> {
    let body = EventBody { time: time.0, user: Some(user.as_str()), ..EventBody::default() };
    LogEvent { kind, users: vec![user], conversation: None, body }
}

fn of_message(message: &Message) -> LogEvent<'_> {
    let conversation = &message.conversation;
    let (mut users, shown) = match conversation {
        Conversation::Pair(one, other) => (vec![one, other], ShownConversation::Users([one.as_str(), other.as_str()])),
        Conversation::Group(group) => (vec![&message.author], ShownConversation::Group(group.as_str())),
    };
    let about = EventBody {
        time: message.server_time.0,
        conversation: Some(shown),
        by: Some(message.author.as_str()),
        ..EventBody::default()
    };
    let (kind, body) = match message.fact.as_deref() {
        None => ("message.created", EventBody { message: Some(shown_message(message)), by: None, ..about }),
        Some(Fact::Revoked { message }) => {
            ("message.revoked", EventBody { message_id: Some(message.0.to_string()), ..about })
        }
        Some(Fact::Read { told, messages }) => {
            users.push(told);
            let read = |it: &ReadMessage| EventRead {
                message_id: it.id.0.to_string(),
                conversation_seq: it.conversation_seq.0,
            };
            let messages = Some(messages.iter().map(read).collect());
            ("receipt", EventBody { author: Some(told.as_str()), messages, ..about })
        }
        Some(Fact::Group(change)) => {
            users.extend(change.members());
            of_change(change, about)
        }
    };
    LogEvent { kind, users, conversation: Some(conversation), body }
}

fn of_change<'a>(change: &'a GroupChange, about: EventBody<'a>) -> (&'static str, EventBody<'a>) {
    let names = |users: &'a [UserId]| Some(users.iter().map(UserId::as_str).collect());
    match change {
        GroupChange::Created { owner, members } => {
            ("group.created", EventBody { owner: Some(owner.as_str()), members: names(members), ..about })
        }
        GroupChange::Added { members } => ("group.members_added", EventBody { members: names(members), ..about }),
        GroupChange::Removed { members } => ("group.members_removed", EventBody { members: names(members), ..about }),
        GroupChange::Changed { member, role, muted_until } => {
            let (member, role, muted_until) = (Some(member.as_str()), Some(role.name()), Some(muted_until.0));
            ("group.member_changed", EventBody { member, role, muted_until, ..about })
        }
        GroupChange::Dissolved => ("group.dissolved", about),
    }
}

fn shown_message(message: &Message) -> EventMessage<'_> {
    let bytes = message.content.bytes();
    let is_bare = bytes.first() == Some(&b'{') && bytes.last() == Some(&b'}');
    let payload = if is_bare { serde_json::from_slice::<&RawValue>(bytes).ok() } else { None };
    // A line break inside would end the event.
    let payload = payload.filter(|raw| !raw.get().contains(['\n', '\r']));
    EventMessage {
        message_id: message.id.0.to_string(),
        conversation_seq: message.conversation_seq.0,
        from: message.author.as_str(),
        client_msg_id: message.client_message_id.as_str(),
        message_type: message.message_type,
        content: payload.is_none().then(|| BASE64.encode(bytes)),
        payload,
        extra: message.extra.iter().collect(),
    }
}
