//! Encodes the vocabulary as messages of the binary protocol: whole WebSocket frames in one pass.
//!
//! Invariant: the bytes are what any protobuf encoder would write, fields in order and defaults left out.

use crate::model::{
    Closing, Conversation, ConversationRow, Entry, Event, Fact, GroupState, JoinRequest, JoinRequests, Member, Millis,
    PresenceState, Profile, PushDevice, Recipient, Refused, Reply, Seq, UserId, Verb,
};
use crate::wire::base::frame::{FrameKind, push_header};
use crate::wire::common::incoming::Context;
use crate::wire::protobuf::body::{EnvelopeBody, MessageBody, SyncedBody, put_sent};
use crate::wire::protobuf::fact;
use crate::wire::protobuf::fields::{long_key, message_bytes, number_bytes, put_number, put_varint, varint_key};
use crate::wire::protobuf::im::{self, CommandType, ErrorCode};
use crate::wire::protobuf::name::name_of;

/// The envelope's fields.
const COMMAND_KEY: u8 = varint_key(1);
const SEQUENCE_KEY: u8 = varint_key(2);
const BODY_KEY: u8 = long_key(3);
const TIMESTAMP_KEY: u8 = varint_key(4);

/// Appends a frame with `body` in its envelope.
pub(in crate::wire) fn push_envelope(
    out: &mut Vec<u8>,
    now: Millis,
    command: CommandType,
    sequence: u32,
    body: &impl EnvelopeBody,
) {
    let command = u64::from((command as i32).cast_unsigned());
    let body_bytes = body.bytes();
    let body_field_bytes = if body_bytes == 0 { 0 } else { message_bytes(body_bytes) };
    let length = number_bytes(command) + number_bytes(sequence.into()) + number_bytes(now.0) + body_field_bytes;
    out.reserve(length + 10);
    push_header(out, FrameKind::Binary, length);
    put_number(out, COMMAND_KEY, command);
    put_number(out, SEQUENCE_KEY, sequence.into());
    if body_bytes > 0 {
        out.push(BODY_KEY);
        put_varint(out, body_bytes as u64);
        body.put(out);
    }
    put_number(out, TIMESTAMP_KEY, now.0);
}

/// As `push_envelope`, for a body that `put` appends and that is so short that each length has one byte. The lengths are
/// set afterwards, so that nothing is measured first.
fn push_short_envelope(
    out: &mut Vec<u8>,
    now: Millis,
    command: CommandType,
    sequence: u32,
    put: impl FnOnce(&mut Vec<u8>),
) {
    push_header(out, FrameKind::Binary, 0);
    let start = out.len();
    put_number(out, COMMAND_KEY, u64::from((command as i32).cast_unsigned()));
    put_number(out, SEQUENCE_KEY, sequence.into());
    out.extend_from_slice(&[BODY_KEY, 0]);
    let body_start = out.len();
    put(out);
    out[body_start - 1] = (out.len() - body_start) as u8;
    put_number(out, TIMESTAMP_KEY, now.0);
    let length = out.len() - start;
    assert!(length < 126 && out[body_start - 1] > 0, "a short body is short, and not empty");
    out[start - 1] = length as u8;
}

/// The command code of the response to a verb. A verb without a response is answered with the unknown command, and only
/// when it is refused.
pub(in crate::wire) fn response_to(verb: Verb) -> CommandType {
    match verb {
        Verb::Authenticate => CommandType::CmdAuthRsp,
        Verb::Reauthenticate => CommandType::CmdReauthRsp,
        Verb::Send => CommandType::CmdSendMsgRsp,
        Verb::Sync => CommandType::CmdSyncRsp,
        Verb::Revoke => CommandType::CmdRevokeMsgRsp,
        Verb::Receipt => CommandType::CmdReadReceiptRsp,
        Verb::History => CommandType::CmdHistoryRsp,
        Verb::Conversations => CommandType::CmdConversationsRsp,
        Verb::MarkRead => CommandType::CmdMarkReadRsp,
        Verb::ClearHistory => CommandType::CmdClearHistoryRsp,
        Verb::DeleteConversation => CommandType::CmdDeleteConversationRsp,
        Verb::Presence => CommandType::CmdPresenceRsp,
        Verb::ShowGroup => CommandType::CmdGroupInfoRsp,
        Verb::ChangeMembers => CommandType::CmdGroupMembersRsp,
        Verb::ChangeMember => CommandType::CmdGroupMemberRsp,
        Verb::ChangeGroup => CommandType::CmdGroupProfileRsp,
        Verb::LeaveGroup => CommandType::CmdGroupLeaveRsp,
        Verb::JoinGroup => CommandType::CmdGroupJoinRsp,
        Verb::ListRequests => CommandType::CmdGroupRequestsRsp,
        Verb::AnswerRequest => CommandType::CmdGroupAnswerRsp,
        Verb::DissolveGroup => CommandType::CmdGroupDissolveRsp,
        Verb::ShowProfile => CommandType::CmdProfileRsp,
        Verb::SetProfile => CommandType::CmdSetProfileRsp,
        Verb::RegisterDevice => CommandType::CmdDeviceRegisterRsp,
        Verb::UnregisterDevice => CommandType::CmdDeviceUnregisterRsp,
        Verb::ShowDevices => CommandType::CmdDevicesRsp,
        Verb::Ack | Verb::Typing => CommandType::CmdUnknown,
    }
}

/// Appends a response with an error; every response begins with these two fields.
pub(in crate::wire) fn push_refusal(out: &mut Vec<u8>, now: Millis, verb: Verb, sequence: u32, refused: Refused) {
    push_envelope(out, now, response_to(verb), sequence, &no(refused));
}

/// Appends the refusal of a frame that is not a known request.
pub(in crate::wire) fn push_unknown(out: &mut Vec<u8>, now: Millis, sequence: u32, refused: Refused) {
    push_envelope(out, now, CommandType::CmdUnknown, sequence, &no(refused));
}

fn no(refused: Refused) -> im::UnknownResponse {
    im::UnknownResponse { error_code: refused.refusal.error_code(), error_msg: refused.detail.to_owned() }
}

/// The request that a reply answers, and the user who sees the reply.
#[derive(Clone, Copy)]
pub(in crate::wire) struct AnsweredRequest<'a> {
    pub sequence: u32,
    pub verb: Verb,
    pub viewer: &'a UserId,
}

/// Appends the reply to the request.
pub(in crate::wire) fn push_reply(
    out: &mut Vec<u8>,
    now: Millis,
    request: AnsweredRequest<'_>,
    reply: &Reply,
    context: &Context,
) {
    let AnsweredRequest { sequence, verb, viewer } = request;
    // An empty String has no memory.
    let (error_code, error_msg, response) = (ErrorCode::ErrSuccess.into(), String::new(), response_to(verb));
    match reply {
        Reply::Welcome { max_seq } | Reply::Reauthenticated { max_seq } => {
            let (max_seq, inbox_epoch) = (signed(max_seq.0), context.inbox_epoch);
            let body = im::AuthResponse { error_code, error_msg, max_seq, inbox_epoch };
            push_envelope(out, now, response, sequence, &body);
        }
        Reply::Sent { message_id, seq, server_time, conversation_seq: _ } => {
            push_short_envelope(out, now, response, sequence, |out| put_sent(out, *message_id, *seq, *server_time));
        }
        Reply::Synced { entries, server_max_seq, has_more } => {
            let body = SyncedBody::new(viewer, entries, *server_max_seq, *has_more);
            push_envelope(out, now, response, sequence, &body);
        }
        Reply::History { messages, reached, newest_seq, has_more } => {
            let messages = messages.iter().map(|entry| history_message(viewer, entry)).collect();
            let (newest_seq, reached_seq, has_more) = (signed(newest_seq.0), signed(reached.0), *has_more);
            let body = im::HistoryResponse { error_code, error_msg, messages, newest_seq, has_more, reached_seq };
            push_envelope(out, now, response, sequence, &body);
        }
        Reply::Conversations { rows, has_more } => {
            let conversations = rows.iter().map(|row| conversation_row(viewer, row)).collect();
            let body = im::ConversationsResponse { error_code, error_msg, conversations, has_more: *has_more };
            push_envelope(out, now, response, sequence, &body);
        }
        Reply::Presence(states) => {
            let states = states.iter().map(presence_state).collect();
            push_envelope(out, now, response, sequence, &im::PresenceResponse { error_code, error_msg, states });
        }
        Reply::Group(group) => push_envelope(out, now, response, sequence, &group_info(group)),
        Reply::Devices(devices) => {
            let devices = devices.iter().map(device).collect();
            push_envelope(out, now, response, sequence, &im::DevicesResponse { error_code, error_msg, devices });
        }
        Reply::JoinRequests(page) => push_envelope(out, now, response, sequence, &join_requests(page)),
        Reply::Profile(shown) => {
            let (user_id, profile) = (shown.user.to_string(), Some(profile(&shown.profile)));
            push_envelope(
                out,
                now,
                response,
                sequence,
                &im::ProfileResponse { error_code, error_msg, user_id, profile },
            );
        }
        Reply::Done if response == CommandType::CmdUnknown => {}
        Reply::Done => push_envelope(out, now, response, sequence, &im::UnknownResponse { error_code, error_msg }),
        Reply::Refused(refused) => push_refusal(out, now, verb, sequence, *refused),
        Reply::Denied(denial) => {
            let (error_code, error_msg) = (denial.code.error_code(), denial.text.to_string());
            push_envelope(out, now, response, sequence, &im::UnknownResponse { error_code, error_msg });
        }
    }
}

/// Appends the push of `event` to `viewer`.
pub(in crate::wire) fn push_event(out: &mut Vec<u8>, now: Millis, viewer: &UserId, event: &Event) {
    match event {
        Event::Entry(entry) => push_entry(out, now, viewer, entry),
        Event::Transient(message, name) => {
            let body = MessageBody::new(viewer, message, name.as_ref(), Seq(0));
            push_envelope(out, now, CommandType::CmdPushMsg, 0, &body);
        }
        Event::Typing(notice) => {
            let body = im::TypingStatusPush {
                conversation_id: name_of(&notice.conversation, notice.name.as_ref()),
                user_id: notice.user.to_string(),
                status: notice.status,
            };
            push_envelope(out, now, CommandType::CmdTypingStatusPush, 0, &body);
        }
        Event::Presence(state) => push_envelope(out, now, CommandType::CmdPresencePush, 0, &presence_state(state)),
    }
}

/// Appends the push of an entry; some facts have pushes of their own (PROTOCOL 2.5).
fn push_entry(out: &mut Vec<u8>, now: Millis, viewer: &UserId, entry: &Entry) {
    match entry.message.fact.as_deref() {
        Some(Fact::Revoked { message }) => {
            let body = fact::revoked(&entry.message, entry.name.as_ref(), *message);
            push_envelope(out, now, CommandType::CmdRevokeMsgPush, 0, &body);
        }
        Some(Fact::Read { told: _, messages }) => {
            let body = fact::read(&entry.message, entry.name.as_ref(), messages);
            push_envelope(out, now, CommandType::CmdReadReceiptPush, 0, &body);
        }
        Some(Fact::Group(_) | Fact::Joining { .. } | Fact::Cleared { .. }) | None => {
            push_shown(out, now, viewer, entry);
        }
    }
}

/// Appends the push of an entry in the form that pages have, too. Returns the bytes of the frame after the seq.
pub(in crate::wire) fn push_shown(out: &mut Vec<u8>, now: Millis, viewer: &UserId, entry: &Entry) -> usize {
    let body = MessageBody::of_entry(viewer, entry);
    push_envelope(out, now, CommandType::CmdPushMsg, 0, &body);
    body.bytes_behind_seq() + number_bytes(now.0)
}

/// Appends the push that tells an authenticated session why it ends, where the binary protocol has one (PROTOCOL 2.1).
pub(in crate::wire) fn push_closing(out: &mut Vec<u8>, now: Millis, closing: Closing) {
    let reason = match closing {
        Closing::Replaced => 1,
        Closing::AccountDisabled => 2,
        Closing::TokenExpired | Closing::TokenRevoked => 3,
        Closing::Stopping => 4,
        Closing::TooSlow => 5,
        _ => return,
    };
    let body = im::KickOutNotification { reason, message: closing.reason().to_owned() };
    push_envelope(out, now, CommandType::CmdKickOut, 0, &body);
}

/// A message within a reply that is rarely requested; `body` encodes the others.
pub(in crate::wire) fn push_message(viewer: &UserId, entry: &Entry) -> im::PushMessage {
    let Entry { seq, message, name } = entry;
    let name = name.as_ref();
    let (receiver_id, group_id) = match message.recipient() {
        Recipient::User(user) => (user.to_string(), String::new()),
        Recipient::Group(group) => (String::new(), group.to_string()),
    };
    let (client_msg_id, message_type, content) = match message.fact.as_deref() {
        None => (message.client_message_id.as_str().to_owned(), message.message_type, message.content.bytes().clone()),
        Some(fact) => (String::new(), fact.message_type(), fact::content(viewer, message, name, fact)),
    };
    im::PushMessage {
        message_id: message.id.to_string(),
        client_msg_id,
        conversation_id: name_of(&message.conversation, name),
        sender_id: message.author.as_str().to_owned(),
        receiver_id,
        group_id,
        message_type,
        content,
        send_time: message.send_time,
        server_time: signed(message.server_time.0),
        seq: signed(seq.0),
        extra: message.extra.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
    }
}

fn history_message(viewer: &UserId, entry: &Entry) -> im::HistoryMessage {
    let conversation_seq = signed(entry.message.conversation_seq.0);
    im::HistoryMessage { conversation_seq, message: Some(push_message(viewer, entry)) }
}

fn join_requests(page: &JoinRequests) -> im::GroupRequestsResponse {
    let shown = |it: &JoinRequest| im::JoinRequest { user_id: it.user.to_string(), time: signed(it.time.0) };
    im::GroupRequestsResponse {
        error_code: ErrorCode::ErrSuccess.into(),
        error_msg: String::new(),
        requests: page.requests.iter().map(shown).collect(),
        has_more: page.has_more,
    }
}

fn conversation_row(viewer: &UserId, row: &ConversationRow) -> im::ConversationRow {
    let (peer_id, group_id) = match &row.conversation {
        Conversation::Pair(one, other) => (if one == viewer { other } else { one }.to_string(), String::new()),
        Conversation::Group(group) => (String::new(), group.to_string()),
    };
    im::ConversationRow {
        conversation_id: name_of(&row.conversation, row.name.as_ref()),
        peer_id,
        group_id,
        last: row.last.as_ref().map(|entry| push_message(viewer, entry)),
        last_seq: signed(row.last_seq.0),
        unread: signed(row.unread),
        read_through: signed(row.read_through.0),
        newest_seq: signed(row.newest_seq.0),
    }
}

fn presence_state(state: &PresenceState) -> im::PresenceState {
    let last_seen = signed(state.last_seen.0);
    im::PresenceState { user_id: state.user.to_string(), online: state.is_online, last_seen }
}

fn group_info(group: &GroupState) -> im::GroupInfoResponse {
    let member = |member: &Member| im::GroupMember {
        user_id: member.user.to_string(),
        role: member.role.name().to_owned(),
        muted_until: signed(member.muted_until.0),
    };
    im::GroupInfoResponse {
        error_code: ErrorCode::ErrSuccess.into(),
        error_msg: String::new(),
        group_id: group.id.to_string(),
        owner_id: group.owner.to_string(),
        created: signed(group.created.0),
        member_count: signed(group.member_count),
        newest_seq: signed(group.newest_seq.0),
        profile: Some(profile(&group.profile.about)),
        join: group.profile.join.name().to_owned(),
        members: group.members.iter().map(member).collect(),
    }
}

fn profile(Profile { name, avatar, attributes }: &Profile) -> im::Profile {
    let attributes = attributes.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    im::Profile { name: name.to_string(), avatar: avatar.to_string(), attributes }
}

fn device(PushDevice { id, registration }: &PushDevice) -> im::RegisteredDevice {
    let settings = &registration.settings;
    let quiet = settings.quiet.map(|quiet| {
        let (from, until, utc_offset) = quiet.parts();
        im::QuietHours { from: from.into(), until: until.into(), utc_offset: utc_offset.into() }
    });
    im::RegisteredDevice {
        device_id: id.to_string(),
        provider: registration.token.provider().name().to_owned(),
        locale: settings.locale().to_owned(),
        muted: settings.is_muted,
        quiet,
    }
}

fn signed(number: u64) -> i64 {
    number.cast_signed()
}
