//! Tokens (PROTOCOL 2.2): checks a JWT against the turn's clock, and mints one for `mushan token`.
//!
//! Invariants: the key determines a token's algorithm, whatever the token's header says; no clock is read here: the JWT
//! library's own check of times is switched off.

use crate::model::{DeviceKey, Millis, UserId, has_control_character};
use crate::wire::auth::public_key::{PublicKey, TokenAlgorithm};
use crate::wire::auth::token_fault::TokenFault;
use compact_str::CompactString;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

/// The claims of a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user whom the token authenticates.
    pub user: UserId,
    /// The only platform on which the token may be used; `None`: any.
    pub platform: Option<CompactString>,
    /// The wall-clock time of issue; 0 if the token has none.
    pub issued: Millis,
    /// The wall-clock time at which the token expires; the maximum if it has none and needs none.
    pub expires: Millis,
}

impl Claims {
    /// The device of a session with this token. A binary client names only its platform; an empty one is taken from the
    /// token.
    ///
    /// # Errors
    ///
    /// `TokenFault::OtherPlatform`.
    pub fn on_its_platform(&self, device: DeviceKey) -> Result<DeviceKey, TokenFault> {
        match &self.platform {
            Some(platform) if platform.len() > DeviceKey::ID_BYTES_MAX || has_control_character(platform) => {
                Err(TokenFault::OtherPlatform)
            }
            Some(platform) if device.id.is_empty() => Ok(DeviceKey { id: platform.clone(), ..device }),
            Some(platform) if *platform != device.id => Err(TokenFault::OtherPlatform),
            _ => Ok(device),
        }
    }
}

/// Whether a token must have an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// A token without `exp` is refused.
    Required,
    /// A token without `exp` never expires.
    Optional,
}

/// The claims as the token has them. Times are seconds, fractions allowed (RFC 7519, NumericDate).
#[derive(Deserialize)]
struct RawClaims {
    sub: Option<String>,
    user_id: Option<String>,
    uid: Option<String>,
    platform: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
}

#[derive(Serialize)]
struct MintedClaims<'a> {
    sub: &'a str,
    /// Precise to the millisecond, so that a token minted in the second of a revocation, but after it, is valid.
    iat: f64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'a str>,
}

/// Verifies tokens with a set of keys.
pub struct Verifier {
    keys: Vec<Key>,
    expiry: Expiry,
    leeway_ms: u64,
}

struct Key {
    id: Option<String>,
    algorithm: TokenAlgorithm,
    key: DecodingKey,
    validation: Validation,
}

impl Key {
    fn new(id: Option<String>, algorithm: TokenAlgorithm, key: DecodingKey) -> Self {
        let mut validation = Validation::new(algorithm.in_header());
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Self { id, algorithm, key, validation }
    }

    /// Whether a token with this header may be its own. There is one shared secret, and it has no name.
    fn is_meant(&self, header: &Header) -> bool {
        let is_named = self.algorithm == TokenAlgorithm::Hs256 || header.kid.is_none() || header.kid == self.id;
        is_named && self.algorithm.in_header() == header.alg
    }
}

impl Verifier {
    /// Verifies HS256 tokens signed with `secret`, and no others. `leeway_ms` milliseconds are added to `exp`.
    pub fn hs256(secret: &[u8], leeway_ms: u64) -> Self {
        Self::new(Expiry::Required, leeway_ms).with_secret(secret)
    }

    /// Verifies no token yet: keys are added by `with_secret` and `with_keys`.
    pub fn new(expiry: Expiry, leeway_ms: u64) -> Self {
        Self { keys: Vec::new(), expiry, leeway_ms }
    }

    /// Also verifies HS256 tokens signed with this secret.
    #[must_use]
    pub fn with_secret(mut self, secret: &[u8]) -> Self {
        self.keys.push(Key::new(None, TokenAlgorithm::Hs256, DecodingKey::from_secret(secret)));
        self
    }

    /// Also verifies tokens signed with these keys.
    #[must_use]
    pub fn with_keys(mut self, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        self.keys.extend(keys.into_iter().map(|it| Key::new(it.id, it.algorithm, it.key)));
        self
    }

    /// Checks signature and times of a token. A token is expired from `exp` and the leeway on; `Claims::expires` is
    /// `exp` itself.
    ///
    /// # Errors
    ///
    /// The first fault found.
    pub fn verify(&self, token: &str, now: Millis) -> Result<Claims, TokenFault> {
        let claims = self.claims(token)?;
        let named = claims.sub.or(claims.user_id).or(claims.uid).ok_or(TokenFault::NoUser)?;
        let user = UserId::new(&named).map_err(|_| TokenFault::BadUser)?;
        let expires = match (claims.exp, self.expiry) {
            (Some(seconds), _) => to_millis(seconds),
            (None, Expiry::Optional) => Millis(u64::MAX),
            (None, Expiry::Required) => return Err(TokenFault::NoExpiry),
        };
        if claims.exp.is_some() && expires > YEAR_9999_ENDS {
            return Err(TokenFault::ExpiryTooFar);
        }
        if expires < Millis(u64::MAX) && now >= expires.plus(self.leeway_ms) {
            return Err(TokenFault::Expired);
        }
        if claims.nbf.is_some_and(|seconds| to_millis(seconds) > now.plus(self.leeway_ms)) {
            return Err(TokenFault::NotYet);
        }
        let platform = claims.platform.filter(|it| !it.is_empty()).map(CompactString::from);
        let issued = claims.iat.map_or(Millis(0), to_millis);
        Ok(Claims { user, platform, issued, expires })
    }

    /// The token's claims, if one of the keys verifies its signature.
    fn claims(&self, token: &str) -> Result<RawClaims, TokenFault> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenFault::NotAToken)?;
        // RFC 7515, 4.1.11: none of the extensions that a token can insist on is known here.
        if header.crit.is_some() {
            return Err(TokenFault::UnknownExtension);
        }
        let mut fault = TokenFault::NoKey;
        for key in self.keys.iter().filter(|key| key.is_meant(&header)) {
            match jsonwebtoken::decode(token, &key.key, &key.validation) {
                Ok(token) => return Ok(token.claims),
                Err(error) => fault = fault_of(error.kind()),
            }
        }
        Err(fault)
    }
}

fn fault_of(error: &ErrorKind) -> TokenFault {
    match error {
        ErrorKind::Json(_) | ErrorKind::Utf8(_) => TokenFault::WrongType,
        ErrorKind::InvalidToken | ErrorKind::Base64(_) => TokenFault::NotAToken,
        _ => TokenFault::WrongSignature,
    }
}

/// An expiry after this time is a sign that the issuer wrote milliseconds.
const YEAR_9999_ENDS: Millis = Millis(253_402_300_800_000);

/// Negative times become 0, huge ones the maximum.
fn to_millis(seconds: f64) -> Millis {
    Millis((seconds * 1_000.0).round() as u64)
}

/// A token for `user`, signed with `secret` (HS256), valid until `expires`.
pub fn mint(secret: &[u8], user: &UserId, issued: Millis, expires: Millis) -> String {
    mint_for_platform(secret, user, None, issued, expires)
}

/// The same, for one platform of the binary protocol only.
pub fn mint_for_platform(
    secret: &[u8],
    user: &UserId,
    platform: Option<&str>,
    issued: Millis,
    expires: Millis,
) -> String {
    let (iat, exp) = (issued.0 as f64 / 1_000.0, expires.0 / 1_000);
    let claims = MintedClaims { sub: user.as_str(), iat, exp, platform };
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

    fn verify(token: &str) -> Result<Claims, TokenFault> {
        Verifier::hs256(SECRET, 5_000).verify(token, NOW)
    }

    #[test]
    fn a_minted_token_is_valid_until_it_expires_plus_the_leeway() {
        let user = UserId::new("小明").expect("well formed");
        let expires = NOW.plus(60_000);
        let token = mint(SECRET, &user, NOW, expires);
        let verifier = Verifier::hs256(SECRET, 5_000);
        let claims = Claims { user, platform: None, issued: NOW, expires };
        assert_eq!(verifier.verify(&token, NOW), Ok(claims.clone()));
        assert_eq!(verifier.verify(&token, expires.plus(4_999)), Ok(claims));
        assert_eq!(verifier.verify(&token, expires.plus(5_000)), Err(TokenFault::Expired));
    }

    #[test]
    fn a_minted_token_says_to_the_millisecond_when_it_was_made() {
        for ms in 0..1_000 {
            let issued = NOW.plus(ms);
            let token = mint(SECRET, &UserId::new("alice").expect("well formed"), issued, NOW.plus(60_000));
            assert_eq!(verify(&token).map(|claims| claims.issued), Ok(issued));
        }
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
        for (claims, fault) in [
            (r#"{"exp":1800000000}"#, TokenFault::NoUser),
            (r#"{"sub":"alice"}"#, TokenFault::NoExpiry),
            (r#"{"sub":"alice","exp":"soon"}"#, TokenFault::WrongType),
            (r#"{"sub":"","exp":1800000000}"#, TokenFault::BadUser),
            (r#"{"sub":"a\u0007","exp":1800000000}"#, TokenFault::BadUser),
            (r#"{"sub":7,"exp":1800000000}"#, TokenFault::WrongType),
            (r#"{"sub":"alice","exp":1800000000,"nbf":1799999999}"#, TokenFault::NotYet),
            (r#"{"sub":"alice","exp":1800000000000}"#, TokenFault::ExpiryTooFar),
            (r#"{"sub":"alice","exp":1e300}"#, TokenFault::ExpiryTooFar),
        ] {
            assert_eq!(verify(&signed(Algorithm::HS256, SECRET, claims)), Err(fault), "{claims}");
        }
        assert!(verify(&signed(Algorithm::HS256, SECRET, r#"{"sub":"alice","exp":253402300799}"#)).is_ok());
        let expired = signed(Algorithm::HS256, SECRET, r#"{"sub":"alice","exp":-1}"#);
        assert_eq!(verify(&expired), Err(TokenFault::Expired));
    }

    #[test]
    fn only_hs256_with_our_secret_is_accepted() {
        let claims = r#"{"sub":"alice","exp":1800000000}"#;
        assert!(verify(&signed(Algorithm::HS256, SECRET, claims)).is_ok());
        for (algorithm, secret, fault) in [
            (Algorithm::HS256, b"other".as_slice(), TokenFault::WrongSignature),
            (Algorithm::HS384, SECRET, TokenFault::NoKey),
            (Algorithm::HS512, SECRET, TokenFault::NoKey),
        ] {
            assert_eq!(verify(&signed(algorithm, secret, claims)), Err(fault), "{algorithm:?}");
        }
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let body = BASE64_URL_SAFE_NO_PAD.encode(claims);
        for token in [format!("{header}.{body}."), format!("{header}.{body}"), String::new(), "a.b.c".into()] {
            assert_eq!(verify(&token), Err(TokenFault::NotAToken), "{token}");
        }
    }

    #[test]
    fn a_token_without_an_expiry_is_good_for_ever_where_none_is_required() {
        let verifier = Verifier::new(Expiry::Optional, 5_000).with_secret(SECRET);
        let verify = |claims: &str| verifier.verify(&signed(Algorithm::HS256, SECRET, claims), NOW);
        let for_ever = verify(r#"{"sub":"alice","platform":"iOS","iat":1699999999.5}"#).expect("good");
        assert_eq!((for_ever.expires, for_ever.issued), (Millis(u64::MAX), Millis(1_699_999_999_500)));
        assert_eq!(for_ever.platform.as_deref(), Some("iOS"));
        assert_eq!(verify(r#"{"sub":"alice","exp":1699999000}"#), Err(TokenFault::Expired), "what it says holds");
        assert_eq!(verify(r#"{"sub":"alice","exp":"soon"}"#), Err(TokenFault::WrongType));
    }

    #[test]
    fn a_token_for_one_platform_is_good_on_no_other() {
        let claims = |platform: &str| {
            let text = format!(r#"{{"sub":"alice","exp":1800000000,"platform":"{platform}"}}"#);
            verify(&signed(Algorithm::HS256, SECRET, &text)).expect("good")
        };
        let on = |platform: &str, device: &str| {
            let device = DeviceKey { flag: 0, id: device.into() };
            claims(platform).on_its_platform(device).map(|device| device.id.to_string())
        };
        assert_eq!((on("iOS", "iOS"), on("iOS", "")), (Ok("iOS".to_owned()), Ok("iOS".to_owned())));
        assert_eq!(on("iOS", "Web"), Err(TokenFault::OtherPlatform));
        assert_eq!(on("", "Web"), Ok("Web".to_owned()), "for every platform");
        assert_eq!(on(&"x".repeat(129), ""), Err(TokenFault::OtherPlatform));
    }

    #[test]
    fn a_token_that_insists_on_an_extension_fails() {
        let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::new(Algorithm::HS256) };
        let claims = serde_json::json!({"sub": "alice", "exp": 1_800_000_000});
        let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET)).expect("signs");
        assert_eq!(verify(&token), Err(TokenFault::UnknownExtension));
    }

    #[test]
    fn a_changed_body_fails() {
        let token = signed(Algorithm::HS256, SECRET, r#"{"sub":"alice","exp":1800000000}"#);
        let parts: Vec<&str> = token.split('.').collect();
        let forged = BASE64_URL_SAFE_NO_PAD.encode(r#"{"sub":"mallory","exp":1800000000}"#);
        assert_eq!(verify(&format!("{}.{forged}.{}", parts[0], parts[2])), Err(TokenFault::WrongSignature));
    }
}
