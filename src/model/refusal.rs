//! The one table of coded noes. Both codecs map from it; nothing else invents a code.

/// Why a request is refused, with its code in both protocols (the binary protocol's ErrorCode; PROTOCOL 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    InvalidParam,
    AuthFailed,
    TokenExpired,
    /// An operator has revoked it. To a client it is as if it had expired: another one is good.
    TokenRevoked,
    /// An operator has disabled the account: no token is good.
    AccountDisabled,
    /// A request other than authentication before authentication; the binary protocol has no code of its own for this.
    NotAuthenticated,
    PermissionDenied,
    UserNotExist,
    ConversationNotExist,
    MessageTooLarge,
    SendTooFast,
    /// So much is on its way to the group's members that one more has to wait.
    GroupTooBusy,
    /// The user has begun as many conversations as it may for now.
    TooManyConversations,
    /// What the user may have written in a day is used up for now.
    DailyShareUsed,
    /// A client id used again for other content.
    ClientMessageIdReused,
    /// A session that shares a secret with the server sent a message without the key that proves it (PROTOCOL 3.13).
    MessageKeyWrong,
    /// There is no room to store it; nothing was stored. Reads go on.
    StorageFull,
    /// What was asked for cannot be read back whole from the log.
    StorageDamaged,
    /// There is a group with this id already, and it is another one.
    GroupExists,
    /// Too much of this is under way; try again.
    Busy,
    /// The user calls as many conversations by names of its own as it may.
    TooManyNames,
}

impl Refusal {
    pub const ALL: [Self; 21] = [
        Self::InvalidParam,
        Self::AuthFailed,
        Self::TokenExpired,
        Self::TokenRevoked,
        Self::AccountDisabled,
        Self::NotAuthenticated,
        Self::PermissionDenied,
        Self::UserNotExist,
        Self::ConversationNotExist,
        Self::MessageTooLarge,
        Self::SendTooFast,
        Self::GroupTooBusy,
        Self::TooManyConversations,
        Self::DailyShareUsed,
        Self::ClientMessageIdReused,
        Self::MessageKeyWrong,
        Self::StorageFull,
        Self::StorageDamaged,
        Self::GroupExists,
        Self::Busy,
        Self::TooManyNames,
    ];

    /// The binary protocol's ErrorCode (PROTOCOL 6.9).
    pub fn error_code(self) -> i32 {
        match self {
            Self::StorageFull | Self::StorageDamaged | Self::Busy => 1,
            Self::InvalidParam
            | Self::ClientMessageIdReused
            | Self::MessageKeyWrong
            | Self::GroupExists
            | Self::TooManyNames => 2,
            Self::AuthFailed | Self::NotAuthenticated | Self::AccountDisabled => 100,
            Self::TokenExpired | Self::TokenRevoked => 101,
            Self::PermissionDenied => 102,
            Self::UserNotExist => 103,
            Self::MessageTooLarge => 200,
            Self::SendTooFast | Self::GroupTooBusy | Self::TooManyConversations | Self::DailyShareUsed => 201,
            Self::ConversationNotExist => 202,
        }
    }

    /// JSON-RPC's error code (PROTOCOL 3.2).
    pub fn json_rpc_code(self) -> i32 {
        match self {
            Self::InvalidParam | Self::GroupExists | Self::TooManyNames => -32602,
            Self::AuthFailed | Self::AccountDisabled => 1001,
            Self::TokenExpired | Self::TokenRevoked => 1002,
            Self::NotAuthenticated => 1003,
            Self::UserNotExist => 1100,
            Self::ConversationNotExist => 1101,
            Self::PermissionDenied => 1102,
            Self::MessageTooLarge => 1103,
            Self::SendTooFast | Self::GroupTooBusy | Self::TooManyConversations | Self::DailyShareUsed => 1104,
            Self::ClientMessageIdReused => 1105,
            Self::MessageKeyWrong => 1106,
            Self::StorageFull | Self::StorageDamaged | Self::Busy => 1500,
        }
    }

    /// The stable word for it in the operator's HTTP API and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidParam => "invalid_param",
            Self::AuthFailed => "auth_failed",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
            Self::AccountDisabled => "account_disabled",
            Self::NotAuthenticated => "not_authenticated",
            Self::PermissionDenied => "permission_denied",
            Self::UserNotExist => "user_not_exist",
            Self::ConversationNotExist => "conversation_not_exist",
            Self::MessageTooLarge => "message_too_large",
            Self::SendTooFast => "send_too_fast",
            Self::GroupTooBusy => "group_too_busy",
            Self::TooManyConversations => "too_many_conversations",
            Self::DailyShareUsed => "daily_share_used",
            Self::ClientMessageIdReused => "client_message_id_reused",
            Self::MessageKeyWrong => "message_key_wrong",
            Self::GroupExists => "group_exists",
            Self::Busy => "shard_busy",
            Self::TooManyNames => "too_many_names",
            Self::StorageFull => "storage_full",
            Self::StorageDamaged => "storage_damaged",
        }
    }

    /// The sentence a client is shown when the refusal has no detail of its own.
    pub fn message(self) -> &'static str {
        match self {
            Self::InvalidParam => "invalid parameter",
            Self::AuthFailed => "authentication failed",
            Self::TokenExpired => "token expired",
            Self::TokenRevoked => "token revoked",
            Self::AccountDisabled => "account disabled",
            Self::NotAuthenticated => "authenticate first",
            Self::PermissionDenied => "permission denied",
            Self::UserNotExist => "user does not exist",
            Self::ConversationNotExist => "conversation does not exist",
            Self::MessageTooLarge => "message too large",
            Self::SendTooFast => "sending too fast",
            Self::GroupTooBusy => "too many messages are on their way in this group, try again",
            Self::TooManyConversations => "too many new conversations, try again later",
            Self::DailyShareUsed => "the daily share of messages or storage is used up, try again later",
            Self::ClientMessageIdReused => "client message id was used for another message",
            Self::MessageKeyWrong => "message key is wrong or missing",
            Self::StorageFull => "storage is full, try again later",
            Self::StorageDamaged => "stored data is damaged",
            Self::GroupExists => "there is another group with this id",
            Self::Busy => "busy, try again later",
            Self::TooManyNames => "too many conversations have names of their own",
        }
    }
}

/// A refusal and what exactly was wrong. Details are fixed sentences: nothing a client sent is echoed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub refusal: Refusal,
    pub detail: &'static str,
}

impl Refused {
    pub const fn because(refusal: Refusal, detail: &'static str) -> Self {
        Self { refusal, detail }
    }

    pub const fn invalid(detail: &'static str) -> Self {
        Self::because(Refusal::InvalidParam, detail)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, detail: refusal.message() }
    }
}
