//! The content of a group change: JSON in both protocols (PROTOCOL 2.5).

use crate::model::{Conversation, GroupChange, JoinStep, Message, Profile, UserId};
use crate::wire::json::text::{array, member, name, string, text, text_member};

/// The most members that a change shows.
const MEMBERS_SHOWN_MAX: usize = 50;

/// Appends a group change as a JSON object.
pub(in crate::wire) fn push_group_object(out: &mut Vec<u8>, viewer: &UserId, by: &Message, change: &GroupChange) {
    text(out, "{");
    group_members(out, viewer, by, change);
    text(out, "}");
}

/// Appends the members of the JSON object.
pub(in crate::wire) fn group_members(out: &mut Vec<u8>, viewer: &UserId, by: &Message, change: &GroupChange) {
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
            text_member(out, "role", role.name());
            member(out, "mutedUntil", muted_until.0);
        }
        GroupChange::Profiled(profile) => {
            profile_members(out, &profile.about);
            text_member(out, "join", profile.join.name());
        }
        GroupChange::Added { .. } | GroupChange::Removed { .. } | GroupChange::Dissolved => {}
    }
    member(out, "time", by.server_time.0);
}

/// Appends what became of a request to join, as a JSON object.
pub(in crate::wire) fn push_joining_object(out: &mut Vec<u8>, by: &Message, asker: &UserId, step: &JoinStep) {
    text(out, "{");
    joining_members(out, by, asker, step);
    text(out, "}");
}

/// Appends the members of the JSON object.
pub(in crate::wire) fn joining_members(out: &mut Vec<u8>, entry: &Message, asker: &UserId, step: &JoinStep) {
    let (change, by) = match step {
        JoinStep::Asked => ("joinRequested", asker),
        JoinStep::Declined { by } => ("joinDeclined", by),
    };
    text(out, r#""change":"#);
    string(out, change);
    if let Conversation::Group(group) = &entry.conversation {
        text_member(out, "group", group.as_str());
    }
    text_member(out, "by", by.as_str());
    name(out, "members");
    array(out, [asker], |out, user| string(out, user.as_str()));
    member(out, "count", 1);
    member(out, "time", entry.server_time.0);
}

fn change_name(change: &GroupChange) -> &'static str {
    match change {
        GroupChange::Created { .. } => "created",
        GroupChange::Added { .. } => "added",
        GroupChange::Removed { .. } => "removed",
        GroupChange::Changed { .. } => "changed",
        GroupChange::Dissolved => "dissolved",
        GroupChange::Profiled(_) => "profile",
    }
}

/// Appends the members of a profile to an object that has members already.
pub(in crate::wire) fn profile_members(out: &mut Vec<u8>, Profile { name: called, avatar, attributes }: &Profile) {
    text_member(out, "name", called);
    text_member(out, "avatar", avatar);
    name(out, "attributes");
    text(out, "{");
    for (index, (key, value)) in attributes.iter().enumerate() {
        text(out, if index > 0 { "," } else { "" });
        string(out, key);
        text(out, ":");
        string(out, value);
    }
    text(out, "}");
}

/// The users that a change shows. A removed user always sees itself: no other entry tells it of its removal.
fn shown<'a>(viewer: &UserId, change: &'a GroupChange) -> impl Iterator<Item = &'a UserId> {
    let members = change.members();
    let oneself = match change {
        GroupChange::Removed { .. } => members.iter().position(|member| member == viewer),
        _ => None,
    };
    let others = members.iter().enumerate().filter(move |(index, _)| Some(*index) != oneself);
    oneself.map(|index| &members[index]).into_iter().chain(others.map(|(_, member)| member)).take(MEMBERS_SHOWN_MAX)
}
