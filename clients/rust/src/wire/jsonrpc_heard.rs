//! What the server says in JSON-RPC, in the words of the model.

use super::dialect::{AnswerShape, Heard};
use super::jsonrpc::GROUP;
use super::text::{from_base64, stream_of};
use crate::model::{
    Answer, ClearExtent, Cleared, ConversationRow, Entry, EntryBody, GroupChange, GroupInfo, GroupMember, HistoryPage,
    JoinRequest, Message, PresenceState, Profile, Receipt, RefusalKind, Refused, Revoked, Sent, StreamChunk, Target,
    Typing, TypingState,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Said<'a> {
    id: Option<Value>,
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<SaidError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidError {
    code: i64,
    message: String,
}

/// A message, or a fact: the members of all of them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Element<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    entry_id: Option<String>,
    message_id: String,
    message_seq: u64,
    inbox_seq: u64,
    timestamp: i64,
    channel_id: String,
    channel_type: u8,
    from_uid: String,
    client_msg_no: String,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    setting: BTreeMap<String, bool>,
    topic: Option<String>,
    expire: Option<u32>,
    stream_no: Option<String>,
    stream_id: Option<String>,
    stream_flag: u8,
    extra: BTreeMap<String, String>,
    revoked_by: String,
    revoked_time: i64,
    message_ids: Vec<String>,
    user_id: String,
    read_time: i64,
    status: i32,
    change: String,
    through: u64,
    time: i64,
}

/// `None`: nothing that this client knows.
pub fn decode(text: &str, shape_of: &dyn Fn(u32) -> Option<AnswerShape>) -> Option<Heard> {
    let said: Said = serde_json::from_str(text).ok()?;
    if let Some(method) = said.method {
        return notification(&method, said.params.map_or("{}", RawValue::get));
    }
    let tag = u32::try_from(said.id?.as_u64()?).ok()?;
    if let Some(SaidError { code, message }) = said.error {
        return Some(Heard::Refused { tag, refused: Refused { kind: refusal_kind(code), code, text: message } });
    }
    let answer = answer_of(shape_of(tag)?, said.result.map_or("{}", RawValue::get))?;
    Some(Heard::Answer { tag, answer })
}

fn notification(method: &str, params: &str) -> Option<Heard> {
    match method {
        "recv" => Some(Heard::Entry(entry_of(params, None)?)),
        "revoked" | "receipt" | "group" | "cleared" => Some(Heard::Entry(entry_of(params, Some(method))?)),
        "typing" => {
            let element: Element = serde_json::from_str(params).ok()?;
            let state = if element.status == 1 { TypingState::Typing } else { TypingState::Stopped };
            Some(Heard::Typing(Typing { conversation: target_of(&element), user: element.user_id, state }))
        }
        "presence" => Some(Heard::Presence(serde_json::from_str::<SaidState>(params).ok()?.into())),
        "disconnect" => {
            let said: Value = serde_json::from_str(params).ok()?;
            let reason = said["reason"].as_str().unwrap_or("disconnected by the server").to_owned();
            Some(Heard::Farewell { is_final: true, reason })
        }
        _ => None,
    }
}

fn refusal_kind(code: i64) -> RefusalKind {
    match code {
        1001 | 1003 => RefusalKind::Unauthenticated,
        1002 => RefusalKind::TokenExpired,
        1100 => RefusalKind::NoSuchUser,
        1101 => RefusalKind::NoSuchConversation,
        1102 => RefusalKind::Denied,
        1103 => RefusalKind::TooLarge,
        1104 => RefusalKind::TooFast,
        1105 | 1106 => RefusalKind::Invalid,
        1500 => RefusalKind::Unavailable,
        2128..=2255 => RefusalKind::Operator,
        ..0 => RefusalKind::Invalid,
        _ => RefusalKind::Unknown,
    }
}

fn target_of(element: &Element) -> Target {
    named(&element.channel_id, element.channel_type)
}

fn named(id: &str, kind: u8) -> Target {
    if kind == GROUP { Target::group(id) } else { Target::user(id) }
}

/// `kind` is the notification's name; an element of a page has its own.
fn entry_of(text: &str, kind: Option<&str>) -> Option<Entry> {
    let element: Element = serde_json::from_str(text).ok()?;
    let seq = element.inbox_seq;
    let id = element.entry_id.clone().unwrap_or_else(|| element.message_id.clone());
    let kind = kind.or(element.kind.as_deref());
    let body = match kind {
        Some("revoked") => EntryBody::Revoked(Revoked {
            conversation: target_of(&element),
            message_id: element.message_id,
            by: element.revoked_by,
            time_ms: element.revoked_time,
        }),
        Some("receipt") => EntryBody::Receipt(Receipt {
            conversation: target_of(&element),
            message_ids: element.message_ids,
            by: element.user_id,
            time_ms: element.read_time,
        }),
        Some("group") => EntryBody::Group(change_of(text)?),
        Some("cleared") => EntryBody::Cleared(Cleared {
            conversation: target_of(&element),
            extent: match &*element.change {
                "conversationDeleted" => ClearExtent::Conversation,
                _ => ClearExtent::History,
            },
            through: element.through,
            time_ms: element.time,
        }),
        Some(_) => return None,
        None => EntryBody::Message(message_of(element)?),
    };
    Some(Entry { seq, id, body })
}

/// The change without the members of every entry.
fn change_of(text: &str) -> Option<GroupChange> {
    let mut members: serde_json::Map<String, Value> = serde_json::from_str(text).ok()?;
    for name in ["type", "entryId", "inboxSeq", "channelId", "channelType"] {
        members.remove(name);
    }
    serde_json::from_value(Value::Object(members)).ok()
}

fn message_of(element: Element) -> Option<Message> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        message_type: i32,
    }
    let payload = element.payload.map_or("\"\"", RawValue::get);
    let is_object = payload.starts_with('{');
    let content = if is_object {
        Bytes::copy_from_slice(payload.as_bytes())
    } else {
        from_base64(serde_json::from_str(payload).ok()?)?
    };
    let typed = serde_json::from_str::<Typed>(payload).ok().map(|typed| typed.message_type);
    let conversation = target_of(&element);
    let named = element.stream_no.map(|no| StreamChunk {
        no,
        chunk: element.stream_id.and_then(|id| id.parse().ok()).unwrap_or(1),
        is_last: element.stream_flag == 2,
    });
    Some(Message {
        id: element.message_id,
        client_id: element.client_msg_no,
        conversation,
        from: element.from_uid,
        message_type: typed.filter(|message_type| *message_type >= 1).unwrap_or(1),
        content,
        time_ms: element.timestamp.saturating_mul(1000),
        seq: element.inbox_seq,
        conversation_seq: (element.message_seq > 0).then_some(element.message_seq),
        is_revoked: element.extra.get("revoked").is_some_and(|revoked| revoked == "1"),
        wants_receipt: element.setting.get("receipt").copied().unwrap_or(false),
        topic: element.topic,
        expire_seconds: element.expire,
        stream: stream_of(&element.extra).or(named),
        extra: element.extra,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SaidState {
    user_id: String,
    online: bool,
    #[serde(default)]
    last_seen: i64,
}

impl From<SaidState> for PresenceState {
    fn from(said: SaidState) -> Self {
        Self { user: said.user_id, is_online: said.online, last_seen_ms: said.last_seen }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SaidPage<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    #[serde(default)]
    server_max_seq: u64,
    #[serde(default)]
    newest_seq: u64,
    #[serde(default)]
    reached_seq: u64,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SaidRow<'a> {
    channel_id: String,
    channel_type: u8,
    #[serde(borrow)]
    last: Option<&'a RawValue>,
    #[serde(default)]
    last_seq: u64,
    #[serde(default)]
    unread: u64,
    #[serde(default)]
    read_through: u64,
    #[serde(default)]
    newest_seq: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SaidPerson {
    user_id: String,
    role: String,
    muted_until: i64,
    time: i64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SaidAnswer {
    inbox_epoch: u64,
    message_id: String,
    message_seq: u64,
    inbox_seq: u64,
    states: Vec<SaidState>,
    requests: Vec<SaidPerson>,
    has_more: bool,
    user_id: String,
    group_id: String,
    owner: String,
    created: i64,
    member_count: u64,
    newest_seq: u64,
    name: String,
    avatar: String,
    attributes: BTreeMap<String, String>,
    join: String,
    members: Vec<SaidPerson>,
}

fn answer_of(shape: AnswerShape, text: &str) -> Option<Answer> {
    match shape {
        AnswerShape::Page => {
            let page: SaidPage = serde_json::from_str(text).ok()?;
            let entries = page.messages.iter().map(|it| entry_of(it.get(), None)).collect::<Option<_>>()?;
            Some(Answer::Page { entries, server_max_seq: page.server_max_seq, has_more: page.has_more })
        }
        AnswerShape::History => history_of(serde_json::from_str(text).ok()?).map(Answer::History),
        AnswerShape::Conversations => conversations_of(text),
        AnswerShape::Done => Some(Answer::Done),
        _ => plain_answer_of(shape, serde_json::from_str(text).ok()?),
    }
}

fn plain_answer_of(shape: AnswerShape, said: SaidAnswer) -> Option<Answer> {
    let profile = Profile { name: said.name, avatar: said.avatar, attributes: said.attributes };
    match shape {
        AnswerShape::Login => Some(Answer::Login { epoch: said.inbox_epoch }),
        AnswerShape::Sent => Some(Answer::Sent(Sent {
            id: said.message_id,
            seq: said.inbox_seq,
            conversation_seq: (said.message_seq > 0).then_some(said.message_seq),
            time_ms: None,
        })),
        AnswerShape::Presence => Some(Answer::Presence(said.states.into_iter().map(PresenceState::from).collect())),
        AnswerShape::JoinRequests => {
            let request = |it: SaidPerson| JoinRequest { user: it.user_id, time_ms: it.time };
            let requests = said.requests.into_iter().map(request).collect();
            Some(Answer::JoinRequests { requests, has_more: said.has_more })
        }
        AnswerShape::Profile => Some(Answer::Profile { user: said.user_id, profile }),
        AnswerShape::Group => {
            let member =
                |it: SaidPerson| GroupMember { user: it.user_id, role: it.role, muted_until_ms: it.muted_until };
            Some(Answer::Group(GroupInfo {
                group: said.group_id,
                owner: said.owner,
                created_ms: said.created,
                member_count: said.member_count,
                newest_seq: said.newest_seq,
                profile,
                join: said.join,
                members: said.members.into_iter().map(member).collect(),
            }))
        }
        _ => None,
    }
}

fn history_of(page: SaidPage) -> Option<HistoryPage> {
    let (mut messages, mut facts) = (Vec::new(), Vec::new());
    let SaidPage { newest_seq, reached_seq, has_more, .. } = page;
    for item in page.messages {
        let entry = entry_of(item.get(), None)?;
        match entry.body {
            EntryBody::Message(message) => messages.push(message),
            _ => facts.push(entry),
        }
    }
    Some(HistoryPage { messages, facts, newest_seq, reached_seq, has_more })
}

fn conversations_of(text: &str) -> Option<Answer> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct SaidRows<'a> {
        #[serde(borrow)]
        conversations: Vec<SaidRow<'a>>,
        #[serde(default)]
        has_more: bool,
    }
    let said: SaidRows = serde_json::from_str(text).ok()?;
    let row = |row: SaidRow| {
        let last = match row.last {
            Some(last) => Some(entry_of(last.get(), None)?),
            None => None,
        };
        Some(ConversationRow {
            conversation: named(&row.channel_id, row.channel_type),
            last,
            last_seq: row.last_seq,
            unread: row.unread,
            read_through: row.read_through,
            newest_seq: row.newest_seq,
        })
    };
    let rows = said.conversations.into_iter().map(row).collect::<Option<_>>()?;
    Some(Answer::Conversations { rows, has_more: said.has_more })
}
