//! What a client of each protocol understands, read by other implementations than the server's, beside what it should
//! have understood. Both sides are JSON values, so that a difference shows itself.

use crate::binary_fields::Fields;
use crate::encode::{pairs, phase};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mushan::model::{
    ClearExtent, Conversation, ConversationName, ConversationRow, ConversationSeq, Entry, Event, Fact, GroupChange,
    JoinStep, Message, PresenceState, Recipient, Role, Seq, UserId,
};
use serde_json::{Value, json};

/// A pushed message of the binary protocol.
pub fn binary_push(payload: &[u8]) -> Value {
    let envelope = Fields::decode("WebSocketMessage", payload);
    assert_eq!(envelope.number("sequence"), 0, "a push has no sequence");
    let body = envelope.bytes("body");
    match envelope.number("command") {
        202 => json!({"push": push_message(&Fields::decode("PushMessage", &body))}),
        207 => json!({"revoked": revoke_push(&body)}),
        502 => json!({"read": receipt_push(&body)}),
        601 => {
            let push = Fields::decode("TypingStatusPush", &body);
            json!({"typing": [push.text("conversation_id"), push.text("user_id"), push.number("status")]})
        }
        402 => json!({"presence": presence_state(&Fields::decode("PresenceState", &body))}),
        other => panic!("command {other}"),
    }
}

pub fn expected_binary_push(event: &Event, viewer: &UserId) -> Value {
    match event {
        Event::Entry(entry) => match entry.message.fact.as_deref() {
            Some(Fact::Revoked { .. }) => {
                json!({"revoked": expected_fact(&entry.message, entry.name.as_ref(), viewer)})
            }
            Some(Fact::Read { .. }) => json!({"read": expected_fact(&entry.message, entry.name.as_ref(), viewer)}),
            _ => json!({"push": expected_message(entry, viewer)}),
        },
        Event::Transient(message, name) => {
            let entry = Entry { seq: Seq(0), message: message.clone(), name: name.clone() };
            json!({"push": expected_message(&entry, viewer)})
        }
        Event::Typing(notice) => {
            let name = called(&notice.conversation, notice.name.as_ref());
            json!({"typing": [name, notice.user.as_str(), notice.status]})
        }
        Event::Presence(state) => json!({"presence": expected_state(state)}),
    }
}

pub fn push_message(push: &Fields) -> Value {
    let content = push.bytes("content");
    let content = match push.number("message_type") {
        1001 if push.text("client_msg_id").is_empty() => revoke_push(&content),
        1002 if push.text("client_msg_id").is_empty() => receipt_push(&content),
        1003 | 1004 if push.text("client_msg_id").is_empty() => {
            serde_json::from_slice(&content).expect("a JSON object")
        }
        _ => Value::from(BASE64_STANDARD.encode(content)),
    };
    json!({
        "id": push.text("message_id"),
        "client_id": push.text("client_msg_id"),
        "conversation": push.text("conversation_id"),
        "sender": push.text("sender_id"),
        "receiver": push.text("receiver_id"),
        "group": push.text("group_id"),
        "type": push.number("message_type"),
        "content": content,
        "times": [push.number("send_time"), push.number("server_time")],
        "seq": push.number("seq"),
        "extra": push.pairs("extra"),
    })
}

pub fn expected_message(entry: &Entry, viewer: &UserId) -> Value {
    let message = &*entry.message;
    let (receiver, group) = match message.recipient() {
        Recipient::User(user) => (user.to_string(), String::new()),
        Recipient::Group(group) => (String::new(), group.to_string()),
    };
    let (client_id, kind, content) = match message.fact.as_deref() {
        None => {
            let content = Value::from(BASE64_STANDARD.encode(&message.content));
            (message.client_message_id.as_str(), message.message_type, content)
        }
        Some(fact) => ("", kind(fact), expected_fact(message, entry.name.as_ref(), viewer)),
    };
    json!({
        "id": message.id.to_string(),
        "client_id": client_id,
        "conversation": called(&message.conversation, entry.name.as_ref()),
        "sender": message.author.as_str(),
        "receiver": receiver,
        "group": group,
        "type": kind,
        "content": content,
        "times": [message.send_time, message.server_time.0],
        "seq": entry.seq.0,
        "extra": pairs(&message.extra),
    })
}

fn kind(fact: &Fact) -> i32 {
    match fact {
        Fact::Revoked { .. } => 1001,
        Fact::Read { .. } => 1002,
        Fact::Group(_) | Fact::Joining { .. } => 1003,
        Fact::Cleared { .. } => 1004,
    }
}

fn called(conversation: &Conversation, name: Option<&ConversationName>) -> String {
    match (name, conversation) {
        (Some(name), _) => name.to_string(),
        (None, Conversation::Pair(one, other)) => format!("single_{one}_{other}"),
        (None, Conversation::Group(group)) => format!("group_{group}"),
    }
}

fn revoke_push(body: &[u8]) -> Value {
    let push = Fields::decode("RevokeMessagePush", body);
    let (name, by, time) = (push.text("conversation_id"), push.text("revoked_by"), push.number("revoked_time"));
    json!({"ids": push.text("message_id"), "conversation": name, "by": by, "time": time})
}

fn receipt_push(body: &[u8]) -> Value {
    let push = Fields::decode("ReadReceiptPush", body);
    let (name, by, time) = (push.text("conversation_id"), push.text("user_id"), push.number("read_time"));
    json!({"ids": push.texts("message_ids"), "conversation": name, "by": by, "time": time})
}

fn expected_fact(by: &Message, name: Option<&ConversationName>, viewer: &UserId) -> Value {
    let ids = match by.fact.as_deref().expect("a fact") {
        Fact::Revoked { message } => Value::from(message.to_string()),
        Fact::Read { messages, .. } => messages.iter().map(|message| message.id.to_string()).collect(),
        Fact::Group(change) => return expected_change(by, change, viewer),
        Fact::Joining { asker, step } => return expected_joining(by, asker, step),
        Fact::Cleared { through, extent, .. } => return expected_cleared(by, *through, *extent),
    };
    let name = called(&by.conversation, name);
    json!({"ids": ids, "conversation": name, "by": by.author.as_str(), "time": by.server_time.0})
}

fn expected_cleared(entry: &Message, through: ConversationSeq, extent: ClearExtent) -> Value {
    let change = if extent == ClearExtent::History { "historyCleared" } else { "conversationDeleted" };
    json!({"change": change, "through": through.0, "time": entry.server_time.0})
}

fn expected_joining(entry: &Message, asker: &UserId, step: &JoinStep) -> Value {
    let Conversation::Group(group) = &entry.conversation else { panic!("a group is joined") };
    let (change, by) = match step {
        JoinStep::Asked => ("joinRequested", asker),
        JoinStep::Declined { by } => ("joinDeclined", by),
    };
    let (by, members) = (by.as_str(), [asker.as_str()]);
    let time = entry.server_time.0;
    json!({"change": change, "group": group.as_str(), "by": by, "members": members, "count": 1, "time": time})
}

fn expected_change(by: &Message, change: &GroupChange, viewer: &UserId) -> Value {
    let Conversation::Group(group) = &by.conversation else { panic!("a group") };
    let (what, mut members) = match change {
        GroupChange::Created { members, .. } => ("created", members.clone()),
        GroupChange::Added { members } => ("added", members.clone()),
        GroupChange::Removed { members } => ("removed", members.clone()),
        GroupChange::Changed { member, .. } => ("changed", vec![member.clone()]),
        GroupChange::Dissolved => ("dissolved", Vec::new()),
        GroupChange::Profiled(_) => ("profile", Vec::new()),
    };
    let count = members.len();
    if let (GroupChange::Removed { .. }, Some(at)) = (change, members.iter().position(|member| member == viewer)) {
        let oneself = members.remove(at);
        members.insert(0, oneself);
    }
    let shown: Vec<&str> = members.iter().take(50).map(UserId::as_str).collect();
    let mut expected = json!({
        "change": what, "group": group.as_str(), "by": by.author.as_str(), "members": shown, "count": count,
        "time": by.server_time.0,
    });
    match change {
        GroupChange::Created { owner, .. } => expected["owner"] = owner.as_str().into(),
        GroupChange::Changed { role, muted_until, .. } => {
            let role = match role {
                Role::Member => "member",
                Role::Admin => "admin",
                Role::Owner => "owner",
            };
            expected["role"] = role.into();
            expected["mutedUntil"] = muted_until.0.into();
        }
        GroupChange::Profiled(profile) => {
            expected["name"] = profile.about.name.as_str().into();
            expected["avatar"] = profile.about.avatar.as_str().into();
            expected["attributes"] = pairs(&profile.about.attributes);
            expected["join"] = profile.join.name().into();
        }
        _ => {}
    }
    expected
}

pub fn presence_state(state: &Fields) -> Value {
    json!([state.text("user_id"), state.flag("online"), state.number("last_seen")])
}

pub fn expected_state(state: &PresenceState) -> Value {
    json!([state.user.as_str(), state.is_online, state.last_seen.0])
}

pub fn row(row: &Fields) -> Value {
    let numbers = ["last_seq", "unread", "read_through", "newest_seq"].map(|name| row.number(name));
    json!({
        "conversation": row.text("conversation_id"),
        "peer": row.text("peer_id"),
        "group": row.text("group_id"),
        "last": row.message("last").map(|last| push_message(&last)),
        "numbers": numbers,
    })
}

pub fn expected_row(row: &ConversationRow, viewer: &UserId) -> Value {
    let (peer, group) = other_side(&row.conversation, viewer);
    json!({
        "conversation": called(&row.conversation, row.name.as_ref()),
        "peer": peer,
        "group": group,
        "last": row.last.as_ref().map(|last| expected_message(last, viewer)),
        "numbers": [row.last_seq.0, row.unread, row.read_through.0, row.newest_seq.0],
    })
}

fn other_side(conversation: &Conversation, viewer: &UserId) -> (String, String) {
    match conversation {
        Conversation::Pair(one, other) if one == viewer => (other.to_string(), String::new()),
        Conversation::Pair(one, _) => (one.to_string(), String::new()),
        Conversation::Group(group) => (String::new(), group.to_string()),
    }
}

fn channel(conversation: &Conversation, viewer: &UserId) -> (String, u8) {
    let (peer, group) = other_side(conversation, viewer);
    if group.is_empty() { (peer, 1) } else { (group, 2) }
}

/// The notification that a client of version 3 on /rpc should get.
pub fn expected_notification(event: &Event, viewer: &UserId) -> Value {
    let (method, params) = match event {
        Event::Entry(entry) => match entry.message.fact.as_deref() {
            None => ("recv", expected_params(entry, viewer)),
            Some(fact) => (method(fact), expected_fact_params(entry, fact, viewer)),
        },
        Event::Transient(message, name) => {
            let entry = Entry { seq: Seq(0), message: message.clone(), name: name.clone() };
            ("recv", expected_params(&entry, viewer))
        }
        Event::Typing(notice) => {
            let (id, kind) = channel(&notice.conversation, viewer);
            let (writer, status) = (notice.user.as_str(), notice.status);
            ("typing", json!({"channelId": id, "channelType": kind, "userId": writer, "status": status}))
        }
        Event::Presence(state) => ("presence", expected_presence(state)),
    };
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

fn method(fact: &Fact) -> &'static str {
    match fact {
        Fact::Revoked { .. } => "revoked",
        Fact::Read { .. } => "receipt",
        Fact::Group(_) | Fact::Joining { .. } => "group",
        Fact::Cleared { .. } => "cleared",
    }
}

/// An element of `sync`, as it should be.
pub fn expected_element(entry: &Entry, viewer: &UserId) -> Value {
    match entry.message.fact.as_deref() {
        None => expected_params(entry, viewer),
        Some(fact) => {
            let mut element = expected_fact_params(entry, fact, viewer);
            element["type"] = method(fact).into();
            element
        }
    }
}

fn expected_fact_params(entry: &Entry, fact: &Fact, viewer: &UserId) -> Value {
    let by = &*entry.message;
    let (id, kind) = channel(&by.conversation, viewer);
    let mut params = match fact {
        Fact::Revoked { message } => {
            json!({"messageId": message.to_string(), "revokedBy": by.author.as_str(), "revokedTime": by.server_time.0})
        }
        Fact::Read { messages, .. } => {
            let ids: Vec<String> = messages.iter().map(|message| message.id.to_string()).collect();
            json!({"messageIds": ids, "userId": by.author.as_str(), "readTime": by.server_time.0})
        }
        Fact::Group(change) => expected_change(by, change, viewer),
        Fact::Joining { asker, step } => expected_joining(by, asker, step),
        Fact::Cleared { through, extent, .. } => expected_cleared(by, *through, *extent),
    };
    params["entryId"] = by.id.to_string().into();
    params["inboxSeq"] = entry.seq.0.into();
    params["channelId"] = id.into();
    params["channelType"] = kind.into();
    params
}

pub fn expected_presence(state: &PresenceState) -> Value {
    json!({"userId": state.user.as_str(), "online": state.is_online, "lastSeen": state.last_seen.0})
}

fn expected_params(entry: &Entry, viewer: &UserId) -> Value {
    let message = &*entry.message;
    let annotations = message.annotations.as_deref().cloned().unwrap_or_default();
    let (id, kind) = channel(&message.conversation, viewer);
    let payload = match serde_json::from_slice::<serde_json::Map<String, Value>>(&message.content) {
        Ok(object) => Value::from(object),
        Err(_) => Value::from(BASE64_STANDARD.encode(&message.content)),
    };
    let header = annotations.header;
    let mut params = json!({
        "header": flags(&[
            ("noPersist", header.no_persist),
            ("redDot", header.red_dot),
            ("syncOnce", header.sync_once),
            ("dup", header.dup),
        ]),
        "messageId": message.id.to_string(),
        "messageSeq": if header.no_persist { 0 } else { message.conversation_seq.0 },
        "timestamp": message.server_time.0 / 1_000,
        "channelId": id,
        "channelType": kind,
        "fromUid": message.author.as_str(),
        "clientMsgNo": message.client_message_id.as_str(),
        "inboxSeq": entry.seq.0,
        "payload": payload,
    });
    let setting = annotations.setting;
    let is_stream = annotations.chunk.is_some();
    let setting = flags(&[("receipt", setting.receipt), ("stream", is_stream), ("topic", setting.topic)]);
    let mut add = |name: &str, value: Option<Value>| value.map(|value| params[name] = value);
    add("setting", setting.as_object().is_some_and(|flags| !flags.is_empty()).then_some(setting));
    add("topic", annotations.topic.map(|topic| topic.as_str().into()));
    add("msgKey", annotations.message_key.map(|key| key.as_str().into()));
    add("expire", (annotations.expire_s > 0).then(|| annotations.expire_s.into()));
    add("streamNo", annotations.chunk.as_ref().map(|chunk| chunk.stream.as_str().into()));
    add("streamId", annotations.chunk.as_ref().map(|chunk| chunk.number.to_string().into()));
    add("streamFlag", annotations.chunk.as_ref().map(|chunk| phase(chunk.phase).into()));
    add("extra", (!message.extra.is_empty()).then(|| pairs(&message.extra)));
    params
}

fn flags(flags: &[(&str, bool)]) -> Value {
    let set = flags.iter().filter(|(_, is_set)| *is_set);
    Value::Object(set.map(|(name, _)| ((*name).to_owned(), true.into())).collect())
}

/// A row of `conversations`, as it should be.
pub fn expected_json_row(row: &ConversationRow, viewer: &UserId) -> Value {
    let (id, kind) = channel(&row.conversation, viewer);
    let mut expected = json!({
        "channelId": id,
        "channelType": kind,
        "lastSeq": row.last_seq.0,
        "unread": row.unread,
        "readThrough": row.read_through.0,
        "newestSeq": row.newest_seq.0,
    });
    if let Some(last) = &row.last {
        expected["last"] = expected_element(last, viewer);
    }
    expected
}
