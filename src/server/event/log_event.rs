//! The event of a record, as one line of JSON.
//!
//! Invariant: events follow from one committed record alone (and for a group's members, from the message that it names),
//! so whoever reads that record again gets the same events.

use crate::log::{Record, Side, ThreadLink};
use crate::model::{Conversation, Fact, Message, Millis, UserId};
use crate::server::event::fact::ShownFact;
use crate::server::event::message::{ShownConversation, ShownMessage};
use crate::server::event::schema::{IdSchema, MillisSchema};
use crate::server::event::types::EVENT_TYPES;
use arrayvec::ArrayVec;
use schemars::JsonSchema;
use serde::Serialize;

/// One event, and whom and what it is about.
pub struct LogEvent<'a> {
    pub kind: &'static str,
    pub users: Vec<&'a UserId>,
    pub conversation: Option<&'a Conversation>,
    body: EventBody<'a>,
}

/// The members of an event's object; each kind has its own.
#[derive(Default, JsonSchema, Serialize)]
#[schemars(rename = "Event")]
pub struct EventBody<'a> {
    #[schemars(extend("enum" = EVENT_TYPES))]
    event: &'static str,
    /// Stands after this event, in the logs of all shards.
    cursor: &'a str,
    shard: u16,
    /// Unix milliseconds: of a message the time at which it was accepted.
    #[schemars(with = "MillisSchema")]
    time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ShownConversation<'static>")]
    conversation: Option<ShownConversation<'a>>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IdSchema")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IdSchema")]
    user: Option<&'a str>,
    /// Recipients of the message who had no session when it was committed to their inboxes; one of a pair, up to 64 of a
    /// group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<IdSchema>")]
    users: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ShownMessage<'static>")]
    message: Option<ShownMessage<'a>>,
    #[serde(flatten)]
    fact: Option<ShownFact<'a>>,
}

impl<'a> LogEvent<'a> {
    /// The events of a record, in their order. `fanned` is the message that a `Record::Fanned` names.
    pub fn of(record: &'a Record, fanned: Option<&'a Message>) -> ArrayVec<Self, 2> {
        let mut events = ArrayVec::new();
        match record {
            Record::Posted { message, links, .. } => {
                events.push(of_message(message));
                events.extend(of_away_peer(message, links));
            }
            Record::Delivered { message, links, .. } => events.extend(of_away_peer(message, links)),
            Record::Fanned { links, .. } => {
                let away = links.iter().filter(|member| member.link.is_away).map(|member| &member.user);
                events.extend(fanned.and_then(|message| of_away(message, away.collect())));
            }
            Record::Online { user, since } => events.push(of_user("user.online", user, *since)),
            Record::Seen { user, last_seen } if *last_seen > Millis(0) => {
                events.push(of_user("user.offline", user, *last_seen));
            }
            Record::Start { time, .. } => {
                let body = EventBody { time: time.0, ..EventBody::default() };
                events.push(Self { kind: "sessions.ended", users: Vec::new(), conversation: None, body });
            }
            _ => {}
        }
        events
    }

    /// Names only those of the users who were away.
    pub fn name_only(&mut self, is_named: impl Fn(&str) -> bool) {
        self.body.users.retain(|user| is_named(user));
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

/// The recipient of a pair's message had no session.
fn of_away_peer<'a>(message: &'a Message, links: &[ThreadLink]) -> Option<LogEvent<'a>> {
    links.iter().find(|link| link.side == Side::Peer && link.is_away)?;
    of_away(message, message.peer_of(&message.author).into_iter().collect())
}

/// Recipients of the message had no session when it was committed to their inboxes.
fn of_away<'a>(message: &'a Message, users: Vec<&'a UserId>) -> Option<LogEvent<'a>> {
    if users.is_empty() || message.fact.is_some() {
        return None;
    }
    let body = EventBody {
        time: message.server_time.0,
        conversation: Some(ShownConversation::of(&message.conversation)),
        users: users.iter().map(|user| user.as_str()).collect(),
        message: Some(ShownMessage::of(message)),
        ..EventBody::default()
    };
    Some(LogEvent { kind: "user.offline_message", users, conversation: Some(&message.conversation), body })
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
        Fact::Joining { step, .. } => users.extend(step.declined_by()),
        Fact::Cleared { user, .. } => users = vec![user],
    }
    let fact = ShownFact::of(fact, usize::MAX);
    let kind = fact.kind;
    let body = EventBody { by: Some(message.author.as_str()), fact: Some(fact), ..about };
    LogEvent { kind, users, conversation: Some(conversation), body }
}
