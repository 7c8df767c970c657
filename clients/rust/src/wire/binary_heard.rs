//! What the server says in the binary protocol, in the words of the model.

use super::dialect::{AnswerShape, Heard};
use super::proto::{self, CommandType, ErrorCode};
use super::text::stream_of;
use crate::model::{
    Answer, ClearExtent, Cleared, ConversationRow, Entry, EntryBody, GroupInfo, GroupMember, HistoryPage, JoinRequest,
    Message, PresenceState, Profile, Receipt, RefusalKind, Refused, Revoked, Sent, Target, Typing, TypingState,
};
use bytes::Bytes;
use prost::Message as _;
use std::collections::BTreeMap;

const REVOKED: i32 = 1001;
const RECEIPT: i32 = 1002;
const GROUP_CHANGE: i32 = 1003;
const CLEARED: i32 = 1004;

/// Names of the user's own that are remembered at most.
const LEARNED_MAX: usize = 10_000;

/// Which conversation a name means to this user. Messages tell it; pushes without a message (revocations, receipts,
/// typing) have only the name.
#[derive(Default)]
pub struct Names {
    pub user: String,
    learned: BTreeMap<String, Target>,
}

impl Names {
    fn learn(&mut self, name: &str, target: &Target) {
        if self.learned.len() >= LEARNED_MAX {
            self.learned.clear();
        }
        self.learned.insert(name.to_owned(), target.clone());
    }

    /// `other` is the user who caused the push: the peer, unless it is this user.
    fn meant(&self, name: &str, other: &str) -> Target {
        if let Some(target) = self.learned.get(name) {
            return target.clone();
        }
        if let Some(group) = name.strip_prefix("group:").or_else(|| name.strip_prefix("group_")) {
            return Target::group(group);
        }
        if let Some(peer) = name.strip_prefix("peer:") {
            return Target::user(peer);
        }
        Target::user(if other == self.user { self.peer_in(name) } else { other })
    }

    /// The peer in `single_<a>_<b>`.
    fn peer_in<'a>(&self, name: &'a str) -> &'a str {
        let pair = name.strip_prefix("single_").unwrap_or(name);
        let first = pair.strip_prefix(&*self.user).and_then(|rest| rest.strip_prefix('_'));
        let last = || pair.strip_suffix(&*self.user).and_then(|rest| rest.strip_suffix('_'));
        first.or_else(last).unwrap_or(pair)
    }
}

/// `None`: nothing that this client knows.
pub fn decode(bytes: Bytes, shape_of: &dyn Fn(u32) -> Option<AnswerShape>, names: &mut Names) -> Option<Heard> {
    let envelope = proto::WebSocketMessage::decode(bytes).ok()?;
    if envelope.sequence == 0 { pushed(&envelope, names) } else { answered(&envelope, shape_of, names) }
}

fn pushed(envelope: &proto::WebSocketMessage, names: &mut Names) -> Option<Heard> {
    let body = envelope.body.clone();
    let unplaced = |body| Heard::Entry(Entry { seq: 0, id: String::new(), body });
    match envelope.command() {
        CommandType::CmdPushMsg => Some(Heard::Entry(entry_of(proto::PushMessage::decode(body).ok()?, names)?)),
        CommandType::CmdRevokeMsgPush => Some(unplaced(EntryBody::Revoked(revoked_of(body, names)?))),
        CommandType::CmdReadReceiptPush => Some(unplaced(EntryBody::Receipt(receipt_of(body, names)?))),
        CommandType::CmdTypingStatusPush => {
            let push = proto::TypingStatusPush::decode(body).ok()?;
            let conversation = names.meant(&push.conversation_id, &push.user_id);
            let state = if push.status == 1 { TypingState::Typing } else { TypingState::Stopped };
            Some(Heard::Typing(Typing { conversation, user: push.user_id, state }))
        }
        CommandType::CmdPresencePush => Some(Heard::Presence(state_of(proto::PresenceState::decode(body).ok()?))),
        CommandType::CmdKickOut => {
            let said = proto::KickOutNotification::decode(body).ok()?;
            // Another device, a disabled account.
            Some(Heard::Farewell { is_final: matches!(said.reason, 1 | 2), reason: said.message })
        }
        _ => None,
    }
}

fn answered(
    envelope: &proto::WebSocketMessage,
    shape_of: &dyn Fn(u32) -> Option<AnswerShape>,
    names: &mut Names,
) -> Option<Heard> {
    let tag = envelope.sequence;
    if envelope.command() == CommandType::CmdHeartbeatRsp {
        return Some(Heard::Answer { tag, answer: Answer::Done });
    }
    // Every response begins with these two fields.
    let said = proto::UnknownResponse::decode(envelope.body.clone()).ok()?;
    if said.error_code != i32::from(ErrorCode::ErrSuccess) {
        let refused =
            Refused { kind: refusal_kind(said.error_code), code: said.error_code.into(), text: said.error_msg };
        return Some(Heard::Refused { tag, refused });
    }
    let answer = answer_of(shape_of(tag)?, envelope.body.clone(), names)?;
    Some(Heard::Answer { tag, answer })
}

fn refusal_kind(code: i32) -> RefusalKind {
    match ErrorCode::try_from(code) {
        Ok(ErrorCode::ErrUnknown) => RefusalKind::Unavailable,
        Ok(ErrorCode::ErrInvalidParam) => RefusalKind::Invalid,
        Ok(ErrorCode::ErrAuthFailed) => RefusalKind::Unauthenticated,
        Ok(ErrorCode::ErrTokenExpired) => RefusalKind::TokenExpired,
        Ok(ErrorCode::ErrPermissionDenied) => RefusalKind::Denied,
        Ok(ErrorCode::ErrUserNotExist) => RefusalKind::NoSuchUser,
        Ok(ErrorCode::ErrMessageTooLarge) => RefusalKind::TooLarge,
        Ok(ErrorCode::ErrSendTooFast) => RefusalKind::TooFast,
        Ok(ErrorCode::ErrConversationNotExist) => RefusalKind::NoSuchConversation,
        Ok(ErrorCode::ErrSuccess) | Err(_) if (128..=255).contains(&code) => RefusalKind::Operator,
        Ok(ErrorCode::ErrSuccess) | Err(_) => RefusalKind::Unknown,
    }
}

/// Seqs are not negative; what is, is no seq.
fn seq(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn target_of(push: &proto::PushMessage, names: &Names) -> Target {
    if !push.group_id.is_empty() {
        return Target::group(&*push.group_id);
    }
    Target::user(if push.sender_id == names.user { &*push.receiver_id } else { &*push.sender_id })
}

fn entry_of(push: proto::PushMessage, names: &mut Names) -> Option<Entry> {
    let target = target_of(&push, names);
    names.learn(&push.conversation_id, &target);
    let (seq, id) = (seq(push.seq), push.message_id.clone());
    let body = match push.message_type {
        REVOKED => EntryBody::Revoked(revoked_of(push.content, names)?),
        RECEIPT => EntryBody::Receipt(receipt_of(push.content, names)?),
        GROUP_CHANGE => EntryBody::Group(serde_json::from_slice(&push.content).ok()?),
        CLEARED => EntryBody::Cleared(cleared_of(&push.content, target)?),
        _ => EntryBody::Message(message_of(push, target, None)),
    };
    Some(Entry { seq, id, body })
}

fn cleared_of(content: &[u8], conversation: Target) -> Option<Cleared> {
    #[derive(serde::Deserialize)]
    struct Said {
        change: String,
        through: u64,
        time: i64,
    }
    let said: Said = serde_json::from_slice(content).ok()?;
    let extent = if said.change == "conversationDeleted" { ClearExtent::Conversation } else { ClearExtent::History };
    Some(Cleared { conversation, extent, through: said.through, time_ms: said.time })
}

fn message_of(push: proto::PushMessage, conversation: Target, conversation_seq: Option<u64>) -> Message {
    Message {
        stream: stream_of(&push.extra),
        is_revoked: push.extra.get("revoked").is_some_and(|revoked| revoked == "1"),
        id: push.message_id,
        client_id: push.client_msg_id,
        conversation,
        from: push.sender_id,
        message_type: push.message_type,
        content: push.content,
        time_ms: push.server_time,
        seq: seq(push.seq),
        conversation_seq,
        extra: push.extra,
        wants_receipt: false,
        topic: None,
        expire_seconds: None,
    }
}

fn revoked_of(body: Bytes, names: &Names) -> Option<Revoked> {
    let push = proto::RevokeMessagePush::decode(body).ok()?;
    let conversation = names.meant(&push.conversation_id, &push.revoked_by);
    Some(Revoked { conversation, message_id: push.message_id, by: push.revoked_by, time_ms: push.revoked_time })
}

fn receipt_of(body: Bytes, names: &Names) -> Option<Receipt> {
    let push = proto::ReadReceiptPush::decode(body).ok()?;
    let conversation = names.meant(&push.conversation_id, &push.user_id);
    Some(Receipt { conversation, message_ids: push.message_ids, by: push.user_id, time_ms: push.read_time })
}

fn state_of(state: proto::PresenceState) -> PresenceState {
    PresenceState { user: state.user_id, is_online: state.online, last_seen_ms: state.last_seen }
}

fn profile_of(profile: Option<proto::Profile>) -> Profile {
    let proto::Profile { name, avatar, attributes } = profile.unwrap_or_default();
    Profile { name, avatar, attributes }
}

fn answer_of(shape: AnswerShape, body: Bytes, names: &mut Names) -> Option<Answer> {
    Some(match shape {
        AnswerShape::Login => Answer::Login { epoch: proto::AuthResponse::decode(body).ok()?.inbox_epoch },
        AnswerShape::Sent => {
            let said = proto::SendMessageResponse::decode(body).ok()?;
            let (id, time_ms) = (said.message_id, Some(said.server_time));
            Answer::Sent(Sent { id, seq: seq(said.seq), conversation_seq: None, time_ms })
        }
        AnswerShape::Page => {
            let said = proto::SyncResponse::decode(body).ok()?;
            let entries = said.messages.into_iter().map(|push| entry_of(push, names)).collect::<Option<_>>()?;
            Answer::Page { entries, server_max_seq: seq(said.server_max_seq), has_more: said.has_more }
        }
        AnswerShape::History => Answer::History(history_of(proto::HistoryResponse::decode(body).ok()?, names)?),
        AnswerShape::Conversations => {
            let said = proto::ConversationsResponse::decode(body).ok()?;
            let rows = said.conversations.into_iter().map(|row| row_of(row, names)).collect::<Option<_>>()?;
            Answer::Conversations { rows, has_more: said.has_more }
        }
        AnswerShape::Presence => {
            let states = proto::PresenceResponse::decode(body).ok()?.states;
            Answer::Presence(states.into_iter().map(state_of).collect())
        }
        AnswerShape::Group => Answer::Group(group_of(proto::GroupInfoResponse::decode(body).ok()?)),
        AnswerShape::JoinRequests => {
            let said = proto::GroupRequestsResponse::decode(body).ok()?;
            let request = |it: proto::JoinRequest| JoinRequest { user: it.user_id, time_ms: it.time };
            let requests = said.requests.into_iter().map(request).collect();
            Answer::JoinRequests { requests, has_more: said.has_more }
        }
        AnswerShape::Profile => {
            let said = proto::ProfileResponse::decode(body).ok()?;
            Answer::Profile { user: said.user_id, profile: profile_of(said.profile) }
        }
        AnswerShape::Done => Answer::Done,
    })
}

fn history_of(said: proto::HistoryResponse, names: &mut Names) -> Option<HistoryPage> {
    let (mut messages, mut facts) = (Vec::new(), Vec::new());
    for item in said.messages {
        let push = item.message?;
        if (REVOKED..=CLEARED).contains(&push.message_type) {
            facts.push(entry_of(push, names)?);
        } else {
            let target = target_of(&push, names);
            messages.push(message_of(push, target, Some(seq(item.conversation_seq))));
        }
    }
    let (newest_seq, reached_seq) = (seq(said.newest_seq), seq(said.reached_seq));
    Some(HistoryPage { messages, facts, newest_seq, reached_seq, has_more: said.has_more })
}

fn row_of(row: proto::ConversationRow, names: &mut Names) -> Option<ConversationRow> {
    let conversation = if row.group_id.is_empty() { Target::user(row.peer_id) } else { Target::group(row.group_id) };
    names.learn(&row.conversation_id, &conversation);
    Some(ConversationRow {
        conversation,
        last: row.last.map(|last| entry_of(last, names).ok_or(())).transpose().ok()?,
        last_seq: seq(row.last_seq),
        unread: seq(row.unread),
        read_through: seq(row.read_through),
        newest_seq: seq(row.newest_seq),
    })
}

fn group_of(said: proto::GroupInfoResponse) -> GroupInfo {
    let member =
        |it: proto::GroupMember| GroupMember { user: it.user_id, role: it.role, muted_until_ms: it.muted_until };
    GroupInfo {
        group: said.group_id,
        owner: said.owner_id,
        created_ms: said.created,
        member_count: seq(said.member_count),
        newest_seq: seq(said.newest_seq),
        profile: profile_of(said.profile),
        join: said.join,
        members: said.members.into_iter().map(member).collect(),
    }
}
