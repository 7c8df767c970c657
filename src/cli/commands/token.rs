//! `mushan token`: signs a token with the data directory's secret, or checks one.

use crate::model::Millis;
use crate::server::{Options, Secret};
use crate::terminal::arguments::{parse_duration_ms, parse_user};
use crate::terminal::date::now;
use crate::terminal::failure::Failure;
use crate::terminal::minter::Minter;
use crate::terminal::print::print;
use crate::terminal::sources;
use crate::wire::TokenFault;
use crate::wire::token::Verifier;
use std::path::{Path, PathBuf};

/// Print a token for a user, alone on the last line of stdout
///
/// The token is signed with the secret that `mushan serve` created in its data directory at its first start.
#[derive(clap::Args)]
pub struct Arguments {
    /// User id, 1 to 64 bytes
    #[arg(long, value_name = "ID", required_unless_present_any = ["check", "new_secret"])]
    user: Option<String>,
    /// Print whether this token is valid, and if not, what is wrong with it (exit status 1)
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["user", "new_secret", "ttl"])]
    check: Option<String>,
    /// Create a secret where it is missing; this invalidates every token issued so far
    #[arg(long, conflicts_with_all = ["user", "ttl"])]
    new_secret: bool,
    /// The server's data directory [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How long the token is valid: a number and ms, s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration_ms)]
    ttl: u64,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let data_dir = sources::data_dir(arguments.data_dir.as_deref());
    if arguments.new_secret {
        return make_secret(&data_dir);
    }
    let minter = Minter::open(&data_dir)?;
    match (&arguments.check, &arguments.user) {
        (Some(token), _) => print(&check(&minter.secret, token.trim(), now()).map_err(Failure::new)?),
        (None, user) => print(&minter.mint(&parse_user(user.as_deref().unwrap_or_default())?, arguments.ttl)),
    }
}

fn make_secret(data_dir: &Path) -> Result<(), Failure> {
    if !data_dir.join("manifest.toml").exists() {
        return Err(Failure::new(format!("{} is not a data directory", data_dir.display())));
    }
    if Secret::load(data_dir).map_err(Failure::from)?.is_some() {
        return Err(Failure::new(format!("{} has a token secret already; move it away first", data_dir.display())));
    }
    Secret::load_or_create(data_dir).map_err(Failure::from)?;
    print("created a new token-secret: all tokens issued so far are invalid")
}

/// Checks a token as a server with this secret, no other keys and the default settings would.
fn check(secret: &Secret, token: &str, now: Millis) -> Result<String, String> {
    let leeway_ms = Options::default().token_leeway_ms;
    match Verifier::hs256(secret.bytes(), leeway_ms).verify(token, now) {
        Ok(claims) => {
            let platform = claims.platform.map_or_else(String::new, |platform| format!(", on {platform} only"));
            let left_s = claims.expires.since(now) / 1_000;
            let issued = if claims.issued == Millis(0) {
                "; it has no iat: after a revocation it stays invalid for ever"
            } else {
                ""
            };
            Ok(format!("valid: {} for another {left_s} s{platform}{issued}", claims.user))
        }
        Err(TokenFault::WrongSignature) if is_signed_with_text(secret, token, now) => Err(
            "not valid: it is signed with the text of token-secret; the key is the 32 bytes that its 64 hex digits \
                 stand for (in Python bytes.fromhex(text.strip()))"
                .to_owned(),
        ),
        Err(TokenFault::NoKey) => Err(format!(
            "not valid with token-secret: {}; that secret verifies HS256 only, keys of other algorithms are in --auth-jwks-file",
            TokenFault::NoKey
        )),
        Err(fault) => Err(format!("not valid: {fault}")),
    }
}

fn is_signed_with_text(secret: &Secret, token: &str, now: Millis) -> bool {
    let text = crate::server::hex(secret.bytes());
    let with_line_end = format!("{text}\n");
    let is_key = |key: &str| Verifier::hs256(key.as_bytes(), 0).verify(token, now) != Err(TokenFault::WrongSignature);
    is_key(&text) || is_key(&with_line_end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;
    use crate::wire::token::mint;

    #[test]
    fn the_fault_of_an_invalid_token_is_named() {
        let now = Millis(1_700_000_000_000);
        let user = UserId::new("alice").expect("well formed");
        let digits = "0123456789abcdef".repeat(4);
        let secret = Secret::parse(&digits).expect("64 hex digits");
        let minted = |key: &[u8], expires: u64| mint(key, &user, now, Millis(expires));
        let told = |token: String| check(&secret, &token, now).unwrap_or_else(|fault| fault);
        assert_eq!(told(minted(secret.bytes(), now.0 + 60_000)), "valid: alice for another 60 s");
        for (token, said) in [
            (minted(digits.as_bytes(), now.0 + 60_000), "bytes.fromhex"),
            (minted(format!("{digits}\n").as_bytes(), now.0 + 60_000), "bytes.fromhex"),
            (minted(b"another", now.0 + 60_000), "signature is wrong"),
            (minted(secret.bytes(), now.0 - 60_000), "expired"),
            (minted(secret.bytes(), now.0 * 1_000), "milliseconds"),
            ("rubbish".to_owned(), "no JWT"),
        ] {
            assert!(told(token.clone()).contains(said), "{said}: {}", told(token));
        }
    }
}
