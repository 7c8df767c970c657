//! The event of a record, as one line of JSON.
//!
//! Invariant: an event follows from one committed record alone, so whoever reads that record again gets the same event.

use crate::log::Record;
use crate::model::{Conversation, Fact, Message, Millis, UserId};
use crate::server::event::fact::ShownFact;
use crate::server::event::message::{ShownConversation, ShownMessage};
use serde::Serialize;

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
    message: Option<ShownMessage<'a>>,
    #[serde(flatten)]
    fact: Option<ShownFact<'a>>,
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

    /// When it happened.
    pub fn time(&self) -> Millis {
        Millis(self.body.time)
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
    let mut users = match conversation {
        Conversation::Pair(one, other) => vec![one, other],
        Conversation::Group(_) => vec![&message.author],
    };
    let about = EventBody {
        time: message.server_time.0,
        conversation: Some(ShownConversation::of(conversation)),
        ..EventBody::default()
    };
    let Some(fact) = message.fact.as_deref() else {
        let body = EventBody { message: Some(ShownMessage::of(message)), ..about };
        return LogEvent { kind: "message.created", users, conversation: Some(conversation), body };
    };
    match fact {
        Fact::Revoked { .. } => {}
        Fact::Read { told, .. } => users.push(told),
        Fact::Group(change) => users.extend(change.members()),
    }
    let fact = ShownFact::of(fact, usize::MAX);
    let kind = fact.kind;
    let body = EventBody { by: Some(message.author.as_str()), fact: Some(fact), ..about };
    LogEvent { kind, users, conversation: Some(conversation), body }
}
