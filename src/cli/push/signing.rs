//! JSON Web Tokens for the push services, signed with the operator's keys.
//!
//! Invariant: a key's file is read by its owner and its group alone.

use crate::server::is_open_to_others;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::path::Path;

/// Signs ES256.
pub struct EcKey(EcdsaKeyPair);

/// Signs RS256.
pub struct RsaKey(RsaKeyPair);

/// Reads a file that holds a secret. `Err` is a sentence.
pub fn read_secret(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match is_open_to_others(path) {
        Ok(false) => Ok(text),
        Ok(true) => {
            Err(format!("{}: other users can read or write it; take that from them with chmod o=", path.display()))
        }
        Err(error) => Err(format!("{}: its mode cannot be read: {error}", path.display())),
    }
}

fn der(pem: &str) -> Result<PrivatePkcs8KeyDer<'static>, String> {
    PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "is no private key in PKCS #8 (-----BEGIN PRIVATE KEY-----)".to_owned())
}

impl EcKey {
    /// A key in PEM. `Err` says what is wrong with it.
    pub fn parse(pem: &str) -> Result<Self, String> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der(pem)?.secret_pkcs8_der());
        pair.map(Self).map_err(|_| "is no private key of the curve P-256".to_owned())
    }

    /// The public key as Web Push has it: an uncompressed point in base64url.
    pub fn public(&self) -> String {
        BASE64URL.encode(self.0.public_key().as_ref())
    }

    /// `kid`: the key's id, where the service wants one.
    pub fn sign(&self, kid: Option<&str>, claims: &Value) -> String {
        let header = match kid {
            Some(kid) => json!({"alg": "ES256", "kid": kid}),
            None => json!({"alg": "ES256", "typ": "JWT"}),
        };
        let signed = unsigned(&header, claims);
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.expect("a P-256 key signs any text");
        format!("{signed}.{}", BASE64URL.encode(signature.as_ref()))
    }
}

impl RsaKey {
    /// A key in PEM. `Err` says what is wrong with it.
    pub fn parse(pem: &str) -> Result<Self, String> {
        let pair = RsaKeyPair::from_pkcs8(der(pem)?.secret_pkcs8_der());
        pair.map(Self).map_err(|_| "is no RSA private key of at least 2048 bits".to_owned())
    }

    pub fn sign(&self, claims: &Value) -> String {
        let signed = unsigned(&json!({"alg": "RS256", "typ": "JWT"}), claims);
        let mut signature = vec![0; self.0.public_modulus_len()];
        let done = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature);
        done.expect("an RSA key signs any text");
        format!("{signed}.{}", BASE64URL.encode(signature))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()))
}
