//! Signatures of requests (Standard Webhooks 1.0): HMAC-SHA256 over id, time and body.
//!
//! A secret is never printed or logged.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::{HeaderName, HeaderValue};
use std::fmt;
use std::path::Path;

const PREFIX: &str = "whsec_";
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;
/// Secrets that sign at the same time.
const SECRETS_MAX: usize = 4;

/// The secret that the operator's endpoint knows as well. While it is replaced by another one, requests are signed with both.
#[derive(Clone)]
pub struct SigningSecret(Vec<hmac::Key>);

impl SigningSecret {
    /// Reads a file with one to four lines, each `whsec_` and base64 of 24 to 64 bytes. `Err` says what is wrong with the
    /// file.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        Self::parse(text.trim()).ok_or_else(|| {
            format!(
                "{} holds no signing secret: expected {PREFIX} and base64 of {BYTES_MIN} to {BYTES_MAX} bytes",
                path.display()
            )
        })
    }

    pub fn parse(text: &str) -> Option<Self> {
        let keys = text.lines().map(|line| {
            let bytes = BASE64.decode(line.trim().strip_prefix(PREFIX)?).ok()?;
            (BYTES_MIN..=BYTES_MAX).contains(&bytes.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
        });
        let keys: Vec<hmac::Key> = keys.collect::<Option<_>>()?;
        (1..=SECRETS_MAX).contains(&keys.len()).then_some(Self(keys))
    }

    /// The three headers of a request. `id` is a token of visible ASCII, `time_s` seconds since 1970.
    pub fn headers(&self, id: &str, time_s: u64, body: &[u8]) -> [(HeaderName, HeaderValue); 3] {
        let signatures = self.0.iter().map(|key| {
            let mut signed = hmac::Context::with_key(key);
            signed.update(format!("{id}.{time_s}.").as_bytes());
            signed.update(body);
            format!("v1,{}", BASE64.encode(signed.sign()))
        });
        let signature = signatures.collect::<Vec<_>>().join(" ");
        let value = |text: &str| HeaderValue::from_str(text).expect("ids and base64 are visible ASCII");
        [
            (HeaderName::from_static("webhook-id"), value(id)),
            (HeaderName::from_static("webhook-timestamp"), value(&time_s.to_string())),
            (HeaderName::from_static("webhook-signature"), value(&signature)),
        ]
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SigningSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("well formed");
        let [id, time, signature] =
            secret.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!((id.1.as_bytes(), time.1.as_bytes()), (&b"msg_p5jXN8AQM9LWM0D4loKWxJek"[..], &b"1614265330"[..]));
        assert_eq!(signature.1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_prefixed_base64_of_enough_bytes() {
        for wrong in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_@@@@"] {
            assert!(SigningSecret::parse(wrong).is_none(), "{wrong}");
        }
        let error = SigningSecret::load(Path::new("/nowhere/hook.secret")).expect_err("no file");
        assert!(error.contains("/nowhere/hook.secret"), "{error}");
        assert_eq!(
            format!("{:?}", SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
            "Some(SigningSecret)"
        );
    }
}
