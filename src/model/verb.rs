//! The verb of a request, without its arguments: the one name that codecs, metrics and tests share.

/// The kinds of requests. PROTOCOL 2.1 has the command codes, PROTOCOL 3.16 and `proto/jsonrpc.md` the methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// The first request of a connection: `AuthRequest`, `connect`.
    Authenticate,
    /// A fresh token on a live session.
    Reauthenticate,
    /// Send a message.
    Send,
    /// Read a page of the inbox.
    Sync,
    /// Acknowledge entries.
    Ack,
    /// Take a message back.
    Revoke,
    /// Report messages as read.
    Receipt,
    /// Report that the user types.
    Typing,
    /// Read a page of one conversation.
    History,
    /// List conversations.
    Conversations,
    /// Set a conversation's read position.
    MarkRead,
    /// Hide a conversation's messages so far from oneself.
    ClearHistory,
    /// The same, and take the conversation out of one's list.
    DeleteConversation,
    /// Query or watch presence.
    Presence,
    /// Read a group and a page of its members.
    ShowGroup,
    /// Add members to a group and remove some.
    ChangeMembers,
    /// Change a member's role or mute.
    ChangeMember,
    /// Change a group's profile.
    ChangeGroup,
    /// Leave a group.
    LeaveGroup,
    /// Join an open group, or ask to join.
    JoinGroup,
    /// List the requests to join a group.
    ListRequests,
    /// Approve or decline a request to join.
    AnswerRequest,
    /// End a group.
    DissolveGroup,
    /// Read a user's profile.
    ShowProfile,
    /// Set one's own profile.
    SetProfile,
    /// Register a device with a push service.
    RegisterDevice,
    /// Remove such a device.
    UnregisterDevice,
    /// List such devices.
    ShowDevices,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 28] = [
        Self::Authenticate,
        Self::Reauthenticate,
        Self::Send,
        Self::Sync,
        Self::Ack,
        Self::Revoke,
        Self::Receipt,
        Self::Typing,
        Self::History,
        Self::Conversations,
        Self::MarkRead,
        Self::ClearHistory,
        Self::DeleteConversation,
        Self::Presence,
        Self::ShowGroup,
        Self::ChangeMembers,
        Self::ChangeMember,
        Self::ChangeGroup,
        Self::LeaveGroup,
        Self::JoinGroup,
        Self::ListRequests,
        Self::AnswerRequest,
        Self::DissolveGroup,
        Self::ShowProfile,
        Self::SetProfile,
        Self::RegisterDevice,
        Self::UnregisterDevice,
        Self::ShowDevices,
    ];

    /// The stable name in metrics and traces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Reauthenticate => "reauthenticate",
            Self::Send => "send",
            Self::Sync => "sync",
            Self::Ack => "ack",
            Self::Revoke => "revoke",
            Self::Receipt => "receipt",
            Self::Typing => "typing",
            Self::History => "history",
            Self::Conversations => "conversations",
            Self::MarkRead => "mark_read",
            Self::ClearHistory => "clear_history",
            Self::DeleteConversation => "delete_conversation",
            Self::Presence => "presence",
            Self::ShowGroup => "show_group",
            Self::ChangeMembers => "change_members",
            Self::ChangeMember => "change_member",
            Self::ChangeGroup => "change_group",
            Self::LeaveGroup => "leave_group",
            Self::JoinGroup => "join_group",
            Self::ListRequests => "list_requests",
            Self::AnswerRequest => "answer_request",
            Self::DissolveGroup => "dissolve_group",
            Self::ShowProfile => "show_profile",
            Self::SetProfile => "set_profile",
            Self::RegisterDevice => "register_device",
            Self::UnregisterDevice => "unregister_device",
            Self::ShowDevices => "show_devices",
        }
    }
}
