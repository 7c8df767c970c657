//! What a client of each protocol sends for a command, written from the contracts.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mushan::model::{
    Ack, Annotations, ChunkPhase, ClearExtent, Command, ConversationRef, Extra, GroupAct, GroupRequest,
    HistoryDirection, PresenceAction, PushChange, Recipient, Send, Sync, SyncDirection, UserId,
};
use mushan::wire::proto;
use prost::Message;
use serde_json::{Map, Value, json};

/// The command's number and body; `None` when the protocol cannot say it.
pub fn binary(command: &Command) -> Option<(i32, Vec<u8>)> {
    Some(match command {
        Command::Send(send) => (200, binary_send(send).encode_to_vec()),
        Command::Sync(sync) => {
            let (min_seq, max_seq, limit) = sync_fields(*sync);
            (300, proto::SyncRequest { min_seq, max_seq, limit }.encode_to_vec())
        }
        Command::Ack(Ack::Through(seq)) => {
            (203, proto::MessageAck { message_id: String::new(), seq: seq.0.cast_signed() }.encode_to_vec())
        }
        Command::Ack(Ack::Message(id)) => {
            (203, proto::MessageAck { message_id: id.to_string(), seq: 0 }.encode_to_vec())
        }
        Command::Revoke(revoke) => {
            let (message_id, conversation_id) = (revoke.message.to_string(), named(&revoke.conversation)?);
            (205, proto::RevokeMessageRequest { message_id, conversation_id }.encode_to_vec())
        }
        Command::Receipt(receipt) => {
            let message_ids = receipt.messages.iter().map(ToString::to_string).collect();
            let conversation_id = named(&receipt.conversation)?;
            (500, proto::ReadReceiptRequest { message_ids, conversation_id }.encode_to_vec())
        }
        Command::Typing(typing) => {
            let conversation_id = named(&typing.conversation)?;
            (600, proto::TypingStatusRequest { conversation_id, status: typing.status }.encode_to_vec())
        }
        Command::History(history) => {
            let (after_seq, before_seq) = places(history.direction);
            let body = proto::HistoryRequest {
                conversation_id: named(&history.conversation)?,
                after_seq,
                before_seq,
                limit: history.limit.cast_signed(),
                topic: history.topic.clone().unwrap_or_default().into(),
            };
            (704, body.encode_to_vec())
        }
        Command::Conversations(wanted) => {
            let (before_seq, limit) = (wanted.before.0.cast_signed(), wanted.limit.cast_signed());
            (700, proto::ConversationsRequest { before_seq, limit }.encode_to_vec())
        }
        Command::MarkRead(mark) => {
            let (conversation_id, through) = (named(&mark.conversation)?, mark.through.0.cast_signed());
            (702, proto::MarkReadRequest { conversation_id, through }.encode_to_vec())
        }
        Command::Clear(clear) => {
            let (conversation_id, through) = (named(&clear.conversation)?, clear.through.0.cast_signed());
            let code = if clear.extent == ClearExtent::History { 744 } else { 746 };
            (code, proto::ClearRequest { conversation_id, through }.encode_to_vec())
        }
        Command::Presence(presence) => {
            let user_ids = presence.users.iter().map(ToString::to_string).collect();
            (400, proto::PresenceRequest { user_ids, action: action(presence.action) }.encode_to_vec())
        }
        Command::Group(request) => binary_group(request),
        Command::ShowProfile(user) => (736, proto::ProfileRequest { user_id: user.to_string() }.encode_to_vec()),
        Command::SetProfile(profile) => {
            let profile = Some(proto::Profile {
                name: profile.name.to_string(),
                avatar: profile.avatar.to_string(),
                attributes: map_of(&profile.attributes),
            });
            (738, proto::SetProfileRequest { profile }.encode_to_vec())
        }
        Command::RegisterDevice(change) => (750, binary_device(change)),
        Command::UnregisterDevice(device) => {
            (752, proto::DeviceUnregisterRequest { device_id: device.to_string() }.encode_to_vec())
        }
        Command::ShowDevices => (754, Vec::new()),
        Command::Reauthenticate => return None,
    })
}

fn map_of<M: FromIterator<(String, String)>>(pairs: &Extra) -> M {
    pairs.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn binary_group(GroupRequest { group, act }: &GroupRequest) -> (i32, Vec<u8>) {
    let group_id = group.to_string();
    let ids = |users: &[UserId]| users.iter().map(ToString::to_string).collect();
    match act {
        GroupAct::Show { after, limit } => {
            let after = after.as_ref().map(ToString::to_string).unwrap_or_default();
            (720, proto::GroupInfoRequest { group_id, after, limit: *limit as i32 }.encode_to_vec())
        }
        GroupAct::ChangeMembers { add, remove } => {
            (722, proto::GroupMembersRequest { group_id, add: ids(add), remove: ids(remove) }.encode_to_vec())
        }
        GroupAct::ChangeMember { member, role, muted_until } => {
            let body = proto::GroupMemberRequest {
                group_id,
                user_id: member.to_string(),
                role: role.map(|role| role.name().to_owned()),
                muted_until: muted_until.map(|until| until.0.cast_signed()),
            };
            (724, body.encode_to_vec())
        }
        GroupAct::ChangeProfile(change) => {
            let attributes = change.attributes.as_ref().map(|pairs| proto::Attributes { entries: map_of(pairs) });
            let body = proto::GroupProfileRequest {
                group_id,
                name: change.name.as_ref().map(ToString::to_string),
                avatar: change.avatar.as_ref().map(ToString::to_string),
                attributes,
                join: change.join.map(|join| join.name().to_owned()),
            };
            (726, body.encode_to_vec())
        }
        GroupAct::Requests { after, limit } => {
            let after = after.as_ref().map(ToString::to_string).unwrap_or_default();
            (740, proto::GroupRequestsRequest { group_id, after, limit: *limit as i32 }.encode_to_vec())
        }
        GroupAct::AnswerRequest { user, verdict } => (
            742,
            proto::GroupAnswerRequest { group_id, user_id: user.to_string(), answer: verdict.name().to_owned() }
                .encode_to_vec(),
        ),
        GroupAct::Join => (730, proto::GroupRequest { group_id }.encode_to_vec()),
        GroupAct::Dissolve => (732, proto::GroupRequest { group_id }.encode_to_vec()),
    }
}

fn json_group(GroupRequest { group, act }: &GroupRequest) -> (&'static str, Value) {
    let ids = |users: &[UserId]| users.iter().map(|user| user.as_str().to_owned()).collect::<Vec<_>>();
    let (method, params) = match act {
        GroupAct::Show { after, limit } => {
            ("groupInfo", json!({"after": after.as_ref().map(|after| after.as_str()), "limit": limit}))
        }
        GroupAct::ChangeMembers { add, remove } => ("groupMembers", json!({"add": ids(add), "remove": ids(remove)})),
        GroupAct::ChangeMember { member, role, muted_until } => {
            let (role, until) = (role.map(|role| role.name()), muted_until.map(|until| until.0));
            ("groupMember", json!({"userId": member.as_str(), "role": role, "mutedUntil": until}))
        }
        GroupAct::ChangeProfile(change) => {
            let attributes = change.attributes.as_ref().map(map_of::<std::collections::BTreeMap<_, _>>);
            let (name, avatar) = (change.name.as_deref(), change.avatar.as_deref());
            let join = change.join.map(|join| join.name());
            ("groupProfile", json!({"name": name, "avatar": avatar, "attributes": attributes, "join": join}))
        }
        GroupAct::Requests { after, limit } => {
            ("groupRequests", json!({"after": after.as_ref().map(|after| after.as_str()), "limit": limit}))
        }
        GroupAct::AnswerRequest { user, verdict } => {
            ("groupAnswer", json!({"userId": user.as_str(), "answer": verdict.name()}))
        }
        GroupAct::Join => ("joinGroup", json!({})),
        GroupAct::Dissolve => ("dissolveGroup", json!({})),
    };
    (method, joined(json!({"groupId": group.as_str()}), params))
}

fn binary_send(send: &Send) -> proto::SendMessageRequest {
    let (receiver_id, group_id) = match &send.recipient {
        Recipient::User(user) => (user.to_string(), String::new()),
        Recipient::Group(group) => (String::new(), group.to_string()),
    };
    proto::SendMessageRequest {
        client_msg_id: send.client_message_id.to_string(),
        conversation_id: send.conversation_name.as_ref().map(ToString::to_string).unwrap_or_default(),
        sender_id: String::new(),
        receiver_id,
        group_id,
        message_type: send.message_type,
        content: send.content.bytes().clone(),
        send_time: send.send_time,
        extra: send.extra.iter().map(|(key, value)| (key.into(), value.into())).collect(),
    }
}

fn named(conversation: &ConversationRef) -> Option<String> {
    match conversation {
        ConversationRef::Named(name) => Some(name.to_string()),
        ConversationRef::With(_) => None,
    }
}

/// `min_seq`, `max_seq`, `limit`.
fn sync_fields(sync: Sync) -> (i64, i64, i32) {
    let limit = sync.limit.cast_signed();
    match sync.direction {
        SyncDirection::After(seq) => (0, seq.0.cast_signed(), limit),
        SyncDirection::Before(seq) => (seq.0.cast_signed(), 0, -limit),
    }
}

fn places(direction: HistoryDirection) -> (Option<i64>, Option<i64>) {
    match direction {
        HistoryDirection::After(seq) => (Some(seq.0.cast_signed()), None),
        HistoryDirection::Before(seq) => (None, Some(seq.0.cast_signed())),
    }
}

fn action(action: PresenceAction) -> i32 {
    match action {
        PresenceAction::Query => 0,
        PresenceAction::Subscribe => 1,
        PresenceAction::Unsubscribe => 2,
    }
}

/// The method and its params; `None` when the protocol cannot say it.
pub fn json_rpc(command: &Command) -> Option<(&'static str, Value)> {
    let with = |conversation: &ConversationRef, more: Value| {
        let ConversationRef::With(recipient) = conversation else { return None };
        Some(joined(channel(recipient), more))
    };
    Some(match command {
        Command::Send(send) => ("send", json_send(send)),
        Command::Sync(sync) => {
            let (min_seq, max_seq, limit) = sync_fields(*sync);
            ("sync", json!({"minSeq": min_seq, "maxSeq": max_seq, "limit": limit}))
        }
        Command::Ack(Ack::Through(seq)) => ("recvack", json!({"inboxSeq": seq.0})),
        Command::Ack(Ack::Message(id)) => ("recvack", json!({"messageId": id.to_string(), "messageSeq": 1})),
        Command::Revoke(revoke) => {
            ("revoke", with(&revoke.conversation, json!({"messageId": revoke.message.to_string()}))?)
        }
        Command::Receipt(receipt) => {
            let ids: Vec<String> = receipt.messages.iter().map(ToString::to_string).collect();
            ("receipt", with(&receipt.conversation, json!({"messageIds": ids}))?)
        }
        Command::Typing(typing) => ("typing", with(&typing.conversation, json!({"status": typing.status}))?),
        Command::History(history) => {
            let (after, before) = places(history.direction);
            let topic = history.topic.as_deref();
            let more = json!({"afterSeq": after, "beforeSeq": before, "limit": history.limit, "topic": topic});
            ("history", with(&history.conversation, more)?)
        }
        Command::Conversations(wanted) => {
            ("conversations", json!({"beforeSeq": wanted.before.0, "limit": wanted.limit}))
        }
        Command::MarkRead(mark) => ("markRead", with(&mark.conversation, json!({"through": mark.through.0}))?),
        Command::Clear(clear) => {
            let method = if clear.extent == ClearExtent::History { "clearHistory" } else { "deleteConversation" };
            (method, with(&clear.conversation, json!({"through": clear.through.0}))?)
        }
        Command::Presence(presence) => {
            let users: Vec<&str> = presence.users.iter().map(mushan::model::UserId::as_str).collect();
            ("presence", json!({"userIds": users, "action": action(presence.action)}))
        }
        Command::Group(request) => json_group(request),
        Command::ShowProfile(user) => ("profile", json!({"userId": user.as_str()})),
        Command::SetProfile(profile) => {
            let attributes: std::collections::BTreeMap<String, String> = map_of(&profile.attributes);
            let (name, avatar) = (profile.name.as_str(), profile.avatar.as_str());
            ("setProfile", json!({"name": name, "avatar": avatar, "attributes": attributes}))
        }
        Command::RegisterDevice(change) => ("registerDevice", json_device(change)),
        Command::UnregisterDevice(device) => ("unregisterDevice", json!({"deviceId": device.as_str()})),
        Command::ShowDevices => ("devices", json!({})),
        Command::Reauthenticate => return None,
    })
}

fn channel(recipient: &Recipient) -> Value {
    match recipient {
        Recipient::User(user) => json!({"channelId": user.as_str(), "channelType": 1}),
        Recipient::Group(group) => json!({"channelId": group.as_str(), "channelType": 2}),
    }
}

fn joined(one: Value, other: Value) -> Value {
    let (Value::Object(mut one), Value::Object(other)) = (one, other) else { panic!("two objects") };
    one.extend(other);
    Value::Object(one)
}

/// Objects are sent as they are where serde_json writes their bytes, and all else in base64: text may look like it.
fn json_send(send: &Send) -> Value {
    let object = serde_json::from_slice::<Map<String, Value>>(&send.content).ok();
    let payload = match object {
        Some(object) if Value::from(object.clone()).to_string().as_bytes() == &send.content[..] => Value::from(object),
        _ => Value::from(BASE64_STANDARD.encode(&send.content)),
    };
    let mut params = joined(channel(&send.recipient), json!({"clientMsgNo": send.client_message_id.as_str()}));
    params["payload"] = payload;
    if !send.extra.is_empty() {
        params["extra"] = pairs(&send.extra);
    }
    match &send.annotations {
        Some(annotations) => joined(params, annotated(annotations)),
        None => params,
    }
}

pub fn pairs(extra: &Extra) -> Value {
    Value::Object(extra.iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect())
}

fn annotated(annotations: &Annotations) -> Value {
    let (header, setting, chunk) = (annotations.header, annotations.setting, annotations.chunk.as_ref());
    json!({
        "header": {"noPersist": header.no_persist, "redDot": header.red_dot, "syncOnce": header.sync_once, "dup": header.dup},
        "setting": {"receipt": setting.receipt, "topic": setting.topic, "stream": chunk.is_some()},
        "topic": annotations.topic.as_deref(),
        "msgKey": annotations.message_key.as_deref(),
        "expire": annotations.expire_s,
        "streamNo": chunk.map(|chunk| chunk.stream.as_str()),
        "streamFlag": chunk.map(|chunk| phase(chunk.phase)),
    })
}

pub fn phase(phase: ChunkPhase) -> u8 {
    match phase {
        ChunkPhase::First => 0,
        ChunkPhase::Next => 1,
        ChunkPhase::Last => 2,
    }
}

fn parts_of(change: &PushChange) -> [String; 4] {
    let Some(token) = &change.token else { return [const { String::new() }; 4] };
    let (p256dh, auth) = token.keys();
    [token.provider().name(), token.address(), p256dh, auth].map(str::to_owned)
}

fn binary_device(change: &PushChange) -> Vec<u8> {
    let [provider, token, p256dh, auth] = parts_of(change);
    let quiet = change.settings.quiet.map(|quiet| {
        let (from, until, utc_offset) = quiet.parts();
        proto::QuietHours { from: from.into(), until: until.into(), utc_offset: utc_offset.into() }
    });
    let request = proto::DeviceRegisterRequest {
        device_id: change.device.to_string(),
        provider,
        token,
        p256dh,
        auth,
        locale: change.settings.locale().to_owned(),
        muted: change.settings.is_muted,
        quiet,
    };
    request.encode_to_vec()
}

fn json_device(change: &PushChange) -> Value {
    let [provider, token, p256dh, auth] = parts_of(change);
    let quiet = change.settings.quiet.map(|quiet| {
        let (from, until, utc_offset) = quiet.parts();
        json!({"from": from, "until": until, "utcOffset": utc_offset})
    });
    json!({
        "deviceId": change.device.as_str(), "provider": provider, "token": token, "p256dh": p256dh, "auth": auth,
        "locale": change.settings.locale(), "muted": change.settings.is_muted, "quiet": quiet,
    })
}
