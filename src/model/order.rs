//! The operator's requests to a shard, and the shard's answers.

use super::{
    Conversation, ConversationSeq, Conversations, Denial, DeviceKey, GroupId, GroupState, HistoryDirection,
    JoinRequests, JoinVerdict, MessageId, Millis, Profile, ProfileChange, PushChange, PushDevice, Refused, Reply, Role,
    Send, Seq, SessionId, ShardId, Sync, UserId,
};
use compact_str::CompactString;

/// An operator's request. It goes to the shard that owns the addressee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Creates a group with at most `Order::MEMBERS_MAX` members beside the owner. Who sorts lists of users beforehand
    /// spares the shard that.
    CreateGroup {
        /// The new group's id.
        group: GroupId,
        /// The user who gets the role `Owner`.
        owner: UserId,
        /// Further members.
        members: Vec<UserId>,
    },
    /// Adds users who are not members and removes users who are; each list has at most `Order::MEMBERS_MAX`.
    ChangeMembers {
        /// The group to change.
        group: GroupId,
        /// The users to add.
        add: Vec<UserId>,
        /// The users to remove.
        remove: Vec<UserId>,
    },
    /// Changes one member; `None` leaves an attribute as it is.
    ChangeMember {
        /// The group of the member.
        group: GroupId,
        /// The member to change.
        member: UserId,
        /// The new role.
        role: Option<Role>,
        /// The wall-clock time until which the member may not send; 0: not muted.
        muted_until: Option<Millis>,
    },
    /// Changes a group's profile.
    ChangeProfile {
        /// The group to change.
        group: GroupId,
        /// What changes.
        change: Box<ProfileChange>,
    },
    /// Lists the users who have asked to join a group, at most `limit` of them whose ids are above `after`.
    ShowRequests {
        /// The group.
        group: GroupId,
        /// The last id of the previous page; `None`: from the first.
        after: Option<UserId>,
        /// The most users of the page, at most `GroupRequest::SHOWN_MEMBERS_MAX`.
        limit: usize,
    },
    /// Answers a user's request to join a group.
    AnswerRequest {
        /// The group.
        group: GroupId,
        /// The user who has asked.
        user: UserId,
        /// The answer.
        verdict: JoinVerdict,
    },
    /// Ends a group.
    DissolveGroup {
        /// The group to end.
        group: GroupId,
    },
    /// Reads a group, and at most `limit` members whose ids are above `after`.
    ShowGroup {
        /// The group to read.
        group: GroupId,
        /// The last id of the previous page; `None`: from the first.
        after: Option<UserId>,
        /// The most members of the page, at most `Order::SHOWN_MEMBERS_MAX`.
        limit: usize,
    },
    /// Sets whether `by` refuses messages of `other`. The addressee is the conversation of the two.
    Block {
        /// The user who blocks.
        by: UserId,
        /// The user who is blocked.
        other: UserId,
        /// Blocked or allowed.
        state: BlockState,
    },
    /// Adds a user to the directory (PROTOCOL 2.4, `directory = "closed"`).
    KnowUser {
        /// The user to add.
        user: UserId,
    },
    /// Reads a user's state.
    ShowUser {
        /// The user to read.
        user: UserId,
    },
    /// Sets a user's profile; an empty one removes it.
    SetProfile {
        /// The user.
        user: UserId,
        /// The new profile.
        profile: Box<Profile>,
    },
    /// Reads a user's profile.
    ShowProfile {
        /// The user.
        user: UserId,
    },
    /// Registers a device that a push service wakes, or changes what is wanted of it.
    RegisterDevice {
        /// The user.
        user: UserId,
        /// The device, which has an id.
        change: Box<PushChange>,
    },
    /// Removes a device that a push service wakes.
    UnregisterDevice {
        /// The user.
        user: UserId,
        /// The device.
        device: CompactString,
        /// Only while this is its token.
        only: Option<CompactString>,
    },
    /// Lists a user's devices that push services wake.
    ShowDevices {
        /// The user.
        user: UserId,
    },
    /// Enables or disables an account. Disabling ends the user's sessions.
    SetAccount {
        /// The user of the account.
        user: UserId,
        /// The new state.
        state: AccountState,
    },
    /// Invalidates every token of the user that was issued until now, and ends the user's sessions.
    RevokeTokens {
        /// The user whose tokens are revoked.
        user: UserId,
        /// Exactly those issued before this time instead: later ones are valid again. For what was revoked while the
        /// clock was ahead.
        issued_before: Option<Millis>,
    },
    /// Erases a user on one shard: what the user wrote is shown as tombstones there. Each shard has to be ordered; on the
    /// user's own shard the sessions end, the account is closed, and devices, names and presence go.
    EraseUser {
        /// The shard.
        shard: ShardId,
        /// The user to erase.
        user: UserId,
    },
    /// Lists the users that are erased on a shard.
    ListErased {
        /// The shard.
        shard: ShardId,
        /// The last id of the previous page; `None`: from the first.
        after: Option<UserId>,
        /// The most users, at most `Order::LISTED_MAX`.
        limit: usize,
    },
    /// Sends a message in a user's name. No rate and no daily share is charged to the author.
    Send {
        /// The author.
        author: UserId,
        /// The message. It is no chunk of a stream.
        send: Box<Send>,
        /// Whose permissions count.
        authority: Authority,
    },
    /// Reads a page of a user's inbox, as the user would see it.
    ShowInbox {
        /// The user.
        user: UserId,
        /// The page.
        sync: Sync,
    },
    /// Lists a user's conversations, as the user would see them.
    ShowConversations {
        /// The user.
        user: UserId,
        /// The page.
        list: Conversations,
    },
    /// Reads a page of a conversation: all of it, whoever may see which part. Messages whose time is over are not shown.
    ShowHistory {
        /// The conversation.
        conversation: Conversation,
        /// The conversation seq at which the page begins, and the direction.
        direction: HistoryDirection,
        /// The most messages of the page.
        limit: u32,
    },
    /// Lists a user's sessions.
    ShowSessions {
        /// The user.
        user: UserId,
    },
    /// Lists the sessions of a shard, by the rows of their users.
    ListSessions {
        /// The shard.
        shard: ShardId,
        /// The row at which the list begins. A row keeps its number while the server runs.
        from: u32,
        /// The most users whose sessions are listed. There are fewer where their sessions might be more than
        /// `Order::LISTED_MAX`.
        limit: usize,
    },
    /// Ends a user's sessions. Its devices may log in again.
    EndSessions {
        /// The user.
        user: UserId,
        /// The session to end; `None`: all of them.
        only: Option<SessionId>,
    },
    /// Reads the presence of users of one shard, at most `Order::LISTED_MAX`.
    ShowPresence {
        /// The shard.
        shard: ShardId,
        /// Its users.
        users: Vec<UserId>,
    },
    /// Lists the users of a shard.
    ListUsers {
        /// The shard.
        shard: ShardId,
        /// The row at which the list begins. A row keeps its number while the server runs.
        from: u32,
        /// The most users, at most `Order::LISTED_MAX`.
        limit: usize,
    },
    /// Lists the groups of a shard.
    ListGroups {
        /// The shard.
        shard: ShardId,
        /// The row at which the list begins. A row keeps its number while the server runs.
        from: u32,
        /// The most groups, at most `Order::LISTED_MAX`.
        limit: usize,
    },
    /// Takes a message back for all its readers, whoever wrote it and whenever.
    Revoke {
        /// A user who has the message: its author, or one of its readers.
        user: UserId,
        /// The message to take back.
        message: MessageId,
    },
}

/// Whose permissions count for what is done in a user's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authority {
    /// The user's: membership, mutes, block lists and the account.
    #[default]
    User,
    /// The operator's, who may write to every conversation.
    System,
}

/// Whether a user may have sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountState {
    /// The user may have sessions.
    #[default]
    Enabled,
    /// No token of the user opens a session. Messages to the user are stored.
    Disabled,
}

/// Whether a user refuses another user's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockState {
    /// Messages are refused.
    Blocked,
    /// Messages are accepted.
    Allowed,
}

impl Order {
    /// The most members of one order: one record of the log, which one input appends, names all of them.
    pub const MEMBERS_MAX: usize = 5_000;
    /// The most members of one page.
    pub const SHOWN_MEMBERS_MAX: usize = 2_000;
    /// The most users, groups or sessions of one page, and users of one question about presence.
    pub const LISTED_MAX: usize = 1_000;

    /// The user or the conversation whose owner shard executes the order.
    pub fn addressee(&self) -> Addressee {
        match self {
            Self::CreateGroup { group, .. }
            | Self::ChangeMembers { group, .. }
            | Self::ChangeMember { group, .. }
            | Self::ChangeProfile { group, .. }
            | Self::DissolveGroup { group }
            | Self::ShowRequests { group, .. }
            | Self::AnswerRequest { group, .. }
            | Self::ShowGroup { group, .. } => Addressee::Conversation(Conversation::Group(group.clone())),
            Self::ShowHistory { conversation, .. } => Addressee::Conversation(conversation.clone()),
            Self::ShowPresence { shard, .. }
            | Self::ListSessions { shard, .. }
            | Self::ListUsers { shard, .. }
            | Self::ListGroups { shard, .. }
            | Self::EraseUser { shard, .. }
            | Self::ListErased { shard, .. } => Addressee::Shard(*shard),
            Self::Block { by, other, .. } => Addressee::Conversation(Conversation::pair(by.clone(), other.clone())),
            Self::KnowUser { user }
            | Self::ShowUser { user }
            | Self::SetProfile { user, .. }
            | Self::ShowProfile { user }
            | Self::RegisterDevice { user, .. }
            | Self::UnregisterDevice { user, .. }
            | Self::ShowDevices { user }
            | Self::SetAccount { user, .. }
            | Self::RevokeTokens { user, .. }
            | Self::Send { author: user, .. }
            | Self::ShowInbox { user, .. }
            | Self::ShowConversations { user, .. }
            | Self::ShowSessions { user }
            | Self::EndSessions { user, .. }
            | Self::Revoke { user, .. } => Addressee::User(user.clone()),
        }
    }
}

/// The owner of an order's effect, which determines the shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// The shard that owns this conversation.
    Conversation(Conversation),
    /// The shard that owns this user.
    User(UserId),
    /// This shard.
    Shard(ShardId),
}

/// The answer to an order. Each order has exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Executed, and stored to the configured durability.
    Done,
    /// Nothing to do: the state was already as ordered.
    Unchanged,
    /// The state of a group.
    Group(Box<GroupState>),
    /// The requests to join a group.
    JoinRequests(Box<JoinRequests>),
    /// The state of a user.
    User(Box<UserState>),
    /// The profile of a user; an empty one where the user has none.
    Profile(Box<Profile>),
    /// The devices of a user that push services wake.
    Devices {
        /// The latest registered last.
        devices: Vec<PushDevice>,
        /// Messages that the user has not read.
        unread: u64,
        /// The account is disabled.
        is_disabled: bool,
        /// The user has a session.
        is_online: bool,
    },
    /// The message is stored to the configured durability, as `Reply::Sent` says.
    Sent(SentMessage),
    /// A page, or what else a session would get as a reply.
    Page(Box<Reply>),
    /// The user's sessions, oldest first.
    Sessions(Vec<SessionState>),
    /// Sessions of the shard, user by user.
    AllSessions(Listed<SessionState>),
    /// Users of the shard.
    Users(Listed<ListedUser>),
    /// Groups of the shard.
    Groups(Listed<ListedGroup>),
    /// The users that are erased on the shard, and when each was erased.
    Erased(Vec<(UserId, Millis)>),
    /// Refused, and nothing was changed.
    Refused(Refused),
    /// The operator's hook has denied the message.
    Denied(Box<Denial>),
}

impl Answer {
    /// The sessions of the answer, to which the core that holds their connections adds what it knows.
    pub fn sessions_mut(&mut self) -> Option<&mut Vec<SessionState>> {
        match self {
            Self::Sessions(sessions) | Self::AllSessions(Listed { rows: sessions, .. }) => Some(sessions),
            _ => None,
        }
    }
}

/// A message that an order has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// The server's id of the message.
    pub id: MessageId,
    /// The position in the conversation; 0 for a message that is not stored.
    pub conversation_seq: ConversationSeq,
    /// The wall-clock time at which the message was accepted.
    pub server_time: Millis,
    /// The order repeats an earlier send, whose message this is.
    pub is_repeated: bool,
}

/// A user as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserState {
    /// The user's id.
    pub id: UserId,
    /// The user is in the directory: an operator has added it, or it has had a session.
    pub is_known: bool,
    /// Open sessions.
    pub sessions: u64,
    /// The newest inbox seq; 0: the inbox is empty.
    pub newest_seq: Seq,
    /// Conversations of the user.
    pub conversations: u64,
    /// The wall-clock time at which the last session ended; 0: online, or never seen.
    pub last_seen: Millis,
    /// Whether the user may have sessions.
    pub account: AccountState,
    /// Tokens issued before this wall-clock time are revoked; 0: none is.
    pub tokens_from: Millis,
}

/// One session of a user. The shard knows the device; the core that holds the connection adds the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// The user.
    pub user: UserId,
    /// The session.
    pub id: SessionId,
    /// The device.
    pub device: DeviceKey,
    /// The name of the protocol: `binary`, `jsonrpc` or `wukong`.
    pub protocol: &'static str,
    /// The address and port of the socket's other end: a proxy's where there is one. Empty if it is gone already.
    pub address: CompactString,
    /// The wall-clock time at which the session was opened.
    pub since: Millis,
    /// Bytes for the session that the kernel has not taken yet.
    pub queued_bytes: u64,
}

/// One user in a list of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUser {
    /// The user's id.
    pub id: UserId,
    /// The user is in the directory: an operator has added it, or it has had a session.
    pub is_known: bool,
    /// The user has a session.
    pub is_online: bool,
    /// The newest inbox seq; 0: the inbox is empty.
    pub newest_seq: Seq,
    /// The wall-clock time at which the last session ended; 0: online, or never seen.
    pub last_seen: Millis,
}

/// One group in a list of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group's id.
    pub id: GroupId,
    /// The user with the role `Owner`.
    pub owner: UserId,
    /// The wall-clock time of the creation.
    pub created: Millis,
    /// All members.
    pub member_count: u64,
}

/// A part of a list of one shard's rows, in the order of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The rows. There may be none although more follow.
    pub rows: Vec<T>,
    /// The row at which the next part begins; `None`: there is none.
    pub next: Option<u32>,
}
