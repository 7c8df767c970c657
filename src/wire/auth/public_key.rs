//! Public keys that verify tokens, read from JSON Web Keys (RFC 7517), and the algorithms of tokens.
//!
//! Invariants: a key has exactly one algorithm, its own, whatever a token's header says; a key that could verify
//! nothing is refused when it is read, not when a token arrives.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

/// The signature algorithm of a token (RFC 7518).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256 and a shared secret.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519 (RFC 8037).
    EdDsa,
}

impl TokenAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// The name of the algorithm in tokens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    pub(in crate::wire) fn in_header(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// The reason why a JSON Web Key is refused. Contains none of the key's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// A member is missing or is not a string.
    #[error("lacks a member that its kty needs, or one of them is not text")]
    Incomplete,
    /// A member is not base64url.
    #[error("has a member that is not base64url without padding")]
    NotBase64,
    /// The key is a shared secret.
    #[error("is a shared secret (kty oct), and only public keys belong here")]
    Secret,
    /// `alg` contradicts the key's type or curve.
    #[error("names an alg that is not one of its kty and crv")]
    OtherAlgorithm,
    /// The modulus has a refused size, or the exponent is invalid.
    #[error("is an RSA key with a modulus of less than 2048 or more than 8192 bits, or an exponent that is none")]
    BadRsa,
    /// The coordinates are not on the curve.
    #[error("is not a point of the curve P-256")]
    BadPoint,
    /// The bytes are not an Ed25519 public key.
    #[error("is not an Ed25519 key")]
    BadEdwards,
}

/// A key that verifies the signatures of one issuer's tokens.
#[derive(Clone)]
pub struct PublicKey {
    pub(in crate::wire) id: Option<String>,
    pub(in crate::wire) algorithm: TokenAlgorithm,
    pub(in crate::wire) key: DecodingKey,
}

impl PublicKey {
    /// The one algorithm of the key.
    pub fn algorithm(&self) -> TokenAlgorithm {
        self.algorithm
    }

    /// The key in a JSON Web Key; `None` if the key has another purpose: encryption, or a curve or algorithm that
    /// tokens here do not use.
    ///
    /// # Errors
    ///
    /// The key is meant for tokens, and malformed.
    pub fn of(jwk: &Jwk) -> Result<Option<Self>, KeyFault> {
        let Some(algorithm) = fitting(&jwk.algorithm)? else { return Ok(None) };
        let common = &jwk.common;
        let is_for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        let verifies = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
        if !is_for_signatures || !verifies {
            return Ok(None);
        }
        match common.key_algorithm {
            None => {}
            Some(named) if named == algorithm.in_header().into() => {}
            // An RSA key may be meant for other paddings and hashes; of the curves here each has one algorithm.
            Some(named) if algorithm == TokenAlgorithm::Rs256 && is_of_rsa(named) => return Ok(None),
            Some(KeyAlgorithm::UNKNOWN_ALGORITHM) => return Ok(None),
            Some(_) => return Err(KeyFault::OtherAlgorithm),
        }
        expect_sound(&jwk.algorithm)?;
        let key = DecodingKey::from_jwk(jwk).map_err(|_| KeyFault::NotBase64)?;
        Ok(Some(Self { id: common.key_id.clone(), algorithm, key }))
    }
}

/// The algorithm that belongs to a key's type, if tokens here use it.
fn fitting(parameters: &AlgorithmParameters) -> Result<Option<TokenAlgorithm>, KeyFault> {
    match parameters {
        AlgorithmParameters::RSA(_) => Ok(Some(TokenAlgorithm::Rs256)),
        AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => Ok(Some(TokenAlgorithm::Es256)),
        AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => Ok(Some(TokenAlgorithm::EdDsa)),
        AlgorithmParameters::OctetKey(_) => Err(KeyFault::Secret),
        AlgorithmParameters::Other(other) => {
            // What is no key of a known kind is a key of another kind, or a broken one of a known kind.
            let text = |name: &str| other.fields.get(name).and_then(|value| value.as_str());
            match (text("kty"), text("crv")) {
                (Some("oct"), _) => Err(KeyFault::Secret),
                (None | Some("RSA"), _)
                | (Some("EC"), None | Some("P-256"))
                | (Some("OKP"), None | Some("Ed25519")) => Err(KeyFault::Incomplete),
                _ => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

fn is_of_rsa(algorithm: KeyAlgorithm) -> bool {
    use KeyAlgorithm::{PS256, PS384, PS512, RS256, RS384, RS512, RSA_OAEP, RSA_OAEP_256, RSA1_5};
    [RS256, RS384, RS512, PS256, PS384, PS512, RSA1_5, RSA_OAEP, RSA_OAEP_256].contains(&algorithm)
}

fn expect_sound(parameters: &AlgorithmParameters) -> Result<(), KeyFault> {
    match parameters {
        AlgorithmParameters::RSA(rsa) => {
            let (modulus, exponent) = (bytes(&rsa.n)?, bytes(&rsa.e)?);
            let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
            // A larger exponent would make a stranger's token cost as much as a private operation.
            let is_exponent = is_odd(&exponent) && (2..=33).contains(&bits(&exponent));
            let is_sound = is_exponent && is_odd(&modulus) && (2_048..=8_192).contains(&bits(&modulus));
            if is_sound { Ok(()) } else { Err(KeyFault::BadRsa) }
        }
        AlgorithmParameters::EllipticCurve(it) => {
            let (x, y) = (bytes(&it.x)?, bytes(&it.y)?);
            let point = [[4].as_slice(), x.as_slice(), y.as_slice()].concat();
            let is_sound = x.len() == 32 && ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).is_ok();
            if is_sound { Ok(()) } else { Err(KeyFault::BadPoint) }
        }
        AlgorithmParameters::OctetKeyPair(it) => {
            let key = bytes(&it.x)?;
            let is_sound = key.len() == 32 && ParsedPublicKey::new(&ED25519, &key).is_ok();
            if is_sound { Ok(()) } else { Err(KeyFault::BadEdwards) }
        }
        _ => Ok(()),
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, KeyFault> {
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyFault::NotBase64)
}

/// The bits of a number that is given with the most significant byte first.
fn bits(number: &[u8]) -> usize {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    number.get(first).map_or(0, |byte| (number.len() - first) * 8 - byte.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<TokenAlgorithm>, KeyFault> {
        let jwk: Jwk = serde_json::from_str(text).expect("a key's shape");
        PublicKey::of(&jwk).map(|key| key.map(|key| key.algorithm()))
    }

    /// RFC 8037, A.2, and RFC 7517, A.1.
    const ED25519_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const P256_X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const P256_Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    fn p256(more: &str) -> String {
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{P256_X}","y":"{P256_Y}"{more}}}"#)
    }

    #[test]
    fn a_key_has_the_algorithm_of_its_kind() {
        let ed = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{ED25519_X}","alg":"EdDSA","use":"sig"}}"#);
        assert_eq!(read(&ed), Ok(Some(TokenAlgorithm::EdDsa)));
        assert_eq!(read(&p256("")), Ok(Some(TokenAlgorithm::Es256)));
        assert_eq!(read(&p256(r#","key_ops":["verify"]"#)), Ok(Some(TokenAlgorithm::Es256)));
        assert_eq!(read(&rsa(&modulus(256), "AQAB", "")), Ok(Some(TokenAlgorithm::Rs256)));
    }

    fn rsa(n: &str, e: &str, more: &str) -> String {
        format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"{more}}}"#)
    }

    fn modulus(bytes: usize) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(vec![0xff; bytes])
    }

    #[test]
    fn keys_for_something_else_are_passed_over() {
        for other in [
            p256(r#","use":"enc""#),
            p256(r#","key_ops":["deriveBits"]"#),
            p256(r#","alg":"ECDH-ES""#),
            rsa(&modulus(256), "AQAB", r#","alg":"PS256""#),
            r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#.to_owned(),
            r#"{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}"#.to_owned(),
            r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#.to_owned(),
            r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}"#.to_owned(),
        ] {
            assert_eq!(read(&other), Ok(None), "{other}");
        }
    }

    #[test]
    fn a_key_that_could_verify_nothing_is_refused_and_says_what_is_wrong() {
        for (text, fault) in [
            (r#"{"kty":"oct","k":"AAAA"}"#.to_owned(), KeyFault::Secret),
            (r#"{"kty":"RSA","n":"AAAA"}"#.to_owned(), KeyFault::Incomplete),
            (r#"{"n":"AAAA"}"#.to_owned(), KeyFault::Incomplete),
            (r#"{"kty":"EC","crv":"P-256","x":"AA"}"#.to_owned(), KeyFault::Incomplete),
            (rsa(&modulus(256), "A Q", ""), KeyFault::NotBase64),
            (rsa(&modulus(128), "AQAB", ""), KeyFault::BadRsa),
            (rsa(&modulus(1_025), "AQAB", ""), KeyFault::BadRsa),
            (rsa(&modulus(256), "AQ", ""), KeyFault::BadRsa),
            (rsa(&modulus(256), &modulus(64), ""), KeyFault::BadRsa),
            (p256(r#","alg":"RS256""#), KeyFault::OtherAlgorithm),
            (p256(r#","alg":"HS256""#), KeyFault::OtherAlgorithm),
            (format!(r#"{{"kty":"EC","crv":"P-256","x":"{P256_X}","y":"{P256_X}"}}"#), KeyFault::BadPoint),
            (r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#.to_owned(), KeyFault::BadEdwards),
        ] {
            assert_eq!(read(&text), Err(fault), "{text}");
        }
    }
}
