//! The one table of refusals. Both codecs map from this table; no other place assigns a code.

/// Why a request is refused, with its code in both protocols (the binary protocol's ErrorCode; PROTOCOL 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A parameter is missing, out of range or contradicts another.
    InvalidParam,
    /// The token is invalid, or names another user.
    AuthFailed,
    /// The token has expired.
    TokenExpired,
    /// An operator has revoked the token. Clients see the code of an expired token: a fresh one is accepted.
    TokenRevoked,
    /// An operator has disabled the account: no token is accepted.
    AccountDisabled,
    /// A request other than authentication before authentication; the binary protocol has no code of its own for this.
    NotAuthenticated,
    /// The user may not do this: not a member, blocked, muted, or not the author.
    PermissionDenied,
    /// The recipient is not a user (PROTOCOL 2.4, closed directory).
    UserNotExist,
    /// The user has no such conversation, or no such group exists.
    ConversationNotExist,
    /// Content, `extra` or annotations exceed their limits.
    MessageTooLarge,
    /// More logins come from the client's address in a minute than may.
    LoginTooFast,
    /// The user's token bucket is empty, or too many requests are unanswered.
    SendTooFast,
    /// Too many messages are on their way to the group's members.
    GroupTooBusy,
    /// The user has begun as many conversations as it may for now.
    TooManyConversations,
    /// The user's share of the day's sends or written bytes is used up.
    DailyShareUsed,
    /// The client message id was used for other content (PROTOCOL 2.4).
    ClientMessageIdReused,
    /// The session has a client key, and the message lacks the key that proves it (PROTOCOL 3.13).
    MessageKeyWrong,
    /// The disk is full, and nothing was stored. Reads go on.
    StorageFull,
    /// The log cannot be read back at the place that the request needs.
    StorageDamaged,
    /// Another group with this id exists.
    GroupExists,
    /// Too many such requests are under way; the client should retry.
    Busy,
    /// The user has names of its own for as many conversations as it may.
    TooManyNames,
    /// The operator's hook gave no answer about the message, which is refused then.
    HookFailed,
    /// The group would have more members than it may.
    GroupFull,
    /// Too many users wait for an answer to their requests to join the group.
    TooManyJoinRequests,
    /// A user who would become a member is in as many groups as it may.
    TooManyGroups,
}

impl Refusal {
    /// Every refusal, in the order of the metrics.
    pub const ALL: [Self; 26] = [
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
        Self::LoginTooFast,
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
        Self::HookFailed,
        Self::GroupFull,
        Self::TooManyJoinRequests,
        Self::TooManyGroups,
    ];

    /// The binary protocol's ErrorCode (PROTOCOL 6.9).
    pub fn error_code(self) -> i32 {
        match self {
            Self::StorageFull | Self::StorageDamaged | Self::Busy | Self::HookFailed => 1,
            Self::InvalidParam
            | Self::ClientMessageIdReused
            | Self::MessageKeyWrong
            | Self::GroupExists
            | Self::TooManyNames
            | Self::GroupFull
            | Self::TooManyJoinRequests
            | Self::TooManyGroups => 2,
            Self::AuthFailed | Self::NotAuthenticated | Self::AccountDisabled => 100,
            Self::TokenExpired | Self::TokenRevoked => 101,
            Self::PermissionDenied => 102,
            Self::UserNotExist => 103,
            Self::MessageTooLarge => 200,
            Self::LoginTooFast
            | Self::SendTooFast
            | Self::GroupTooBusy
            | Self::TooManyConversations
            | Self::DailyShareUsed => 201,
            Self::ConversationNotExist => 202,
        }
    }

    /// The JSON-RPC protocol's error code (PROTOCOL 3.2).
    pub fn json_rpc_code(self) -> i32 {
        match self {
            Self::InvalidParam
            | Self::GroupExists
            | Self::TooManyNames
            | Self::GroupFull
            | Self::TooManyJoinRequests
            | Self::TooManyGroups => -32602,
            Self::AuthFailed | Self::AccountDisabled => 1001,
            Self::TokenExpired | Self::TokenRevoked => 1002,
            Self::NotAuthenticated => 1003,
            Self::UserNotExist => 1100,
            Self::ConversationNotExist => 1101,
            Self::PermissionDenied => 1102,
            Self::MessageTooLarge => 1103,
            Self::LoginTooFast
            | Self::SendTooFast
            | Self::GroupTooBusy
            | Self::TooManyConversations
            | Self::DailyShareUsed => 1104,
            Self::ClientMessageIdReused => 1105,
            Self::MessageKeyWrong => 1106,
            Self::StorageFull | Self::StorageDamaged | Self::Busy | Self::HookFailed => 1500,
        }
    }

    /// The stable word for the refusal in the operator's HTTP API and in metrics.
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
            Self::LoginTooFast => "login_too_fast",
            Self::SendTooFast => "send_too_fast",
            Self::GroupTooBusy => "group_too_busy",
            Self::TooManyConversations => "too_many_conversations",
            Self::DailyShareUsed => "daily_share_used",
            Self::ClientMessageIdReused => "client_message_id_reused",
            Self::MessageKeyWrong => "message_key_wrong",
            Self::GroupExists => "group_exists",
            Self::Busy => "shard_busy",
            Self::TooManyNames => "too_many_names",
            Self::HookFailed => "hook_failed",
            Self::GroupFull => "group_full",
            Self::TooManyJoinRequests => "too_many_join_requests",
            Self::TooManyGroups => "too_many_groups",
            Self::StorageFull => "storage_full",
            Self::StorageDamaged => "storage_damaged",
        }
    }

    /// The sentence that a client receives when the refusal has no detail of its own.
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
            Self::LoginTooFast => "too many logins from this address, try again later",
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
            Self::HookFailed => "the message could not be checked, try again later",
            Self::GroupFull => "the group would have too many members",
            Self::TooManyJoinRequests => "too many requests to join this group wait for an answer",
            Self::TooManyGroups => "a user is in as many groups as it may be",
        }
    }
}

/// A refusal and what exactly was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The refusal, which determines the codes.
    pub refusal: Refusal,
    /// One of a fixed set of sentences: nothing that a client sent is echoed.
    pub detail: &'static str,
}

impl Refused {
    /// A refusal with a detail.
    pub const fn because(refusal: Refusal, detail: &'static str) -> Self {
        Self { refusal, detail }
    }

    /// `Refusal::InvalidParam` with a detail.
    pub const fn invalid(detail: &'static str) -> Self {
        Self::because(Refusal::InvalidParam, detail)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, detail: refusal.message() }
    }
}

/// One counter for each refusal, in the order of `Refusal::ALL`, and one for malformed requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusalCounts {
    counts: [u64; Refusal::ALL.len()],
    malformed: u64,
}

impl RefusalCounts {
    /// Counts one refusal.
    pub fn count(&mut self, refusal: Refusal) {
        self.counts[refusal as usize] += 1;
    }

    /// Counts one frame that was not a request.
    pub fn count_malformed(&mut self) {
        self.malformed += 1;
    }

    /// Adds the counts of another core.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.malformed += other.malformed;
    }

    /// Every refusal with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.into_iter().zip(self.counts)
    }

    /// Frames that were not a request.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// All refusals together, malformed requests excluded.
    pub fn sum(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_a_count_of_its_own() {
        let mut counts = RefusalCounts::default();
        Refusal::ALL.into_iter().for_each(|refusal| counts.count(refusal));
        assert!(counts.iter().all(|(_, count)| count == 1), "{counts:?}");
        counts.count(Refusal::StorageFull);
        assert!(counts.iter().all(|(refusal, count)| count == 1 + u64::from(refusal == Refusal::StorageFull)));
        assert_eq!((counts.sum(), counts.malformed()), (Refusal::ALL.len() as u64 + 1, 0));
    }
}
