//! What can be wrong with a token: told to the operator (debug log, metrics, `mushan token --check`), and to the client as
//! far as that is its business.

use crate::model::{Refusal, Refused};

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("it is no JWT: three parts of base64url with dots between, the first two JSON")]
    NotAToken,
    #[error("its header insists on an extension (crit), and none is known here")]
    UnknownExtension,
    #[error("no key here verifies its algorithm (alg) or is named like its key (kid)")]
    NoKey,
    #[error(
        "its signature is wrong: with HS256 the key is the 32 bytes that the 64 hex digits in token-secret stand for, not \
         their text"
    )]
    WrongSignature,
    #[error(
        "a claim is of the wrong type: exp, nbf and iat are numbers of seconds, sub, user_id, uid and platform texts"
    )]
    WrongType,
    #[error("no claim names the user: sub, user_id or uid")]
    NoUser,
    #[error("the user's id is empty, longer than 64 bytes, or holds a control character")]
    BadUser,
    #[error("it has no exp, and auth.exp is \"required\"")]
    NoExpiry,
    #[error("its exp is beyond the year 9999: is that milliseconds? It is to be seconds")]
    ExpiryTooFar,
    #[error("it has expired")]
    Expired,
    #[error("its nbf is still to come")]
    NotYet,
    #[error("it is another user's")]
    OtherUser,
    #[error("it is good on another platform only")]
    OtherPlatform,
    #[error("it was revoked: its iat is not later than the revocation")]
    Revoked,
    #[error("the user's account is disabled")]
    AccountDisabled,
}

impl TokenFault {
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

    /// For labels.
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

    /// What the client hears. Whoever cannot sign does not learn from it what a good token would be like.
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

    /// Why an account does not admit a token that is good.
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
