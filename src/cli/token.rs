//! `mushan token`: signs a token with the data directory's secret.

use super::failure::Failure;
use super::print;
use super::sources;
use crate::model::{Millis, UserId};
use crate::server::Secret;
use crate::wire::token::mint;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Print a token for a user, alone on the last line of stdout
///
/// The token is signed with the secret that `mushan serve` made in its data directory at its first start.
#[derive(clap::Args)]
pub struct Arguments {
    /// User id, 1 to 64 bytes
    #[arg(long, value_name = "ID")]
    user: String,
    /// The server's data directory [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How long the token is valid: a number and ms, s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration_ms)]
    ttl: u64,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let minter = Minter::open(&sources::data_dir(arguments.data_dir.as_deref()))?;
    print(&minter.mint(&parse_user(&arguments.user)?, arguments.ttl))
}

/// Makes tokens that the server of one data directory accepts.
pub struct Minter {
    secret: Secret,
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

pub fn parse_user(text: &str) -> Result<UserId, Failure> {
    UserId::new(text).map_err(|error| Failure::new(format!("the user id {text:?} {error}")))
}

pub fn now() -> Millis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// A number and a unit; at least 1 ms.
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("write a number and ms, s, m, h or d, as in 90s or 1h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "the number before the unit is missing or too large".to_owned())?;
    number.checked_mul(unit_ms).filter(|&ms| ms > 0).ok_or_else(|| "no token lives for that long or short".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        let read = |text| parse_duration_ms(text).ok();
        assert_eq!(
            ["250ms", "90s", "5m", "1h", "7d"].map(read),
            [250, 90_000, 300_000, 3_600_000, 604_800_000].map(Some)
        );
        assert_eq!(
            ["", "1", "h", "1y", "-1h", "0s", "99999999999999999999h", "9999999999999999d"].map(read),
            [None; 8]
        );
    }

    #[test]
    fn without_a_secret_one_is_told_to_start_the_server() {
        let empty = tempfile::tempdir().unwrap();
        let refused = Minter::open(empty.path()).err().unwrap();
        assert!(refused.sentence.contains("start the server first"), "{}", refused.sentence);
        assert_eq!(refused.status, 1);
    }
}
