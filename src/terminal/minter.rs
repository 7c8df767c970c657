//! Tokens that tools on the server's machine sign with the secret of its data directory.

use crate::model::UserId;
use crate::server::Secret;
use crate::terminal::date::now;
use crate::terminal::failure::Failure;
use crate::wire::token::mint;
use std::path::Path;

/// Makes tokens that the server of one data directory accepts.
pub struct Minter {
    pub secret: Secret,
}

impl Minter {
    pub fn open(data_dir: &Path) -> Result<Self, Failure> {
        let secret = Secret::load(data_dir).map_err(Failure::from)?;
        let secret = secret.ok_or_else(|| {
            Failure::new(format!(
                "there is no token secret in {}: start the server first (`mushan serve`), it makes one, or say \
                 --data-dir",
                data_dir.display()
            ))
        })?;
        Ok(Self { secret })
    }

    pub fn mint(&self, user: &UserId, ttl_ms: u64) -> String {
        let now = now();
        mint(self.secret.bytes(), user, now, now.plus(ttl_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_secret_one_is_told_to_start_the_server() {
        let empty = tempfile::tempdir().unwrap();
        let refused = Minter::open(empty.path()).err().unwrap();
        assert!(refused.sentence.contains("start the server first"), "{}", refused.sentence);
        assert_eq!(refused.status, 1);
    }
}
