//! A fact: what happened in a conversation beside messages.

use crate::model::{ClearExtent, Fact, GroupChange, JoinStep, ReadMessage, UserId};
use crate::server::event::profile::ShownGroupProfile;
use crate::server::event::schema::{IdSchema, MessageIdSchema, MillisSchema, RoleSchema, SeqSchema};
use schemars::JsonSchema;
use serde::Serialize;

/// A fact's name, and the members of its object. By event: message.revoked has message_id; receipt author and messages;
/// group.created owner, members and member_count; group.members_added and group.members_removed members and
/// member_count; group.member_changed member, role and muted_until; group.profile_changed profile; group.join_requested
/// member; group.join_declined member and declined_by; conversation.cleared and conversation.deleted through.
#[derive(Default, JsonSchema, Serialize)]
#[schemars(rename = "Fact")]
pub struct ShownFact<'a> {
    #[serde(skip)]
    pub kind: &'static str,
    /// Of the message that was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MessageIdSchema")]
    message_id: Option<String>,
    /// Of the messages that were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IdSchema")]
    author: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<ShownRead>")]
    messages: Option<Vec<ShownRead>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IdSchema")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<IdSchema>")]
    members: Option<Vec<&'a str>>,
    /// Of the members that the change concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    member_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IdSchema")]
    member: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RoleSchema")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IdSchema")]
    declined_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MillisSchema")]
    muted_until: Option<u64>,
    /// The conversation seq of the last message that is hidden from the user who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SeqSchema")]
    through: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ShownGroupProfile<'static>")]
    profile: Option<ShownGroupProfile<'a>>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ReadMessage")]
struct ShownRead {
    #[schemars(with = "MessageIdSchema")]
    message_id: String,
    #[schemars(with = "SeqSchema")]
    conversation_seq: u64,
}

impl<'a> ShownFact<'a> {
    /// Names `members_max` members; a change may have thousands.
    pub fn of(fact: &'a Fact, members_max: usize) -> Self {
        match fact {
            Fact::Revoked { message } => {
                Self { kind: "message.revoked", message_id: Some(message.to_string()), ..Self::default() }
            }
            Fact::Read { told, messages } => {
                let read = |it: &ReadMessage| ShownRead {
                    message_id: it.id.to_string(),
                    conversation_seq: it.conversation_seq.0,
                };
                let messages = Some(messages.iter().map(read).collect());
                Self { kind: "receipt", author: Some(told.as_str()), messages, ..Self::default() }
            }
            Fact::Group(change) => Self::of_change(change, members_max),
            Fact::Joining { asker, step } => {
                let kind = match step {
                    JoinStep::Asked => "group.join_requested",
                    JoinStep::Declined { .. } => "group.join_declined",
                };
                let declined_by = step.declined_by().map(UserId::as_str);
                Self { kind, member: Some(asker.as_str()), declined_by, ..Self::default() }
            }
            Fact::Cleared { through, extent, .. } => {
                let kind = match extent {
                    ClearExtent::History => "conversation.cleared",
                    ClearExtent::Conversation => "conversation.deleted",
                };
                Self { kind, through: Some(through.0), ..Self::default() }
            }
        }
    }

    fn of_change(change: &'a GroupChange, members_max: usize) -> Self {
        let naming = |kind: &'static str, users: &'a [UserId]| Self {
            kind,
            members: Some(users.iter().take(members_max).map(UserId::as_str).collect()),
            member_count: Some(users.len()),
            ..Self::default()
        };
        match change {
            GroupChange::Created { owner, members } => {
                Self { owner: Some(owner.as_str()), ..naming("group.created", members) }
            }
            GroupChange::Added { members } => naming("group.members_added", members),
            GroupChange::Removed { members } => naming("group.members_removed", members),
            GroupChange::Changed { member, role, muted_until } => Self {
                kind: "group.member_changed",
                member: Some(member.as_str()),
                role: Some(role.name()),
                muted_until: Some(muted_until.0),
                ..Self::default()
            },
            GroupChange::Dissolved => Self { kind: "group.dissolved", ..Self::default() },
            GroupChange::Profiled(profile) => {
                Self { kind: "group.profile_changed", profile: Some((&**profile).into()), ..Self::default() }
            }
        }
    }
}
