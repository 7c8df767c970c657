//! Tokens (PROTOCOL 2.2): a JWT is checked against the turn's clock, and minted for `mushan token`.
//!
//! Invariants: only the algorithms named here are accepted, whatever the token's header says, and no clock is read: the
//! crate's own validation of times is switched off.

use crate::model::{Millis, Refusal, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub user: UserId,
    pub expires: Millis,
}

/// The claims as they stand in the token. Times are seconds, fractions allowed (RFC 7519, NumericDate).
#[derive(Deserialize)]
struct RawClaims {
    sub: Option<String>,
    user_id: Option<String>,
    uid: Option<String>,
    exp: f64,
    nbf: Option<f64>,
}

#[derive(Serialize)]
struct MintedClaims<'a> {
    sub: &'a str,
    iat: u64,
    exp: u64,
}

pub struct Verifier {
    key: DecodingKey,
    validation: Validation,
    leeway_ms: u64,
}

impl Verifier {
    /// HS256 with `secret`. `leeway_ms` is added to `exp`.
    pub fn hs256(secret: &[u8], leeway_ms: u64) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Self { key: DecodingKey::from_secret(secret), validation, leeway_ms }
    }

    /// `AuthFailed` for whatever is wrong with a token but its age, `TokenExpired` from `exp` + leeway on.
    /// `Claims::expires` is `exp` itself.
    pub fn verify(&self, token: &str, now: Millis) -> Result<Claims, Refusal> {
        let claims = jsonwebtoken::decode::<RawClaims>(token, &self.key, &self.validation)
            .map_err(|_| Refusal::AuthFailed)?
            .claims;
        let named = claims.sub.or(claims.user_id).or(claims.uid).ok_or(Refusal::AuthFailed)?;
        let user = UserId::new(&named).map_err(|_| Refusal::AuthFailed)?;
        let expires = to_millis(claims.exp);
        if now >= expires.plus(self.leeway_ms) {
            return Err(Refusal::TokenExpired);
        }
        if claims.nbf.is_some_and(|seconds| to_millis(seconds) > now.plus(self.leeway_ms)) {
            return Err(Refusal::AuthFailed);
        }
        Ok(Claims { user, expires })
    }
}

/// Negative times become 0, huge ones the end of time.
fn to_millis(seconds: f64) -> Millis {
    Millis((seconds * 1_000.0) as u64)
}

/// A token for `user`, signed with `secret` (HS256), valid until `expires`.
pub fn mint(secret: &[u8], user: &UserId, issued: Millis, expires: Millis) -> String {
    let claims = MintedClaims { sub: user.as_str(), iat: issued.0 / 1_000, exp: expires.0 / 1_000 };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret))
        .expect("HS256 signs any claims with any secret")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    const SECRET: &[u8] = b"a secret of some thirty-two bytes";
    const NOW: Millis = Millis(1_700_000_000_000);

    fn signed(algorithm: Algorithm, secret: &[u8], claims: &str) -> String {
        let claims: serde_json::Value = serde_json::from_str(claims).expect("JSON");
        jsonwebtoken::encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(secret)).expect("signs")
    }

    fn verify(token: &str) -> Result<Claims, Refusal> {
        Verifier::hs256(SECRET, 5_000).verify(token, NOW)
    }

    #[test]
    fn a_minted_token_is_valid_until_it_expires_plus_the_leeway() {
        let user = UserId::new("小明").expect("well formed");
        let expires = NOW.plus(60_000);
        let token = mint(SECRET, &user, NOW, expires);
        let verifier = Verifier::hs256(SECRET, 5_000);
        assert_eq!(verifier.verify(&token, NOW), Ok(Claims { user: user.clone(), expires }));
        assert_eq!(verifier.verify(&token, expires.plus(4_999)), Ok(Claims { user, expires }));
        assert_eq!(verifier.verify(&token, expires.plus(5_000)), Err(Refusal::TokenExpired));
    }

    #[test]
    fn the_user_is_named_by_sub_or_user_id_or_uid_in_this_order() {
        for claims in [
            r#"{"sub":"alice","user_id":"bob","uid":"carol","exp":1800000000}"#,
            r#"{"user_id":"alice","uid":"carol","exp":1800000000.5}"#,
            r#"{"uid":"alice","exp":1800000000,"aud":"elsewhere"}"#,
        ] {
            let verified = verify(&signed(Algorithm::HS256, SECRET, claims));
            assert_eq!(verified.expect(claims).user.as_str(), "alice", "{claims}");
        }
    }

    #[test]
    fn a_token_without_its_claims_or_with_bad_ones_fails() {
        for claims in [
            r#"{"exp":1800000000}"#,
            r#"{"sub":"alice"}"#,
            r#"{"sub":"alice","exp":"soon"}"#,
            r#"{"sub":"","exp":1800000000}"#,
            r#"{"sub":"a\u0007","exp":1800000000}"#,
            r#"{"sub":7,"exp":1800000000}"#,
            r#"{"sub":"alice","exp":1800000000,"nbf":1799999999}"#,
        ] {
            assert_eq!(verify(&signed(Algorithm::HS256, SECRET, claims)), Err(Refusal::AuthFailed), "{claims}");
        }
        let expired = signed(Algorithm::HS256, SECRET, r#"{"sub":"alice","exp":-1}"#);
        assert_eq!(verify(&expired), Err(Refusal::TokenExpired));
    }

    #[test]
    fn only_hs256_with_our_secret_is_accepted() {
        let claims = r#"{"sub":"alice","exp":1800000000}"#;
        assert!(verify(&signed(Algorithm::HS256, SECRET, claims)).is_ok());
        for (algorithm, secret) in
            [(Algorithm::HS256, b"other".as_slice()), (Algorithm::HS384, SECRET), (Algorithm::HS512, SECRET)]
        {
            assert_eq!(verify(&signed(algorithm, secret, claims)), Err(Refusal::AuthFailed), "{algorithm:?}");
        }
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let body = BASE64_URL_SAFE_NO_PAD.encode(claims);
        for token in [format!("{header}.{body}."), format!("{header}.{body}"), String::new(), "a.b.c".into()] {
            assert_eq!(verify(&token), Err(Refusal::AuthFailed), "{token}");
        }
    }

    #[test]
    fn a_changed_body_fails() {
        let token = signed(Algorithm::HS256, SECRET, r#"{"sub":"alice","exp":1800000000}"#);
        let parts: Vec<&str> = token.split('.').collect();
        let forged = BASE64_URL_SAFE_NO_PAD.encode(r#"{"sub":"mallory","exp":1800000000}"#);
        assert_eq!(verify(&format!("{}.{forged}.{}", parts[0], parts[2])), Err(Refusal::AuthFailed));
    }
}
