//! The client's side of message keys, from the contract: X25519, HKDF-SHA256, HMAC-SHA256.

use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

pub fn public_key(private: [u8; 32]) -> String {
    BASE64_STANDARD.encode(x25519(private, X25519_BASEPOINT_BYTES))
}

/// What a client computes of the key and the salt in `connect`'s result.
pub fn agreed(private: [u8; 32], welcome: &Value) -> hmac::Key {
    let text = |name: &str| welcome[name].as_str().expect("a string").to_owned();
    let server: [u8; 32] = BASE64_STANDARD.decode(text("serverKey")).expect("base64").try_into().expect("32 bytes");
    let mut key = [0; 32];
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, text("salt").as_bytes()).extract(&x25519(private, server));
    secret.expand(&[], hkdf::HKDF_SHA256).and_then(|expanded| expanded.fill(&mut key)).expect("32 bytes");
    hmac::Key::new(hmac::HMAC_SHA256, &key)
}

pub fn proof(key: &hmac::Key, id: &str, channel: &str, payload: &str) -> String {
    let tag = hmac::sign(key, format!("{id}\n{channel}\n1\n{payload}").as_bytes());
    tag.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
