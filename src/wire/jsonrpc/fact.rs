//! What happened, in JSON: the members that notifications and sync's elements share, and the content of a group change in
//! both protocols (PROTOCOL 2.5, 3.16).

use crate::model::{Conversation, Entry, Fact, GroupChange, Message, Role, UserId};
use crate::wire::connection::encoding::Dialect;
use crate::wire::json::text::{array, member, name, quoted_decimal, string, text, text_member};
use crate::wire::jsonrpc::message::{Audience, channel_members};

/// Of a change that names more, so many are shown.
const MEMBERS_SHOWN_MAX: usize = 50;

/// The notification that tells a fact, and the `type` of its element in sync.
pub(in crate::wire) fn method(fact: &Fact) -> &'static str {
    match fact {
        Fact::Revoked { .. } => "revoked",
        Fact::Read { .. } => "receipt",
        Fact::Group(_) => "group",
    }
}

/// Appends what `entry` tells, to the end of its object; `opening` stands before its first member.
pub(in crate::wire) fn push_fact(
    out: &mut Vec<u8>,
    audience: &Audience<'_>,
    entry: &Entry,
    fact: &Fact,
    opening: &str,
) {
    let by = &*entry.message;
    text(out, opening);
    text(out, r#""entryId":"#);
    quoted_decimal(out, by.id.0);
    if audience.dialect == Dialect::JsonRpc {
        member(out, "inboxSeq", entry.seq.0);
    }
    name(out, "channelId");
    channel_members(out, &by.conversation, audience.viewer);
    match fact {
        Fact::Revoked { message } => {
            name(out, "messageId");
            quoted_decimal(out, message.0);
            text_member(out, "revokedBy", by.author.as_str());
            member(out, "revokedTime", by.server_time.0);
        }
        Fact::Read { told: _, messages } => {
            name(out, "messageIds");
            array(out, messages, |out, message| quoted_decimal(out, message.id.0));
            text_member(out, "userId", by.author.as_str());
            member(out, "readTime", by.server_time.0);
        }
        Fact::Group(change) => {
            text(out, ",");
            group_members(out, audience.viewer, by, change);
        }
    }
    text(out, "}");
}

/// Appends the content of a group change.
pub(in crate::wire) fn push_group_object(out: &mut Vec<u8>, viewer: &UserId, by: &Message, change: &GroupChange) {
    text(out, "{");
    group_members(out, viewer, by, change);
    text(out, "}");
}

fn group_members(out: &mut Vec<u8>, viewer: &UserId, by: &Message, change: &GroupChange) {
    text(out, r#""change":"#);
    string(out, change_name(change));
    if let Conversation::Group(group) = &by.conversation {
        text_member(out, "group", group.as_str());
    }
    text_member(out, "by", by.author.as_str());
    name(out, "members");
    array(out, shown(viewer, change), |out, user| string(out, user.as_str()));
    member(out, "count", change.members().len() as u64);
    match change {
        GroupChange::Created { owner, members: _ } => text_member(out, "owner", owner.as_str()),
        GroupChange::Changed { member: _, role, muted_until } => {
            text_member(out, "role", role_name(*role));
            member(out, "mutedUntil", muted_until.0);
        }
        GroupChange::Added { .. } | GroupChange::Removed { .. } | GroupChange::Dissolved => {}
    }
    member(out, "time", by.server_time.0);
}

fn change_name(change: &GroupChange) -> &'static str {
    match change {
        GroupChange::Created { .. } => "created",
        GroupChange::Added { .. } => "added",
        GroupChange::Removed { .. } => "removed",
        GroupChange::Changed { .. } => "changed",
        GroupChange::Dissolved => "dissolved",
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

/// Who is removed must see itself among those that are shown: nothing else tells it.
fn shown<'a>(viewer: &UserId, change: &'a GroupChange) -> impl Iterator<Item = &'a UserId> {
    let members = change.members();
    let oneself = match change {
        GroupChange::Removed { .. } => members.iter().position(|member| member == viewer),
        _ => None,
    };
    let others = members.iter().enumerate().filter(move |(index, _)| Some(*index) != oneself);
    oneself.map(|index| &members[index]).into_iter().chain(others.map(|(_, member)| member)).take(MEMBERS_SHOWN_MAX)
}
