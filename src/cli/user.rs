//! `mushan user`: users of a running server and whom they do not want to hear of, over the operator's HTTP API.

use super::api::{ApiFlags, Call};
use super::failure::Failure;
use hyper::Method;
use serde_json::Value;

/// Make users known, show them, and keep their block lists
///
/// All of it goes over the server's HTTP API (`mushan serve --admin-listen`) and can be repeated safely.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Make a user known to the server
    Add(One),
    /// Print what the server knows of a user
    Show(One),
    /// No more messages of OTHER for USER
    Block(Two),
    /// Messages of OTHER for USER again
    Unblock(Two),
}

#[derive(clap::Args)]
struct One {
    user: String,
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
        Verb::Add(One { user, api }) => {
            api.run(Call::new(Method::PUT, &["users", user]), |_| format!("{user} is known"))
        }
        Verb::Show(One { user, api }) => api.run(Call::new(Method::GET, &["users", user]), told),
        Verb::Block(Two { user, other, api }) => {
            let told = |_: &Value| format!("{user} gets no messages of {other}");
            api.run(Call::new(Method::PUT, &["users", user, "blocks", other]), told)
        }
        Verb::Unblock(Two { user, other, api }) => {
            let told = |_: &Value| format!("{user} gets messages of {other}");
            api.run(Call::new(Method::DELETE, &["users", user, "blocks", other]), told)
        }
    }
}

fn told(user: &Value) -> String {
    let known = if user["known"] == Value::Bool(true) { "known" } else { "not known, but written to" };
    let seen = match (user["sessions"].as_u64(), user["last_seen"].as_u64()) {
        (Some(sessions), _) if sessions > 0 => format!("online with {sessions} session(s)"),
        (_, Some(at)) if at > 0 => format!("last seen at {at}"),
        _ => "never seen".to_owned(),
    };
    format!(
        "{}: {known}, {seen}, {} conversation(s), newest seq {}",
        user["id"].as_str().unwrap_or_default(),
        user["conversations"],
        user["newest_seq"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_user_is_told_in_a_line() {
        let user = json!({
            "id": "ann", "known": true, "sessions": 0, "newest_seq": 9, "conversations": 2, "last_seen": 5,
        });
        assert_eq!(told(&user), "ann: known, last seen at 5, 2 conversation(s), newest seq 9");
    }
}
