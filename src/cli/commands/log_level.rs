//! `mushan log-level`: shows or changes the level of a running server's log.

use crate::terminal::admin_client::{ApiFlags, Call};
use crate::terminal::failure::Failure;
use hyper::Method;
use serde_json::json;

/// Show or change the level of a running server's log, until its next start
///
/// It changes at once. `mushan log-level debug` names each session's end and each refusal; a place in the program writes
/// at most 50 lines in 10 seconds, and says how many it left out.
#[derive(clap::Args)]
pub struct Arguments {
    /// error, warn, info, debug, trace or off, or a filter such as info,mushan::server=debug
    #[arg(value_name = "LEVEL")]
    level: Option<String>,
    #[command(flatten)]
    api: ApiFlags,
}

pub fn run(Arguments { level, api }: &Arguments) -> Result<(), Failure> {
    let call = match level {
        None => Call::new(Method::GET, &["log-level"]),
        Some(level) => Call::new(Method::PUT, &["log-level"]).with_body(json!({"level": level})),
    };
    api.run(call, |answer| answer["level"].as_str().unwrap_or_default().to_owned())
}
