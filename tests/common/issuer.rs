//! A foreign issuer of tokens, with keys made for the test. It publishes its public keys as a JWK Set.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// The bytes before the key in PKCS #8 for RSA with 2048 bits.
const PKCS8_HEAD_BYTES: usize = 26;

pub struct Issuer {
    pub id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Issuer {
    pub fn rs256(id: &'static str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let document = pair.as_der().expect("it can be written");
        let key = EncodingKey::from_rsa_der(&document.as_ref()[PKCS8_HEAD_BYTES..]);
        Self { id, algorithm: Algorithm::RS256, key }
    }

    pub fn es256(id: &'static str) -> Self {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let key = EncodingKey::from_ec_der(document.expect("a key").as_ref());
        Self { id, algorithm: Algorithm::ES256, key }
    }

    pub fn eddsa(id: &'static str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).expect("a key");
        Self { id, algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(document.as_ref()) }
    }

    /// The issuer's public key, with its id.
    pub fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a key has a public half");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A token with the key's id in its header.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_under(Some(self.id), claims)
    }

    /// A token whose header names this key id, or none.
    pub fn sign_under(&self, id: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).expect("it signs whatever it is given")
    }
}

pub fn jwks(issuers: &[&Issuer]) -> String {
    json!({"keys": issuers.iter().map(|issuer| issuer.jwk()).collect::<Vec<_>>()}).to_string()
}

/// Claims of a token that does not expire before 2096.
pub fn claims(user: &str) -> Value {
    json!({"sub": user, "exp": 4_000_000_000_u64})
}
