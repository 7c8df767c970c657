//! JSON-RPC over text frames (`proto/jsonrpc.md`): requests to frames.

use super::dialect::{AnswerShape, Dialect, Frame, Heard};
use super::jsonrpc_heard::decode;
use super::text::{extra_of, object_text, to_base64};
use crate::model::{
    ClearExtent, JoinAnswer, Outgoing, PageStart, PresenceAction, Profile, Refused, Request, Target, TypingState,
};
use serde_json::{Map, Value, json};

const PERSON: u8 = 1;
pub const GROUP: u8 = 2;

/// The number that the server keeps apart devices by, beside their ids; this kit's devices have one.
const DEVICE_FLAG: u8 = 2;

/// The dialect of `/rpc`.
pub struct JsonRpcDialect;

impl Dialect for JsonRpcDialect {
    fn path(&self) -> &'static str {
        "/rpc"
    }

    fn encode(&mut self, request: &Request, tag: u32) -> Result<Frame, Refused> {
        let method = method_of(request);
        let params = match request {
            Request::Send(message) => send_params(message),
            _ => Value::Object(params_of(request)).to_string(),
        };
        let head = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}"#);
        // An acknowledgement is a notification: its answer would say nothing.
        let text = match request {
            Request::Ack { .. } => format!("{head}}}"),
            _ => format!(r#"{head},"id":{tag}}}"#),
        };
        Ok(Frame::Text(text))
    }

    fn decode(&mut self, frame: &Frame, shape_of: &dyn Fn(u32) -> Option<AnswerShape>) -> Heard {
        match frame {
            Frame::Text(text) => decode(text, shape_of).unwrap_or(Heard::Noise),
            Frame::Binary(_) => Heard::Noise,
        }
    }
}

fn method_of(request: &Request) -> &'static str {
    match request {
        Request::Login { .. } => "connect",
        Request::Heartbeat => "ping",
        Request::Ack { .. } => "recvack",
        Request::Send(_) => "send",
        Request::Sync { .. } | Request::SyncNewest => "sync",
        Request::Reauth { .. } => "reauth",
        Request::History { .. } => "history",
        Request::Conversations { .. } => "conversations",
        Request::Revoke { .. } => "revoke",
        Request::Receipt { .. } => "receipt",
        Request::MarkRead { .. } => "markRead",
        Request::Clear { extent: ClearExtent::History, .. } => "clearHistory",
        Request::Clear { extent: ClearExtent::Conversation, .. } => "deleteConversation",
        Request::Typing { .. } => "typing",
        Request::Presence { .. } => "presence",
        Request::GroupInfo { .. } => "groupInfo",
        Request::GroupMembers { .. } => "groupMembers",
        Request::GroupMember { .. } => "groupMember",
        Request::GroupProfile { .. } => "groupProfile",
        Request::LeaveGroup { .. } => "leaveGroup",
        Request::JoinGroup { .. } => "joinGroup",
        Request::DissolveGroup { .. } => "dissolveGroup",
        Request::GroupRequests { .. } => "groupRequests",
        Request::GroupAnswer { .. } => "groupAnswer",
        Request::Profile { .. } => "profile",
        Request::SetProfile(_) => "setProfile",
    }
}

type Params = Map<String, Value>;

fn of(value: Value) -> Params {
    match value {
        Value::Object(params) => params,
        _ => Params::new(),
    }
}

fn channel(target: &Target) -> Params {
    let (id, kind) = match target {
        Target::User(user) => (user, PERSON),
        Target::Group(group) => (group, GROUP),
    };
    of(json!({ "channelId": id, "channelType": kind }))
}

/// What is `Some` in these.
fn with_present<const N: usize>(mut params: Params, optional: [(&str, Option<Value>); N]) -> Params {
    for (name, value) in optional {
        params.extend(value.map(|value| (name.to_owned(), value)));
    }
    params
}

fn send_params(message: &Outgoing) -> String {
    let Outgoing { client_id, to, stream, topic, expire_seconds, .. } = message;
    let is = |present: bool| present.then_some(Value::Bool(true));
    let setting = with_present(
        Params::new(),
        [("receipt", is(message.wants_receipt)), ("stream", is(stream.is_some())), ("topic", is(topic.is_some()))],
    );
    let extra = extra_of(&message.extra, stream.as_ref());
    let params = with_present(
        channel(to),
        [
            ("clientMsgNo", Some(json!(client_id))),
            ("header", message.is_unstored.then(|| json!({ "noPersist": true }))),
            ("setting", (!setting.is_empty()).then_some(Value::Object(setting))),
            ("topic", topic.as_ref().map(|topic| json!(topic))),
            ("expire", expire_seconds.map(|seconds| json!(seconds))),
            ("streamNo", stream.as_ref().map(|stream| json!(stream.no))),
            ("streamFlag", stream.as_ref().filter(|stream| stream.is_last).map(|_| json!(2))),
            ("extra", (!extra.is_empty()).then(|| json!(extra))),
        ],
    );
    // Content that is an object is written as it is, byte for byte; anything else as base64.
    let payload = match object_text(&message.content) {
        Some(text) => text.to_owned(),
        None => json!(to_base64(&message.content)).to_string(),
    };
    let rest = Value::Object(params).to_string();
    let open = rest.strip_suffix('}').unwrap_or(&rest);
    format!(r#"{open},"payload":{payload}}}"#)
}

fn params_of(request: &Request) -> Params {
    match request {
        Request::Login { user, token, device } => of(json!({
            "uid": user, "token": token, "deviceId": device, "deviceFlag": DEVICE_FLAG, "version": 3
        })),
        Request::Reauth { token } => of(json!({ "token": token })),
        Request::Ack { seq } => of(json!({ "inboxSeq": seq })),
        Request::Sync { after, limit } => of(json!({ "maxSeq": after, "limit": limit })),
        Request::SyncNewest => of(json!({ "minSeq": 0, "limit": -1 })),
        Request::History { conversation, start, limit, topic } => {
            let start = match start {
                PageStart::After(seq) => ("afterSeq", Some(json!(seq))),
                PageStart::Before(seq) => ("beforeSeq", Some(json!(seq))),
            };
            let topic = topic.as_ref().map(|topic| json!(topic));
            with_present(channel(conversation), [start, ("limit", Some(json!(limit))), ("topic", topic)])
        }
        Request::Conversations { before_seq, limit } => of(json!({ "beforeSeq": before_seq, "limit": limit })),
        Request::Revoke { conversation, message_id } => {
            with_present(channel(conversation), [("messageId", Some(json!(message_id)))])
        }
        Request::Receipt { conversation, message_ids } => {
            with_present(channel(conversation), [("messageIds", Some(json!(message_ids)))])
        }
        Request::MarkRead { conversation, through } | Request::Clear { conversation, through, .. } => {
            with_present(channel(conversation), [("through", Some(json!(through)))])
        }
        Request::Typing { conversation, state } => {
            let status = u8::from(*state == TypingState::Typing);
            with_present(channel(conversation), [("status", Some(json!(status)))])
        }
        Request::Presence { users, action } => {
            let action = match action {
                PresenceAction::Query => 0,
                PresenceAction::Subscribe => 1,
                PresenceAction::Unsubscribe => 2,
            };
            of(json!({ "userIds": users, "action": action }))
        }
        _ => people_params(request),
    }
}

/// Requests about groups and profiles.
fn people_params(request: &Request) -> Params {
    match request {
        Request::GroupInfo { group, after, limit } | Request::GroupRequests { group, after, limit } => {
            of(json!({ "groupId": group, "after": after, "limit": limit }))
        }
        Request::GroupMembers { group, add, remove } => of(json!({ "groupId": group, "add": add, "remove": remove })),
        Request::GroupMember { group, user, role, muted_until_ms } => with_present(
            of(json!({ "groupId": group, "userId": user })),
            [("role", role.as_ref().map(|role| json!(role))), ("mutedUntil", muted_until_ms.map(|until| json!(until)))],
        ),
        Request::GroupProfile { group, name, avatar, attributes, join } => with_present(
            of(json!({ "groupId": group })),
            [
                ("name", name.as_ref().map(|name| json!(name))),
                ("avatar", avatar.as_ref().map(|avatar| json!(avatar))),
                ("attributes", attributes.as_ref().map(|attributes| json!(attributes))),
                ("join", join.as_ref().map(|join| json!(join))),
            ],
        ),
        Request::LeaveGroup { group } | Request::JoinGroup { group } | Request::DissolveGroup { group } => {
            of(json!({ "groupId": group }))
        }
        Request::GroupAnswer { group, user, answer } => {
            let answer = match answer {
                JoinAnswer::Approve => "approve",
                JoinAnswer::Decline => "decline",
            };
            of(json!({ "groupId": group, "userId": user, "answer": answer }))
        }
        Request::Profile { user } => of(json!({ "userId": user })),
        Request::SetProfile(Profile { name, avatar, attributes }) => {
            of(json!({ "name": name, "avatar": avatar, "attributes": attributes }))
        }
        _ => Params::new(),
    }
}
