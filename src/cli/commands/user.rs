//! `mushan user`: users of a running server, their block lists and accounts, over the operator's HTTP API.

use crate::terminal::admin_client::{ApiFlags, Call};
use crate::terminal::date;
use crate::terminal::failure::Failure;
use hyper::Method;
use serde_json::Value;

/// Add users to the directory, show them, and manage their block lists and accounts
///
/// Every command uses the server's HTTP API (`mushan serve --admin-listen`) and can be repeated safely.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: UserVerb,
}

#[derive(clap::Subcommand)]
enum UserVerb {
    /// Add a user to the directory
    Add(OneUser),
    /// Print the state of a user
    Show(OneUser),
    /// Refuse messages from OTHER to USER
    Block(Two),
    /// Accept messages from OTHER to USER again
    Unblock(Two),
    /// End USER's sessions and refuse new ones; messages to USER are stored
    Disable(OneUser),
    /// Accept sessions of USER again
    Enable(OneUser),
    /// End USER's sessions and invalidate every token issued to USER until now
    RevokeTokens(RevokedTokens),
}

#[derive(clap::Args)]
struct OneUser {
    user: String,
    #[command(flatten)]
    api: ApiFlags,
}

#[derive(clap::Args)]
struct RevokedTokens {
    user: String,
    /// Invalidate exactly the tokens issued before this time (Unix milliseconds, not in the future): later ones are
    /// valid again, which lets USER in after tokens were revoked while the server's clock was ahead
    #[arg(long, value_name = "TIME")]
    issued_before: Option<u64>,
    #[command(flatten)]
    api: ApiFlags,
}

#[derive(clap::Args)]
struct Two {
    user: String,
    other: String,
    #[command(flatten)]
    api: ApiFlags,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.verb {
        UserVerb::Add(OneUser { user, api }) => {
            api.run(Call::new(Method::PUT, &["users", user]), |_| format!("{user} is in the directory"))
        }
        UserVerb::Show(OneUser { user, api }) => {
            let call = Call::new(Method::GET, &["users", user]);
            api.run(call.or_say("user_not_exist", format!("there is no user {user}")), told)
        }
        UserVerb::Block(Two { user, other, api }) => {
            let told = |_: &Value| format!("{user} receives no messages from {other}");
            api.run(Call::new(Method::PUT, &["users", user, "blocks", other]), told)
        }
        UserVerb::Unblock(Two { user, other, api }) => {
            let told = |_: &Value| format!("{user} receives messages from {other}");
            api.run(Call::new(Method::DELETE, &["users", user, "blocks", other]), told)
        }
        UserVerb::Disable(OneUser { user, api }) => {
            api.run(Call::new(Method::PUT, &["users", user, "disabled"]), |_| format!("{user} is disabled"))
        }
        UserVerb::Enable(OneUser { user, api }) => {
            api.run(Call::new(Method::DELETE, &["users", user, "disabled"]), |_| format!("{user} is enabled"))
        }
        UserVerb::RevokeTokens(RevokedTokens { user, issued_before, api }) => {
            let call = Call::new(Method::POST, &["users", user, "tokens", "revoke"]);
            let Some(time) = issued_before else {
                return api.run(call, |_| format!("all tokens issued to {user} until now are invalid"));
            };
            let told = |_: &Value| format!("all tokens issued to {user} before {} are invalid", date::of_millis(*time));
            api.run(call.with_query("issued_before", &time.to_string()), told)
        }
    }
}

fn told(user: &Value) -> String {
    let known = if user["known"] == Value::Bool(true) { "" } else { "not in the directory, but has messages; " };
    let seen = match (user["sessions"].as_u64(), user["last_seen"].as_u64()) {
        (Some(1), _) => "online with 1 session".to_owned(),
        (Some(sessions), _) if sessions > 0 => format!("online with {sessions} sessions"),
        (_, Some(at)) if at > 0 => format!("offline, last seen {}", date::of_millis(at)),
        _ => "never seen".to_owned(),
    };
    let disabled = match (&user["erased"], &user["disabled"]) {
        (Value::Bool(true), _) => "erased; ",
        (_, Value::Bool(true)) => "disabled; ",
        _ => "",
    };
    let revoked = match user["tokens_from"].as_u64() {
        Some(from) if from > 0 => format!("tokens issued before {} are invalid; ", date::of_millis(from)),
        _ => String::new(),
    };
    let counted = |name: &str, one: &str, many: &str| match user[name].as_u64().unwrap_or_default() {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    format!(
        "{}: {known}{disabled}{revoked}{seen}; {}; {}",
        user["id"].as_str().unwrap_or_default(),
        counted("conversations", "conversation", "conversations"),
        counted("newest_seq", "inbox entry", "inbox entries")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_user_is_told_in_a_line() {
        let mut user = json!({
            "id": "ann", "known": true, "sessions": 0, "newest_seq": 9, "conversations": 2, "last_seen": 5_000, "disabled": true,
            "tokens_from": 7_000, "erased": false,
        });
        assert_eq!(
            told(&user),
            "ann: disabled; tokens issued before 1970-01-01 00:00:07 UTC are invalid; offline, last seen 1970-01-01 00:00:05 UTC; 2 conversations; 9 inbox entries"
        );
        user["erased"] = Value::Bool(true);
        assert!(told(&user).starts_with("ann: erased; tokens"));
    }
}
