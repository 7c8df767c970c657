//! The keys that verify tokens: the data directory's secret, and the public keys of a JWKS file (RFC 7517).
//!
//! Invariants: a file is used completely or not at all, and contains no private key; shards see either the old keys or
//! the new ones; an invalid file changes nothing while the server runs.

use crate::server::base::error::ConfigurationError;
use crate::server::config::options::AuthOptions;
use crate::server::{Options, Secret, StartError};
use crate::wire::token::Verifier;
use crate::wire::{PublicKey, TokenAlgorithm};
use arc_swap::{ArcSwap, Guard};
use jsonwebtoken::jwk::Jwk;
use serde_json::{Map, Value};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most keys of one algorithm: a token without a key id is tried with each of them.
const KEYS_MAX: usize = 64;
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Members of a JSON Web Key that only its owner may have.
const PRIVATE_MEMBERS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// The current keys, which all shards use.
#[derive(Clone)]
pub struct Keyring(Arc<ArcSwap<Verifier>>);

impl Keyring {
    pub fn now(&self) -> Guard<Arc<Verifier>> {
        self.0.load()
    }
}

impl From<Verifier> for Keyring {
    fn from(verifier: Verifier) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(verifier)))
    }
}

/// The sources of a server's keys. Any thread may read them again.
#[derive(Clone)]
pub struct KeySource {
    secret: Secret,
    auth: AuthOptions,
    leeway_ms: u64,
    keyring: Keyring,
}

impl KeySource {
    /// `keys` are the keys that `PublicKeys::configured` has just read.
    pub(in crate::server) fn new(secret: Secret, options: &Options, keys: PublicKeys) -> Self {
        let (auth, leeway_ms) = (options.auth.clone(), options.token_leeway_ms);
        let keyring = Keyring::from(verifier(&secret, &auth, leeway_ms, keys));
        Self { secret, auth, leeway_ms, keyring }
    }

    pub(in crate::server) fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }

    /// Whether there is a file to read again.
    pub fn has_file(&self) -> bool {
        self.auth.jwks_file.is_some()
    }

    /// Reads the file again. From then on tokens are verified with its keys; open sessions stay open. A wrong file
    /// changes nothing. Returns a description of the keys that are now in use.
    pub fn read_again(&self) -> Result<String, StartError> {
        let keys = PublicKeys::configured(&self.auth)?;
        let summary = keys.summary(&self.auth);
        self.keyring.0.store(Arc::new(verifier(&self.secret, &self.auth, self.leeway_ms, keys)));
        Ok(summary)
    }
}

fn verifier(secret: &Secret, auth: &AuthOptions, leeway_ms: u64, keys: PublicKeys) -> Verifier {
    let verifier = Verifier::new(auth.expiry, leeway_ms).with_keys(keys.usable);
    if auth.allows(TokenAlgorithm::Hs256) { verifier.with_secret(secret.bytes()) } else { verifier }
}

/// The keys of a JWKS file that may verify tokens under this configuration.
#[derive(Default)]
pub struct PublicKeys {
    file: Option<PathBuf>,
    usable: Vec<PublicKey>,
    /// The number of keys that are for another purpose or for an algorithm that is not allowed.
    passed_over: usize,
}

impl PublicKeys {
    /// Reads the configured JWKS file; empty if none is configured.
    pub fn configured(auth: &AuthOptions) -> Result<Self, StartError> {
        let Some(path) = &auth.jwks_file else { return Ok(Self::default()) };
        let text = read(path)?;
        let (usable, passed_over) = parse(&text, auth)
            .map_err(|fault| ConfigurationError::KeyFile { path: path.clone(), source: fault.into() })?;
        Ok(Self { file: Some(path.clone()), usable, passed_over })
    }

    /// A description: how many keys there are of each algorithm.
    pub fn summary(&self, auth: &AuthOptions) -> String {
        let counted = |algorithm: TokenAlgorithm| {
            let count = self.usable.iter().filter(|key| key.algorithm() == algorithm).count();
            match algorithm {
                TokenAlgorithm::Hs256 => {
                    auth.allows(algorithm).then(|| "HS256: the data directory's secret".to_owned())
                }
                _ => (count > 0).then(|| format!("{}: {count} key(s)", algorithm.name())),
            }
        };
        let mut parts: Vec<String> = TokenAlgorithm::ALL.into_iter().filter_map(counted).collect();
        if let Some(file) = &self.file {
            parts.push(format!("{} other key(s) ignored in {}", self.passed_over, file.display()));
        }
        parts.join(", ")
    }
}

/// The reason for which a JWKS file is not used.
#[derive(Debug, thiserror::Error)]
enum KeyFileFault {
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    #[error("is longer than {FILE_BYTES_MAX} bytes")]
    TooLong,
    #[error("is not JSON, from line {} column {} on", .0.line(), .0.column())]
    Json(#[source] serde_json::Error),
    #[error("has no list \"keys\"")]
    NoList,
    #[error("has {0} keys; at most {KEYS_MAX} are allowed")]
    TooMany(usize),
    #[error("{name} {fault}")]
    Key { name: String, fault: String },
    #[error("has no key for tokens of {0}")]
    NoKey(String),
}

fn read(path: &Path) -> Result<String, StartError> {
    let mut text = String::new();
    let file = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    let fault = match file {
        Err(error) => KeyFileFault::Unreadable(error),
        Ok(_) if text.len() as u64 > FILE_BYTES_MAX => KeyFileFault::TooLong,
        Ok(_) => return Ok(text),
    };
    Err(ConfigurationError::KeyFile { path: path.to_owned(), source: fault.into() }.into())
}

/// The usable keys and the number of the others; or the first wrong key and its fault.
fn parse(text: &str, auth: &AuthOptions) -> Result<(Vec<PublicKey>, usize), KeyFileFault> {
    let set: Value = serde_json::from_str(text).map_err(KeyFileFault::Json)?;
    let keys = set.get("keys").and_then(Value::as_array).ok_or(KeyFileFault::NoList)?;
    if keys.len() > KEYS_MAX {
        return Err(KeyFileFault::TooMany(keys.len()));
    }
    let (mut usable, mut passed_over) = (Vec::new(), 0);
    for (at, key) in keys.iter().enumerate() {
        match parse_key(key).map_err(|fault| KeyFileFault::Key { name: named(at, key), fault })? {
            Some(key) if auth.allows(key.algorithm()) => usable.push(key),
            _ => passed_over += 1,
        }
    }
    if usable.is_empty() {
        return Err(KeyFileFault::NoKey(auth.shown_algorithms()));
    }
    Ok((usable, passed_over))
}

fn parse_key(key: &Value) -> Result<Option<PublicKey>, String> {
    let members: &Map<String, Value> = key.as_object().ok_or("is not an object")?;
    if let Some(member) = PRIVATE_MEMBERS.into_iter().find(|member| members.contains_key(*member)) {
        return Err(format!("is a private key or a shared secret (it has {member}): only public keys belong here"));
    }
    let jwk: Jwk = serde_json::from_value(key.clone()).map_err(|_| "has a member of a wrong type".to_owned())?;
    PublicKey::of(&jwk).map_err(|fault| fault.to_string())
}

/// Names a key by its index in the list, and by its `kid` if that can be shown.
fn named(at: usize, key: &Value) -> String {
    let id = key.get("kid").and_then(Value::as_str).filter(|id| id.len() <= 128);
    id.map_or_else(|| format!("keys[{at}]"), |id| format!("keys[{at}] (kid {id:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    fn parsed(text: &str) -> Result<(usize, usize), String> {
        let parsed = parse(text, &AuthOptions::default()).map_err(|fault| fault.to_string());
        parsed.map(|(usable, passed_over)| (usable.len(), passed_over))
    }

    #[test]
    fn keys_for_something_else_are_counted_and_passed_over() {
        let other = r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#;
        assert_eq!(parsed(&format!(r#"{{"keys":[{{{ED25519}}},{other}]}}"#)), Ok((1, 1)));
        let hs256_only = AuthOptions { algorithms: vec![TokenAlgorithm::Hs256], ..AuthOptions::default() };
        let refused = parse(&format!(r#"{{"keys":[{{{ED25519}}}]}}"#), &hs256_only).err().expect("it has no use");
        assert!(refused.to_string().contains("HS256"), "{refused}");
    }

    #[test]
    fn a_file_that_is_wrong_is_refused_with_the_key_that_is() {
        for (text, said) in [
            ("{", "is not JSON"),
            ("[]", "\"keys\""),
            (r#"{"keys":{}}"#, "\"keys\""),
            (r#"{"keys":[]}"#, "no key"),
            (r#"{"keys":[7]}"#, "keys[0] is not an object"),
            (r#"{"keys":[{"kty":"RSA","kid":"one","n":"AA","e":"AQAB"}]}"#, "keys[0] (kid \"one\") is an RSA key"),
            (r#"{"keys":[{"kty":"RSA","kid":7,"n":"AA","e":"AQAB"}]}"#, "keys[0] has a member of a wrong type"),
            (r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#, "keys[0] is a private key or a shared secret"),
        ] {
            let refused = parsed(text).expect_err(text);
            assert!(refused.contains(said), "{text}: {refused}");
        }
        let many = vec![format!("{{{ED25519}}}"); KEYS_MAX + 1].join(",");
        assert!(parsed(&format!(r#"{{"keys":[{many}]}}"#)).expect_err("too many").contains("65"));
    }

    #[test]
    fn a_private_key_is_refused_and_not_shown() {
        for member in PRIVATE_MEMBERS {
            let text = format!(r#"{{"keys":[{{{ED25519},"{member}":"c2VjcmV0"}}]}}"#);
            let refused = parsed(&text).expect_err(member);
            assert!(refused.contains(&format!("it has {member}")) && !refused.contains("c2VjcmV0"), "{refused}");
        }
    }
}
