//! `mushan trace`: what happens to one user of a running server, while it happens.

use crate::terminal::admin_client::{ApiFlags, Call};
use crate::terminal::arguments::parse_duration_ms;
use crate::terminal::date::of_millis;
use crate::terminal::failure::Failure;
use hyper::Method;
use serde_json::Value;

/// Follow what happens to one user: requests, their outcomes, pushes, the beginnings and ends of sessions
///
/// Shows verbs, codes, sizes and times, and never what somebody wrote or a token. Requests that are answered without the
/// user's shard, such as pings, are not shown.
#[derive(clap::Args)]
pub struct Arguments {
    /// The user's id
    #[arg(long, value_name = "USER")]
    user: String,
    /// Such as 60s, 5m; at most an hour
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration_ms, default_value = "60s")]
    duration_ms: u64,
    #[command(flatten)]
    api: ApiFlags,
}

pub fn run(Arguments { user, duration_ms, api }: &Arguments) -> Result<(), Failure> {
    let call = Call::new(Method::GET, &["trace"]);
    let call = call.with_query("user", user).with_query("for_ms", &duration_ms.to_string());
    api.stream(call, line)
}

/// One line for people: the time, the session, what happened, and its numbers.
fn line(said: &Value) -> String {
    let number = |name: &str| said[name].as_u64().unwrap_or_default();
    let text = |name: &str| said[name].as_str().unwrap_or_default();
    let what = match text("what") {
        "begun" => "tracing".to_owned(),
        "opened" => format!("session opened, {} on device {:?}", text("protocol"), text("device")),
        "login_refused" => format!("login refused: {}", text("reason")),
        "request" if number("content_bytes") > 0 => format!("{} of {} bytes", text("verb"), number("content_bytes")),
        "request" => text("verb").to_owned(),
        "reply" => format!("  {}", text("outcome")),
        "push" => format!("  pushed {} {} of {} bytes", text("event"), number("seq"), number("content_bytes")),
        "closed" => format!(
            "session closed: {} {}",
            text("closing"),
            said["code"].as_u64().map_or_else(String::new, |it| it.to_string())
        ),
        "ended" => return format!("end; {} lines lost", number("lost")),
        other => other.to_owned(),
    };
    let session = said["session"].as_u64().map_or_else(String::new, |session| session.to_string());
    format!("{} {session:>12} {what}", of_millis(number("at")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_says_when_where_and_what() {
        let said = json!({"at": 1_700_000_000_123_u64, "shard": 1, "session": 77, "what": "request", "verb": "send", "content_bytes": 5});
        assert!(line(&said).ends_with("           77 send of 5 bytes"), "{}", line(&said));
        assert_eq!(line(&json!({"what": "ended", "lost": 2})), "end; 2 lines lost");
    }
}
