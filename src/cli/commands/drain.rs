//! `mushan drain`: asks a running server's sessions to go, and stops the server.

use crate::terminal::admin_client::{ApiFlags, Call};
use crate::terminal::arguments::parse_duration_ms;
use crate::terminal::failure::Failure;
use hyper::Method;
use serde_json::json;

/// Ask a server's sessions to go, evenly spread over a time, and then stop the server
///
/// From now on the server accepts no connection, and GET /readyz answers 503. Clients get close code 1001, which asks
/// them to reconnect: to another server, or to this one when it is back. The command returns at once.
#[derive(clap::Args)]
pub struct Arguments {
    /// Such as 60s, 5m
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    over: u64,
    #[command(flatten)]
    api: ApiFlags,
}

pub fn run(Arguments { over, api }: &Arguments) -> Result<(), Failure> {
    let call = Call::new(Method::POST, &["drain"]).with_body(json!({"over_ms": over}));
    api.run(call, |_| format!("the server drains, and stops within {} s", over.div_ceil(1_000)))
}
