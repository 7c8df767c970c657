//! What an operator can ask of a shard, and what it answers: the control thread's half of the vocabulary.

use super::{Conversation, GroupId, GroupState, Millis, Refused, Role, UserId};

/// Goes to the shard that owns what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// At most `Order::MEMBERS_MAX` members beside the owner.
    CreateGroup {
        group: GroupId,
        owner: UserId,
        members: Vec<UserId>,
    },
    /// Adds who is not a member and removes who is; both at most `Order::MEMBERS_MAX`.
    ChangeMembers {
        group: GroupId,
        add: Vec<UserId>,
        remove: Vec<UserId>,
    },
    /// `None` leaves it as it is.
    ChangeMember {
        group: GroupId,
        member: UserId,
        role: Option<Role>,
        muted_until: Option<Millis>,
    },
    DissolveGroup {
        group: GroupId,
    },
    /// At most `limit` members whose ids are above `after`.
    ShowGroup {
        group: GroupId,
        after: Option<UserId>,
        limit: usize,
    },
    /// `by` does not want messages of `other`, or does again. Belongs to the pair.
    Block {
        by: UserId,
        other: UserId,
        state: BlockState,
    },
    /// Makes a user known (PROTOCOL 2.4, `directory = "closed"`).
    KnowUser {
        user: UserId,
    },
    ShowUser {
        user: UserId,
    },
    /// Whether the user may have sessions. Those of who may not end.
    SetAccount {
        user: UserId,
        state: AccountState,
    },
    /// No token of the user that was issued until now is good any more, and its sessions end.
    RevokeTokens {
        user: UserId,
    },
}

/// What an operator says of a user's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountState {
    #[default]
    Enabled,
    /// No session, whatever the token. What others write to it is stored.
    Disabled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockState {
    Blocked,
    Allowed,
}

impl Order {
    /// A change of so many members takes its shard 3.5 ms in a group of 100,000 (benches/shard), and no turn may take 5.
    pub const MEMBERS_MAX: usize = 5_000;
    pub const SHOWN_MEMBERS_MAX: usize = 10_000;

    /// Whose shard it goes to.
    pub fn addressee(&self) -> Addressee {
        match self {
            Self::CreateGroup { group, .. }
            | Self::ChangeMembers { group, .. }
            | Self::ChangeMember { group, .. }
            | Self::DissolveGroup { group }
            | Self::ShowGroup { group, .. } => Addressee::Conversation(Conversation::Group(group.clone())),
            Self::Block { by, other, .. } => Addressee::Conversation(Conversation::pair(by.clone(), other.clone())),
            Self::KnowUser { user }
            | Self::ShowUser { user }
            | Self::SetAccount { user, .. }
            | Self::RevokeTokens { user } => Addressee::User(user.clone()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressee {
    Conversation(Conversation),
    User(UserId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done, and stored to the configured durability.
    Done,
    /// It has been so all along.
    Unchanged,
    Group(Box<GroupState>),
    User(Box<UserState>),
    Refused(Refused),
}

/// A user as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserState {
    pub id: UserId,
    /// Known to the server: made so by the operator, or has been here.
    pub is_known: bool,
    pub sessions: u64,
    pub newest_seq: super::Seq,
    pub conversations: u64,
    /// When its last session ended; 0: never seen, or online.
    pub last_seen: Millis,
    pub account: AccountState,
    /// Tokens issued earlier are revoked; 0: none is.
    pub tokens_from: Millis,
}
