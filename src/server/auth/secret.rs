//! Secrets of a data directory: 32 random bytes, stored as 64 hex digits in a file of mode 0600. `token-secret` signs
//! tokens.
//!
//! A secret is never printed or logged; `Secret` has no way to display it.

use crate::model::{Millis, UserId};
use crate::server::StartError;
use crate::server::base::error::{ConfigurationError, DiskError, HostError};
use crate::server::base::files;
use crate::wire::token::mint_for_platform;
use std::io;
use std::path::Path;

const FILE: &str = "token-secret";
/// Files of a data directory beside its manifest and logs. A backup, a restore, a reshard and a repair copy them. Any
/// of them may be missing.
pub const KEPT_FILES: [&str; 3] = [FILE, "admin-token", "read-token"];
const BYTES: usize = 32;

#[derive(Clone)]
pub struct Secret([u8; BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret")
    }
}

impl Secret {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A token for the user, for one platform only if there is one.
    pub fn mint(&self, user: &UserId, platform: Option<&str>, issued: Millis, expires: Millis) -> String {
        mint_for_platform(self.bytes(), user, platform, issued, expires)
    }

    /// The secret of a data directory; `None` if there is none yet.
    pub fn load(data_dir: &Path) -> Result<Option<Self>, StartError> {
        Self::load_file(&data_dir.join(FILE))
    }

    /// The secret of a data directory; creates one if there is none.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, StartError> {
        Self::load_or_create_file(&data_dir.join(FILE))
    }

    /// The secret of a data directory that is in use. Fails if it is missing: a new secret would silently invalidate
    /// every token.
    pub fn expect(data_dir: &Path) -> Result<Self, StartError> {
        let path = data_dir.join(FILE);
        if !path.exists() {
            return Err(DiskError::SecretMissing { path: data_dir.to_owned() }.into());
        }
        Self::load_or_create_file(&path)
    }

    pub fn load_file(path: &Path) -> Result<Option<Self>, StartError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StartError::disk("read", path, error)),
        };
        match Self::parse(text.trim_end()) {
            Some(secret) => Ok(Some(secret)),
            None => Err(ConfigurationError::unfit(path, "is not 64 hex digits").into()),
        }
    }

    pub fn load_or_create_file(path: &Path) -> Result<Self, StartError> {
        if let Some(secret) = Self::load_file(path)? {
            let had = files::keep_private(path, 0o600).map_err(|error| {
                let doing = "restrict to its owner";
                StartError::disk(doing, path, error)
            })?;
            if let Some(had) = had {
                tracing::warn!(
                    file = %path.display(),
                    mode = format!("{had:04o}"),
                    "other users could read or write this file: its mode is 0600 now; replace the secret if somebody may have read it"
                );
            }
            return Ok(secret);
        }
        let secret = Self(random()?);
        files::write_atomically(path, secret.hex().as_bytes(), 0o600)
            .map_err(|error| StartError::disk("write", path, error))?;
        Ok(secret)
    }

    fn hex(&self) -> String {
        let mut text = hex(&self.0);
        text.push('\n');
        text
    }

    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 2 * BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; BYTES];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// Random bytes from the kernel.
pub fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| HostError::Randomness(io::Error::other(error)))?;
    Ok(bytes)
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_can_read_it() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(Secret::load(directory.path()).expect("readable").is_none());
        let made = Secret::load_or_create(directory.path()).expect("made");
        let again = Secret::load_or_create(directory.path()).expect("loaded");
        assert_eq!(made.bytes(), again.bytes());
        let mode = std::fs::metadata(directory.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(format!("{made:?}"), "Secret");
    }

    #[test]
    fn a_secret_that_others_can_use_is_taken_from_them_and_one_that_is_missing_beside_logs_is_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(Secret::expect(directory.path()).expect_err("missing").to_string().contains("--new-secret"));
        assert!(!directory.path().join(FILE).exists());
        let made = Secret::load_or_create(directory.path()).expect("made");
        let path = directory.path().join(FILE);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("its mode");
        assert_eq!(Secret::expect(directory.path()).expect("there").bytes(), made.bytes());
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_mangled_secret_is_refused_and_not_shown() {
        let directory = tempfile::tempdir().expect("a directory");
        for text in ["", "abc", &"g".repeat(64), &"+1".repeat(32), &"é".repeat(32)] {
            std::fs::write(directory.path().join(FILE), text).expect("write");
            let error = Secret::load(directory.path()).expect_err("not a secret");
            assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
        }
    }
}
