//! Encodes the vocabulary as messages of the JSON-RPC protocol: whole WebSocket frames in one pass.
//!
//! Invariants: every message carries `"jsonrpc":"2.0"`; text is escaped in `json_text` and nowhere else; a tag of
//! `None` gets no answer.

use crate::model::{
    Closing, Event, GroupState, JoinRequests, Message, PushDevice, PushRegistration, Refused, Reply, RequestTag, Seq,
    TypingNotice,
};
use crate::wire::base::dialect::Dialect;
use crate::wire::base::frame::push_text;
use crate::wire::common::group_change::profile_members;
use crate::wire::common::incoming::Context;
use crate::wire::json::text::{
    array, decimal, flag_member, member, name, quoted_decimal, signed, string, text, text_member,
};
use crate::wire::jsonrpc::audience::{Audience, channel_members};
use crate::wire::jsonrpc::fact;
use crate::wire::jsonrpc::message::{push_entries, push_message, push_presence, push_row};

/// The fields that only the result of `connect` has.
pub(in crate::wire) struct Welcome<'a> {
    pub context: &'a Context,
    pub salt: &'a [u8; 16],
    pub time_diff_ms: i64,
}

/// WuKongIM's reason code for "logged in elsewhere" (PROTOCOL 3.15).
const REASON_REPLACED: u64 = 12;
const REASON_DISABLED: u64 = 19;

/// Appends a response: the id, `"result":` or `"error":`, and what `write` appends.
fn push_answer(out: &mut Vec<u8>, tag: &RequestTag, kind: &str, write: impl FnOnce(&mut Vec<u8>)) {
    if *tag == RequestTag::None {
        return;
    }
    push_text(out, |out| {
        text(out, r#"{"jsonrpc":"2.0","id":"#);
        push_tag(out, tag);
        name(out, kind);
        write(out);
        text(out, "}");
    });
}

fn push_tag(out: &mut Vec<u8>, tag: &RequestTag) {
    match tag {
        RequestTag::None => text(out, "null"),
        RequestTag::Sequence(number, _) => decimal(out, (*number).into()),
        RequestTag::Number(digits) => text(out, digits),
        RequestTag::Text(id) => string(out, id),
    }
}

pub(in crate::wire) fn push_error(out: &mut Vec<u8>, tag: &RequestTag, code: i32, message: &str) {
    push_answer(out, tag, "error", |out| error_object(out, code, message));
}

pub(in crate::wire) fn push_refusal(out: &mut Vec<u8>, tag: &RequestTag, refused: Refused) {
    push_error(out, tag, refused.refusal.json_rpc_code(), refused.detail);
}

/// Appends an error without an id, for a request whose id cannot be read.
pub(in crate::wire) fn push_nameless_error(out: &mut Vec<u8>, code: i32, message: &str) {
    push_text(out, |out| {
        text(out, r#"{"jsonrpc":"2.0","id":null,"error":"#);
        error_object(out, code, message);
        text(out, "}");
    });
}

fn error_object(out: &mut Vec<u8>, code: i32, message: &str) {
    text(out, r#"{"code":"#);
    signed(out, code.into());
    text(out, r#","message":"#);
    string(out, message);
    text(out, "}");
}

/// PROTOCOL 3.7: the answer, then the notification that the specification's example shows.
pub(in crate::wire) fn push_pong(out: &mut Vec<u8>, dialect: Dialect, tag: &RequestTag) {
    if *tag == RequestTag::None {
        return;
    }
    push_answer(out, tag, "result", |out| text(out, if dialect == Dialect::Wukong { "null" } else { "{}" }));
    push_text(out, |out| text(out, r#"{"jsonrpc":"2.0","method":"pong"}"#));
}

/// Appends the reply to the request that carried `tag`.
pub(in crate::wire) fn push_reply(
    out: &mut Vec<u8>,
    audience: &Audience<'_>,
    tag: &RequestTag,
    reply: &Reply,
    welcome: &Welcome<'_>,
) {
    match reply {
        Reply::Refused(refused) => push_refusal(out, tag, *refused),
        Reply::Denied(denial) => push_error(out, tag, denial.code.json_rpc_code(), &denial.text),
        reply => push_answer(out, tag, "result", |out| result(out, audience, reply, welcome)),
    }
}

fn result(out: &mut Vec<u8>, audience: &Audience<'_>, reply: &Reply, welcome: &Welcome<'_>) {
    match reply {
        Reply::Welcome { max_seq: _ } => welcome_object(out, audience.dialect, welcome),
        Reply::Reauthenticated { max_seq } => {
            text(out, r#"{"reasonCode":"#);
            decimal(out, success_code(audience.dialect));
            member(out, "maxSeq", max_seq.0);
            inbox_epoch(out, audience.dialect, welcome.context.inbox_epoch);
            text(out, "}");
        }
        Reply::Sent { message_id, seq, conversation_seq, server_time: _ } => {
            text(out, r#"{"messageId":"#);
            quoted_decimal(out, message_id.0);
            member(out, "messageSeq", conversation_seq.0);
            member(out, "reasonCode", success_code(audience.dialect));
            text(out, r#","header":{}"#);
            if audience.dialect == Dialect::JsonRpc {
                member(out, "inboxSeq", seq.0);
            }
            text(out, "}");
        }
        Reply::Synced { entries, server_max_seq, has_more } => {
            text(out, r#"{"messages":"#);
            push_entries(out, audience, entries);
            member(out, "serverMaxSeq", server_max_seq.0);
            flag_member(out, "hasMore", *has_more);
            text(out, "}");
        }
        Reply::History { messages, reached, newest_seq, has_more } => {
            text(out, r#"{"messages":"#);
            push_entries(out, audience, messages);
            member(out, "newestSeq", newest_seq.0);
            member(out, "reachedSeq", reached.0);
            flag_member(out, "hasMore", *has_more);
            text(out, "}");
        }
        Reply::Conversations { rows, has_more } => {
            text(out, r#"{"conversations":"#);
            array(out, rows, |out, row| push_row(out, audience, row));
            flag_member(out, "hasMore", *has_more);
            text(out, "}");
        }
        Reply::Presence(states) => {
            text(out, r#"{"states":"#);
            array(out, states, push_presence);
            text(out, "}");
        }
        Reply::Group(group) => group_object(out, group),
        Reply::JoinRequests(page) => join_requests(out, page),
        Reply::Profile(shown) => {
            text(out, r#"{"userId":"#);
            string(out, shown.user.as_str());
            profile_members(out, &shown.profile);
            text(out, "}");
        }
        Reply::Devices(devices) => {
            text(out, r#"{"devices":"#);
            array(out, devices, device_object);
            text(out, "}");
        }
        Reply::Done | Reply::Refused(_) | Reply::Denied(_) => text(out, "{}"),
    }
}

fn join_requests(out: &mut Vec<u8>, page: &JoinRequests) {
    text(out, r#"{"requests":"#);
    array(out, &page.requests, |out, shown| {
        text(out, r#"{"userId":"#);
        string(out, shown.user.as_str());
        member(out, "time", shown.time.0);
        text(out, "}");
    });
    name(out, "hasMore");
    text(out, if page.has_more { "true" } else { "false" });
    text(out, "}");
}

fn group_object(out: &mut Vec<u8>, group: &GroupState) {
    text(out, r#"{"groupId":"#);
    string(out, group.id.as_str());
    text_member(out, "owner", group.owner.as_str());
    member(out, "created", group.created.0);
    member(out, "memberCount", group.member_count);
    member(out, "newestSeq", group.newest_seq.0);
    profile_members(out, &group.profile.about);
    text_member(out, "join", group.profile.join.name());
    name(out, "members");
    array(out, &group.members, |out, shown| {
        text(out, r#"{"userId":"#);
        string(out, shown.user.as_str());
        text_member(out, "role", shown.role.name());
        member(out, "mutedUntil", shown.muted_until.0);
        text(out, "}");
    });
    text(out, "}");
}

fn device_object(out: &mut Vec<u8>, device: &PushDevice) {
    let PushRegistration { token, settings } = &device.registration;
    text(out, r#"{"deviceId":"#);
    string(out, &device.id);
    text_member(out, "provider", token.provider().name());
    text_member(out, "locale", settings.locale());
    flag_member(out, "muted", settings.is_muted);
    if let Some(quiet) = settings.quiet {
        let (from, until, utc_offset) = quiet.parts();
        text(out, r#","quiet":{"from":"#);
        decimal(out, from.into());
        member(out, "until", until.into());
        name(out, "utcOffset");
        signed(out, utc_offset.into());
        text(out, "}");
    }
    text(out, "}");
}

fn welcome_object(out: &mut Vec<u8>, dialect: Dialect, welcome: &Welcome<'_>) {
    let Welcome { context, salt, time_diff_ms } = welcome;
    text(out, r#"{"serverKey":"#);
    string(out, context.server_key.public());
    text_member(out, "salt", str::from_utf8(*salt).unwrap_or_default());
    name(out, "timeDiff");
    signed(out, *time_diff_ms);
    member(out, "reasonCode", success_code(dialect));
    text(out, r#","header":{}"#);
    member(out, "serverVersion", version_number(context.server_version));
    member(out, "nodeId", context.node_id.into());
    inbox_epoch(out, dialect, context.inbox_epoch);
    text(out, "}");
}

/// The Easy SDKs know of no inbox.
fn inbox_epoch(out: &mut Vec<u8>, dialect: Dialect, epoch: u64) {
    if dialect == Dialect::JsonRpc {
        member(out, "inboxEpoch", epoch);
    }
}

fn success_code(dialect: Dialect) -> u64 {
    u64::from(dialect == Dialect::Wukong)
}

/// The specification wants an integer: major, minor and patch, two digits each.
fn version_number(version: &str) -> u64 {
    version.split('.').take(3).fold(0, |sum, part| sum * 100 + part.parse::<u64>().unwrap_or(0).min(99))
}

/// Appends the notification of `event`.
pub(in crate::wire) fn push_event(out: &mut Vec<u8>, audience: &Audience<'_>, event: &Event) {
    match event {
        Event::Entry(entry) => match entry.message.fact.as_deref() {
            None => {
                push_recv(out, audience, &entry.message, entry.seq);
            }
            Some(fact) => push_notification(out, fact::method(fact), |out| {
                fact::push_fact(out, audience, entry, fact, "{");
            }),
        },
        Event::Transient(message, _) => {
            push_recv(out, audience, message, Seq(0));
        }
        Event::Typing(notice) => push_notification(out, "typing", |out| typing_object(out, audience, notice)),
        Event::Presence(state) => push_notification(out, "presence", |out| push_presence(out, state)),
    }
}

/// Appends a message. Returns the bytes of the frame after the inbox seq.
pub(in crate::wire) fn push_recv(out: &mut Vec<u8>, audience: &Audience<'_>, message: &Message, seq: Seq) -> usize {
    out.reserve(message.content.len() + 512);
    let mut behind_seq = 0;
    push_notification(out, "recv", |out| behind_seq = push_message(out, audience, message, seq));
    behind_seq + NOTIFICATION_END.len()
}

/// The text after a notification's params.
const NOTIFICATION_END: &str = "}";

fn push_notification(out: &mut Vec<u8>, method: &str, params: impl FnOnce(&mut Vec<u8>)) {
    push_text(out, |out| {
        text(out, r#"{"jsonrpc":"2.0","method":""#);
        text(out, method);
        text(out, r#"","params":"#);
        params(out);
        text(out, NOTIFICATION_END);
    });
}

fn typing_object(out: &mut Vec<u8>, audience: &Audience<'_>, notice: &TypingNotice) {
    text(out, r#"{"channelId":"#);
    channel_members(out, &notice.conversation, audience.viewer);
    text_member(out, "userId", notice.user.as_str());
    name(out, "status");
    signed(out, notice.status.into());
    text(out, "}");
}

/// Appends the notification that a session ends for good. Clients do not reconnect after `disconnect`, so it is sent
/// only where that is intended (PROTOCOL 3.15).
pub(in crate::wire) fn push_closing(out: &mut Vec<u8>, closing: Closing) {
    let code = match closing {
        Closing::Replaced => REASON_REPLACED,
        Closing::AccountDisabled => REASON_DISABLED,
        _ => return,
    };
    push_notification(out, "disconnect", |out| {
        text(out, r#"{"reasonCode":"#);
        decimal(out, code);
        text_member(out, "reason", closing.reason());
        text(out, "}");
    });
}
