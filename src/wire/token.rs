//! Tokens (PROTOCOL 2.2): a JWT is checked against the turn's clock, and minted for `mushan token`.

use crate::model::{Millis, Refusal, UserId};

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub user: UserId,
    pub expires: Millis,
}

pub struct Verifier {}

impl Verifier {
    /// HS256 with `secret`. `leeway_ms` is added to `exp`.
    pub fn hs256(_secret: &[u8], _leeway_ms: u64) -> Self {
        todo!()
    }

    pub fn verify(&self, _token: &str, _now: Millis) -> Result<Claims, Refusal> {
        todo!()
    }
}

/// A token for `user`, signed with `secret` (HS256), valid until `expires`.
pub fn mint(_secret: &[u8], _user: &UserId, _issued: Millis, _expires: Millis) -> String {
    todo!()
}
