//! Things that happen to messages and groups, and that a device must learn of even if it was offline (PROTOCOL 2.5).
//!
//! A fact is an entry of an inbox like a message, with a seq of its own. Who did it and when is the entry's author and
//! server time.

use super::{ConversationSeq, GroupId, MessageId, Millis, UserId};
use std::ops::RangeInclusive;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The author of the entry took this message back.
    Revoked {
        message: MessageId,
    },
    /// The author of the entry has read messages of `told`: to whom alone this is told.
    Read {
        told: UserId,
        messages: Vec<ReadMessage>,
    },
    Group(GroupChange),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadMessage {
    pub id: MessageId,
    pub conversation_seq: ConversationSeq,
}

impl Fact {
    /// The message types of what happens, those of days to come included: no client may send one.
    pub const MESSAGE_TYPES: RangeInclusive<i32> = 1001..=1099;

    /// About how much memory it holds while it is on its way.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Revoked { .. } => 0,
            Self::Read { messages, .. } => messages.len() * size_of::<ReadMessage>(),
            Self::Group(change) => change.members().iter().map(|user| user.as_str().len()).sum(),
        }
    }

    /// The entry's message type on both wires.
    pub fn message_type(&self) -> i32 {
        match self {
            Self::Revoked { .. } => 1001,
            Self::Read { .. } => 1002,
            Self::Group(_) => 1003,
        }
    }
}

/// What changed in a group. The author of the entry is the group's owner, in whose name the operator acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupChange {
    /// `members` include the owner.
    Created {
        owner: UserId,
        members: Vec<UserId>,
    },
    Added {
        members: Vec<UserId>,
    },
    /// They are told, as the last thing that they hear of the group.
    Removed {
        members: Vec<UserId>,
    },
    Changed {
        member: UserId,
        role: Role,
        muted_until: Millis,
    },
    Dissolved,
}

impl GroupChange {
    /// Those that it names, in order.
    pub fn members(&self) -> &[UserId] {
        match self {
            Self::Created { members, .. } | Self::Added { members } | Self::Removed { members } => members,
            Self::Changed { member, .. } => std::slice::from_ref(member),
            Self::Dissolved => &[],
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    #[default]
    Member,
    Admin,
    Owner,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Member, Self::Admin, Self::Owner];

    /// The stable word for it in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// One member as the group's owner shard knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub user: UserId,
    pub role: Role,
    /// May not write before; 0: not muted.
    pub muted_until: Millis,
}

/// A group as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    pub id: GroupId,
    pub owner: UserId,
    pub created: Millis,
    /// Of all members; `members` may be a page of them.
    pub member_count: u64,
    /// In the order of their ids.
    pub members: Vec<Member>,
    pub newest_seq: ConversationSeq,
}
