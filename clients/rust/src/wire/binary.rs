//! The binary protocol (`proto/im.proto`): requests to envelopes.

use super::binary_heard::{Names, decode};
use super::dialect::{AnswerShape, Dialect, Frame, Heard};
use super::proto::{self, CommandType};
use super::text::extra_of;
use crate::model::{
    ClearExtent, JoinAnswer, Outgoing, PageStart, PresenceAction, Profile, RefusalKind, Refused, Request, Target,
    TypingState,
};
use prost::Message as _;

/// The dialect of `/ws`. One for each session: it learns the user's own names of conversations.
#[derive(Default)]
pub struct BinaryDialect {
    names: Names,
}

impl Dialect for BinaryDialect {
    fn path(&self) -> &'static str {
        "/ws"
    }

    fn encode(&mut self, request: &Request, tag: u32) -> Result<Frame, Refused> {
        if let Request::Login { user, .. } = request {
            self.names.user.clone_from(user);
        }
        let (command, body) = match request {
            // Its user has to be the session's.
            Request::Reauth { token } => {
                let (user_id, token) = (self.names.user.clone(), token.clone());
                coded(CommandType::CmdReauthReq, &proto::AuthRequest { user_id, token, platform: String::new() })?
            }
            _ => body_of(request)?,
        };
        let sequence = if matches!(request, Request::Ack { .. }) { 0 } else { tag };
        let envelope = proto::WebSocketMessage { command: command.into(), sequence, body: body.into(), timestamp: 0 };
        Ok(Frame::Binary(envelope.encode_to_vec().into()))
    }

    fn decode(&mut self, frame: &Frame, shape_of: &dyn Fn(u32) -> Option<AnswerShape>) -> Heard {
        match frame {
            Frame::Binary(bytes) => decode(bytes.clone(), shape_of, &mut self.names).unwrap_or(Heard::Noise),
            Frame::Text(_) => Heard::Noise,
        }
    }
}

type Coded = (CommandType, Vec<u8>);

/// An unambiguous name, which means the same conversation whatever the user has named so.
fn name_of(target: &Target) -> String {
    match target {
        Target::User(user) => format!("peer:{user}"),
        Target::Group(group) => format!("group:{group}"),
    }
}

fn coded(command: CommandType, body: &impl prost::Message) -> Result<Coded, Refused> {
    Ok((command, body.encode_to_vec()))
}

/// Seqs and limits are signed on the wire; no server has seqs beyond that.
fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn limited(limit: u32) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

fn body_of(request: &Request) -> Result<Coded, Refused> {
    match request {
        Request::Login { user, token, device } => {
            let body = proto::AuthRequest { user_id: user.clone(), token: token.clone(), platform: device.clone() };
            coded(CommandType::CmdAuthReq, &body)
        }
        Request::Heartbeat => coded(CommandType::CmdHeartbeatReq, &proto::HeartbeatRequest::default()),
        Request::Ack { seq } => {
            let body = proto::MessageAck { message_id: String::new(), seq: signed(*seq) };
            coded(CommandType::CmdMsgAck, &body)
        }
        Request::Send(message) => send_body(message),
        Request::Sync { after, limit } => {
            let body = proto::SyncRequest { min_seq: 0, max_seq: signed(*after), limit: limited(*limit) };
            coded(CommandType::CmdSyncReq, &body)
        }
        Request::SyncNewest => {
            coded(CommandType::CmdSyncReq, &proto::SyncRequest { min_seq: 0, max_seq: 0, limit: -1 })
        }
        Request::SetProfile(profile) => {
            let Profile { name, avatar, attributes } = profile.clone();
            let body = proto::SetProfileRequest { profile: Some(proto::Profile { name, avatar, attributes }) };
            coded(CommandType::CmdSetProfileReq, &body)
        }
        Request::Profile { user } => {
            coded(CommandType::CmdProfileReq, &proto::ProfileRequest { user_id: user.clone() })
        }
        Request::Presence { users, action } => {
            let action = match action {
                PresenceAction::Query => 0,
                PresenceAction::Subscribe => 1,
                PresenceAction::Unsubscribe => 2,
            };
            let body = proto::PresenceRequest { user_ids: users.clone(), action };
            coded(CommandType::CmdPresenceReq, &body)
        }
        _ => conversation_body(request).unwrap_or_else(|| group_body(request)),
    }
}

fn send_body(message: &Outgoing) -> Result<Coded, Refused> {
    let Outgoing { topic, expire_seconds, is_unstored, wants_receipt, .. } = message;
    if *is_unstored || *wants_receipt || topic.is_some() || expire_seconds.is_some() {
        let text = "only JSON-RPC has topics, expiry, receipts on request and unstored messages";
        return Err(Refused::own(RefusalKind::Unsupported, text));
    }
    let (receiver_id, group_id) = match &message.to {
        Target::User(user) => (user.clone(), String::new()),
        Target::Group(group) => (String::new(), group.clone()),
    };
    let body = proto::SendMessageRequest {
        client_msg_id: message.client_id.clone(),
        receiver_id,
        group_id,
        message_type: message.message_type,
        content: message.content.clone(),
        send_time: message.send_time_ms,
        extra: extra_of(&message.extra, message.stream.as_ref()),
        ..Default::default()
    };
    coded(CommandType::CmdSendMsgReq, &body)
}

fn conversation_body(request: &Request) -> Option<Result<Coded, Refused>> {
    let coded = match request {
        Request::History { conversation, start, limit, topic } => {
            let (after_seq, before_seq) = match start {
                PageStart::After(seq) => (Some(signed(*seq)), None),
                PageStart::Before(seq) => (None, Some(signed(*seq))),
            };
            let topic = topic.clone().unwrap_or_default();
            let limit = limited(*limit);
            let conversation_id = name_of(conversation);
            let body = proto::HistoryRequest { conversation_id, after_seq, before_seq, limit, topic };
            coded(CommandType::CmdHistoryReq, &body)
        }
        Request::Conversations { before_seq, limit } => {
            let body = proto::ConversationsRequest { before_seq: signed(*before_seq), limit: limited(*limit) };
            coded(CommandType::CmdConversationsReq, &body)
        }
        Request::Revoke { conversation, message_id } => {
            let conversation_id = name_of(conversation);
            let body = proto::RevokeMessageRequest { message_id: message_id.clone(), conversation_id };
            coded(CommandType::CmdRevokeMsgReq, &body)
        }
        Request::Receipt { conversation, message_ids } => {
            let conversation_id = name_of(conversation);
            let body = proto::ReadReceiptRequest { message_ids: message_ids.clone(), conversation_id };
            coded(CommandType::CmdReadReceiptReq, &body)
        }
        Request::MarkRead { conversation, through } => {
            let body = proto::MarkReadRequest { conversation_id: name_of(conversation), through: signed(*through) };
            coded(CommandType::CmdMarkReadReq, &body)
        }
        Request::Clear { conversation, through, extent } => {
            let command = match extent {
                ClearExtent::History => CommandType::CmdClearHistoryReq,
                ClearExtent::Conversation => CommandType::CmdDeleteConversationReq,
            };
            let body = proto::ClearRequest { conversation_id: name_of(conversation), through: signed(*through) };
            coded(command, &body)
        }
        Request::Typing { conversation, state } => {
            let status = i32::from(*state == TypingState::Typing);
            let body = proto::TypingStatusRequest { conversation_id: name_of(conversation), status };
            coded(CommandType::CmdTypingStatusReq, &body)
        }
        _ => return None,
    };
    Some(coded)
}

fn group_body(request: &Request) -> Result<Coded, Refused> {
    match request {
        Request::GroupInfo { group, after, limit } => {
            let body =
                proto::GroupInfoRequest { group_id: group.clone(), after: after.clone(), limit: limited(*limit) };
            coded(CommandType::CmdGroupInfoReq, &body)
        }
        Request::GroupMembers { group, add, remove } => {
            let body = proto::GroupMembersRequest { group_id: group.clone(), add: add.clone(), remove: remove.clone() };
            coded(CommandType::CmdGroupMembersReq, &body)
        }
        Request::GroupMember { group, user, role, muted_until_ms } => {
            let body = proto::GroupMemberRequest {
                group_id: group.clone(),
                user_id: user.clone(),
                role: role.clone(),
                muted_until: *muted_until_ms,
            };
            coded(CommandType::CmdGroupMemberReq, &body)
        }
        Request::GroupProfile { group, name, avatar, attributes, join } => {
            let body = proto::GroupProfileRequest {
                group_id: group.clone(),
                name: name.clone(),
                avatar: avatar.clone(),
                attributes: attributes.clone().map(|entries| proto::Attributes { entries }),
                join: join.clone(),
            };
            coded(CommandType::CmdGroupProfileReq, &body)
        }
        Request::LeaveGroup { group } => one_group(CommandType::CmdGroupLeaveReq, group),
        Request::JoinGroup { group } => one_group(CommandType::CmdGroupJoinReq, group),
        Request::DissolveGroup { group } => one_group(CommandType::CmdGroupDissolveReq, group),
        Request::GroupRequests { group, after, limit } => {
            let body =
                proto::GroupRequestsRequest { group_id: group.clone(), after: after.clone(), limit: limited(*limit) };
            coded(CommandType::CmdGroupRequestsReq, &body)
        }
        Request::GroupAnswer { group, user, answer } => {
            let answer = match answer {
                JoinAnswer::Approve => "approve",
                JoinAnswer::Decline => "decline",
            };
            let body =
                proto::GroupAnswerRequest { group_id: group.clone(), user_id: user.clone(), answer: answer.to_owned() };
            coded(CommandType::CmdGroupAnswerReq, &body)
        }
        _ => Err(Refused::own(RefusalKind::Unsupported, "the binary protocol has no such request")),
    }
}

fn one_group(command: CommandType, group: &str) -> Result<Coded, Refused> {
    coded(command, &proto::GroupRequest { group_id: group.to_owned() })
}
