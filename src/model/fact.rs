//! Facts: what happens to messages and groups, and what a device must learn even if it was offline (PROTOCOL 2.5).
//!
//! A fact is an entry of an inbox like a message, with a seq of its own. The entry's author is the user who acted, and
//! its server time is when.

use super::{ConversationSeq, GroupProfile, MessageId, Millis, Role, UserId};
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
    /// What became of a request to join a group. The author of the entry is the user who has asked, who alone receives it;
    /// an approved request is followed by `GroupChange::Added` instead.
    Joining {
        /// The user who has asked.
        asker: UserId,
        /// What happened to the request.
        step: JoinStep,
    },
    /// The author of the entry has cleared a conversation's history for itself, and alone receives this entry.
    Cleared {
        /// The user who has cleared it.
        user: UserId,
        /// The conversation seq of the last message that the user does not see any more.
        through: ConversationSeq,
        /// What of the conversation the user does not want to see.
        extent: ClearExtent,
    },
}

/// What a user does not want to see of a conversation that it has cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClearExtent {
    /// The messages so far. The conversation stays in the user's list.
    History,
    /// The conversation: it comes back into the list with the next message.
    Conversation,
}

/// What happened to a request to join a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinStep {
    /// The user has asked.
    Asked,
    /// The request was declined.
    Declined {
        /// The user who declined it: the group's owner, where the operator acts.
        by: UserId,
    },
}

/// A message that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadMessage {
    /// The server's id of the message.
    pub id: MessageId,
    /// The message's position in its conversation.
    pub conversation_seq: ConversationSeq,
}

impl JoinStep {
    /// The user who declined the request.
    pub fn declined_by(&self) -> Option<&UserId> {
        match self {
            Self::Declined { by } => Some(by),
            Self::Asked => None,
        }
    }
}

impl Fact {
    /// The message types of facts, those reserved for later included. A send with one of them is refused.
    pub const MESSAGE_TYPES: RangeInclusive<i32> = 1001..=1099;

    /// An estimate of the bytes of memory that the fact occupies while it is under way.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Revoked { .. } => 0,
            Self::Read { messages, .. } => messages.len() * size_of::<ReadMessage>(),
            Self::Joining { .. } | Self::Cleared { .. } => 0,
            Self::Group(GroupChange::Profiled(profile)) => profile.about.bytes(),
            Self::Group(change) => change.members().iter().map(|user| user.as_str().len()).sum(),
        }
    }

    /// The entry's message type in both protocols (PROTOCOL 2.5).
    pub fn message_type(&self) -> i32 {
        match self {
            Self::Revoked { .. } => 1001,
            Self::Read { .. } => 1002,
            Self::Group(_) | Self::Joining { .. } => 1003,
            Self::Cleared { .. } => 1004,
        }
    }

    /// The user whom the entry alone concerns, who is its author; `None`: it concerns others as well.
    pub fn only_for(&self) -> Option<&UserId> {
        match self {
            Self::Joining { asker: user, .. } | Self::Cleared { user, .. } => Some(user),
            Self::Revoked { .. } | Self::Read { .. } | Self::Group(_) => None,
        }
    }
}

/// A change of a group. The author of the entry is the user who made it: the group's owner, where the operator acts.
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
    /// The group's profile is this one from now on.
    Profiled(Box<GroupProfile>),
}

impl GroupChange {
    /// The users that the change names, in order.
    pub fn members(&self) -> &[UserId] {
        match self {
            Self::Created { members, .. } | Self::Added { members } | Self::Removed { members } => members,
            Self::Changed { member, .. } => std::slice::from_ref(member),
            Self::Dissolved | Self::Profiled(_) => &[],
        }
    }
}
