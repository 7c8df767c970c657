//! Message keys (PROTOCOL 3.13): a client that sends its X25519 key shares a secret with the server, and each side
//! proves with every message that it knows the secret.
//!
//! Invariants: secrets cannot be printed; nothing here is random: the edge supplies the private key and the salt. A
//! message key authenticates a message and does not hide it; that is TLS's task.

use crate::wire::base::base64::BASE64;
use aws_lc_rs::{constant_time, hkdf, hmac};
use base64::Engine;
use std::fmt;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

/// Bytes of the HMAC that are sent, as 32 hex digits.
const SENT_BYTES: usize = 16;

/// The server's X25519 key pair.
#[derive(Clone)]
pub struct ServerKey {
    private: [u8; 32],
    public: String,
}

impl ServerKey {
    /// The key pair of 32 random bytes.
    pub fn of(private: [u8; 32]) -> Self {
        let public = BASE64.encode(x25519(private, X25519_BASEPOINT_BYTES));
        Self { private, public }
    }

    /// Base64 of the public key, for the result of `connect`.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The key of a session with this client; `None` if the client's key yields a secret that everybody knows.
    pub(in crate::wire) fn agree(&self, client: ClientKey, salt: &[u8]) -> Option<MessageKey> {
        let shared = x25519(self.private, client.0);
        if constant_time::verify_slices_are_equal(&shared, &[0; 32]).is_ok() {
            return None;
        }
        let mut key = [0; 32];
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&shared);
        secret.expand(&[], hkdf::HKDF_SHA256).and_then(|expanded| expanded.fill(&mut key)).ok()?;
        Some(MessageKey(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ServerKey({})", self.public)
    }
}

/// A client's X25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) struct ClientKey([u8; 32]);

impl ClientKey {
    /// Decodes base64 of 32 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// The key that proves the messages of one session.
pub(in crate::wire) struct MessageKey(hmac::Key);

/// The fields of a message that its key proves.
pub(in crate::wire) struct Proved<'a> {
    pub client_message_id: &'a str,
    pub channel_id: &'a str,
    pub channel_type: u8,
    /// The payload as it is sent: an object's JSON text, or a string's own bytes.
    pub payload: &'a [u8],
}

impl MessageKey {
    /// The 32 lowercase hex digits that belong to the message.
    pub fn digits(&self, proved: &Proved<'_>) -> [u8; 2 * SENT_BYTES] {
        const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";
        let tag = self.tag(proved);
        let mut digits = [0; 2 * SENT_BYTES];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(tag.as_ref()) {
            pair[0] = HEXADECIMAL[usize::from(byte >> 4)];
            pair[1] = HEXADECIMAL[usize::from(byte & 15)];
        }
        digits
    }

    /// Whether `given` are the digits that belong to the message.
    pub fn proves(&self, proved: &Proved<'_>, given: &str) -> bool {
        constant_time::verify_slices_are_equal(&self.digits(proved), given.to_ascii_lowercase().as_bytes()).is_ok()
    }

    fn tag(&self, proved: &Proved<'_>) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for line in [proved.client_message_id, proved.channel_id] {
            context.update(line.as_bytes());
            context.update(b"\n");
        }
        context.update(&[b'0' + proved.channel_type, b'\n']);
        context.update(proved.payload);
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVED: Proved<'_> =
        Proved { client_message_id: "c-1", channel_id: "bob", channel_type: 1, payload: br#"{"type":1}"# };

    /// RFC 7748, 6.1: the key pairs of Alice and Bob.
    const ALICE: [u8; 32] = [
        0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c,
        0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a,
    ];
    const BOB: [u8; 32] = [
        0x5d, 0xab, 0x08, 0x7e, 0x62, 0x4a, 0x8a, 0x4b, 0x79, 0xe1, 0x7f, 0x8b, 0x83, 0x80, 0x0e, 0xe6, 0x6f, 0x3b,
        0xb1, 0x29, 0x26, 0x18, 0xb6, 0xfd, 0x1c, 0x2f, 0x8b, 0x27, 0xff, 0x88, 0xe0, 0xeb,
    ];

    #[test]
    fn both_sides_come_to_the_key_that_the_standards_give() {
        let (alice, bob) = (ServerKey::of(ALICE), ServerKey::of(BOB));
        assert_eq!(alice.public(), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
        let key = |own: &ServerKey, other: &ServerKey| {
            own.agree(ClientKey::parse(other.public()).expect("a key"), b"0123456789abcdef").expect("a secret")
        };
        // Computed by Python's hashlib and hmac from the shared secret that RFC 7748 prints.
        let expected = *b"8b44273a7f5331d3d80e796958200460";
        assert_eq!(key(&alice, &bob).digits(&PROVED), expected);
        assert_eq!(key(&bob, &alice).digits(&PROVED), expected);
    }

    #[test]
    fn a_key_proves_one_message_of_one_session() {
        let server = ServerKey::of([7; 32]);
        let client = ClientKey::parse(ServerKey::of([8; 32]).public()).expect("a key");
        let key = server.agree(client, b"0123456789abcdef").expect("a secret");
        let digits = String::from_utf8(key.digits(&PROVED).to_vec()).expect("ASCII");
        assert!(key.proves(&PROVED, &digits) && key.proves(&PROVED, &digits.to_uppercase()));
        assert!(!key.proves(&PROVED, "") && !key.proves(&PROVED, &digits[..31]));
        for other in [
            Proved { client_message_id: "c-2", ..PROVED },
            Proved { channel_id: "carol", ..PROVED },
            Proved { channel_type: 2, ..PROVED },
            Proved { payload: br#"{"type": 1}"#, ..PROVED },
        ] {
            assert!(!key.proves(&other, &digits));
        }
        let elsewhere = server.agree(client, b"0123456789abcdeg").expect("a secret");
        assert!(!elsewhere.proves(&PROVED, &digits), "another salt is another session");
    }

    #[test]
    fn what_is_no_key_or_no_secret_is_no_client_key() {
        for text in ["", "a2V5", "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=A", "not base64 at all", "小"] {
            assert_eq!(ClientKey::parse(text), None, "{text}");
        }
        assert!(ClientKey::parse("hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo").is_some(), "padding may be missing");
        let server = ServerKey::of(ALICE);
        for everybodys in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            assert!(server.agree(ClientKey(everybodys), b"salt").is_none());
        }
        assert_eq!(format!("{server:?}"), "ServerKey(hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=)");
    }
}
