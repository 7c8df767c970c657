//! Facts: what happens to messages and groups, and what a device must learn even if it was offline (PROTOCOL 2.5).
//!
//! A fact is an entry of an inbox like a message, with a seq of its own. The entry's author is the user who acted, and
//! its server time is when.

use super::{ConversationSeq, GroupId, MessageId, Millis, UserId};
use std::ops::RangeInclusive;

/// An event that takes an entry in the inboxes of those whom it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The author of the entry revoked a message.
    Revoked {
        /// The message that was revoked.
        message: MessageId,
    },
    /// The author of the entry has read messages of one user, who alone receives this entry.
    Read {
        /// The author of the messages, who receives this entry.
        told: UserId,
        /// The messages that were read.
        messages: Vec<ReadMessage>,
    },
    /// A group changed.
    Group(GroupChange),
}

/// A message that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadMessage {
    /// The server's id of the message.
    pub id: MessageId,
    /// The message's position in its conversation.
    pub conversation_seq: ConversationSeq,
}

impl Fact {
    /// The message types of facts, those reserved for later included. A send with one of them is refused.
    pub const MESSAGE_TYPES: RangeInclusive<i32> = 1001..=1099;

    /// An estimate of the bytes of memory that the fact occupies while it is under way.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Revoked { .. } => 0,
            Self::Read { messages, .. } => messages.len() * size_of::<ReadMessage>(),
            Self::Group(change) => change.members().iter().map(|user| user.as_str().len()).sum(),
        }
    }

    /// The entry's message type in both protocols (PROTOCOL 2.5).
    pub fn message_type(&self) -> i32 {
        match self {
            Self::Revoked { .. } => 1001,
            Self::Read { .. } => 1002,
            Self::Group(_) => 1003,
        }
    }
}

/// A change of a group. The author of the entry is the group's owner, in whose name the operator acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupChange {
    /// The group was created. `members` include the owner.
    Created {
        /// The user with the role `Owner`.
        owner: UserId,
        /// All members.
        members: Vec<UserId>,
    },
    /// Members were added.
    Added {
        /// The new members.
        members: Vec<UserId>,
    },
    /// Members were removed. For each of them this is the last entry of the group.
    Removed {
        /// The former members.
        members: Vec<UserId>,
    },
    /// One member has another role or another mute.
    Changed {
        /// The member.
        member: UserId,
        /// The role from now on.
        role: Role,
        /// The wall-clock time until which the member may not send; 0: not muted.
        muted_until: Millis,
    },
    /// The group has ended.
    Dissolved,
}

impl GroupChange {
    /// The users that the change names, in order.
    pub fn members(&self) -> &[UserId] {
        match self {
            Self::Created { members, .. } | Self::Added { members } | Self::Removed { members } => members,
            Self::Changed { member, .. } => std::slice::from_ref(member),
            Self::Dissolved => &[],
        }
    }
}

/// The role of a member in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May send.
    #[default]
    Member,
    /// May send, and revoke messages of others.
    Admin,
    /// The one owner, with the rights of an admin.
    Owner,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Member, Self::Admin, Self::Owner];

    /// The stable word for the role in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role with this word.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// One member of a group, as the group's owner shard knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The member's id.
    pub user: UserId,
    /// The member's role.
    pub role: Role,
    /// The wall-clock time until which the member may not send; 0: not muted.
    pub muted_until: Millis,
}

/// A group as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// The group's id.
    pub id: GroupId,
    /// The user with the role `Owner`.
    pub owner: UserId,
    /// The wall-clock time of the creation.
    pub created: Millis,
    /// All members; `members` may be one page of them.
    pub member_count: u64,
    /// Members in the order of their ids.
    pub members: Vec<Member>,
    /// The newest conversation seq.
    pub newest_seq: ConversationSeq,
}
