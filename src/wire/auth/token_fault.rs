//! The reasons why a token is refused. The operator sees them all (debug log, metrics, `mushan token --check`), the
//! client only those that concern it.

use crate::model::{Refusal, Refused};

/// The reason why a token is refused. `Display` is the sentence for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// The text is not a JWT.
    #[error("it is no JWT: three parts of base64url with dots between, the first two JSON")]
    NotAToken,
    /// The header has `crit` (RFC 7515, 4.1.11), and no extension is supported.
    #[error("its header requires an extension (crit), and none is supported")]
    UnknownExtension,
    /// No key has this algorithm and key id.
    #[error("no key here verifies its algorithm (alg) or is named like its key (kid)")]
    NoKey,
    /// No key verifies the signature.
    #[error(
        "its signature is wrong: with HS256 the key is the 32 bytes that the 64 hex digits in token-secret stand for, not \
         their text"
    )]
    WrongSignature,
    /// A claim has the wrong JSON type.
    #[error(
        "a claim is of the wrong type: exp, nbf and iat are numbers of seconds, sub, user_id, uid and platform texts"
    )]
    WrongType,
    /// The user claim is missing.
    #[error("no claim names the user: sub, user_id or uid")]
    NoUser,
    /// The user claim is not a user id.
    #[error("the user's id is empty, longer than 64 bytes, or holds a control character")]
    BadUser,
    /// `exp` is missing and required.
    #[error("it has no exp, and auth.exp is \"required\"")]
    NoExpiry,
    /// `exp` is after the year 9999.
    #[error("its exp is beyond the year 9999: is that milliseconds? It is to be seconds")]
    ExpiryTooFar,
    /// The token has expired.
    #[error("it has expired")]
    Expired,
    /// The token is not valid yet.
    #[error("it is not valid yet: its nbf is in the future")]
    NotYet,
    /// The token belongs to another user than the request names.
    #[error("it is another user's")]
    OtherUser,
    /// The token is valid on another platform only.
    #[error("it is valid on another platform only")]
    OtherPlatform,
    /// An operator has revoked the token.
    #[error("it was revoked: its iat is not later than the revocation")]
    Revoked,
    /// An operator has disabled the account.
    #[error("the user's account is disabled")]
    AccountDisabled,
}

impl TokenFault {
    /// Every fault, in the order of the metrics.
    pub const ALL: [Self; 15] = [
        Self::NotAToken,
        Self::UnknownExtension,
        Self::NoKey,
        Self::WrongSignature,
        Self::WrongType,
        Self::NoUser,
        Self::BadUser,
        Self::NoExpiry,
        Self::ExpiryTooFar,
        Self::Expired,
        Self::NotYet,
        Self::OtherUser,
        Self::OtherPlatform,
        Self::Revoked,
        Self::AccountDisabled,
    ];

    /// The stable word for the fault in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAToken => "not_a_token",
            Self::UnknownExtension => "unknown_extension",
            Self::NoKey => "no_key",
            Self::WrongSignature => "wrong_signature",
            Self::WrongType => "wrong_type",
            Self::NoUser => "no_user",
            Self::BadUser => "bad_user",
            Self::NoExpiry => "no_expiry",
            Self::ExpiryTooFar => "expiry_too_far",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::OtherUser => "other_user",
            Self::OtherPlatform => "other_platform",
            Self::Revoked => "revoked",
            Self::AccountDisabled => "account_disabled",
        }
    }

    /// The refusal that the client receives. It does not help a client that cannot sign to construct a valid token.
    pub fn refused(self) -> Refused {
        match self {
            Self::Expired => Refusal::TokenExpired.into(),
            Self::Revoked => Refusal::TokenRevoked.into(),
            Self::AccountDisabled => Refusal::AccountDisabled.into(),
            Self::ExpiryTooFar => {
                Refused::because(Refusal::AuthFailed, "exp is beyond the year 9999: it is in seconds")
            }
            _ => Refusal::AuthFailed.into(),
        }
    }

    /// The fault of a valid token whose account is refused.
    pub fn of_account(refusal: Refusal) -> Self {
        if refusal == Refusal::AccountDisabled { Self::AccountDisabled } else { Self::Revoked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_has_a_name_of_its_own_and_its_place_in_the_list() {
        assert_eq!(TokenFault::ALL.map(TokenFault::name).into_iter().collect::<BTreeSet<_>>().len(), 15);
        assert!(TokenFault::ALL.into_iter().enumerate().all(|(at, fault)| fault as usize == at));
    }
}
