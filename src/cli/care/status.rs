//! `mushan status`: the state of a running server and of each shard.

use crate::terminal::admin_client::{ApiFlags, Call};
use crate::terminal::date::of_millis;
use crate::terminal::failure::Failure;
use hyper::Method;
use serde_json::Value;

/// Show the state of a running server and of each of its shards
///
/// Quantiles are upper bounds in powers of two, over the whole run. Exits with 1 if no server answers.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    api: ApiFlags,
}

pub fn run(Arguments { api }: &Arguments) -> Result<(), Failure> {
    api.run(Call::new(Method::GET, &["status"]), table)
}

const HEAD: [&str; 11] = [
    "shard",
    "sessions",
    "messages",
    "pushed",
    "refused",
    "waiting",
    "commit p99",
    "push p99",
    "sync p99",
    "turn p99",
    "log",
];

fn table(status: &Value) -> String {
    let text = |name: &str| status[name].as_str().unwrap_or_default();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let phase = if status["draining"] == true { "draining" } else { text("phase") };
    let disk = &status["disk"];
    let backup =
        status["last_backup"].as_u64().map_or_else(|| "never, as far as the server knows".to_owned(), of_millis);
    let mut lines = vec![
        format!(
            "{:<10} {} ({}), {phase} since {}",
            "server",
            text("version"),
            text("commit"),
            of_millis(number(&status["started"]))
        ),
        format!(
            "{:<10} {} of {} free{}",
            "disk",
            bytes(number(&disk["free_bytes"])),
            bytes(number(&disk["total_bytes"])),
            if disk["full"] == true { "; no room for the next segment" } else { "" }
        ),
        format!("{:<10} {backup}", "backup"),
    ];
    for webhook in status["webhooks"].as_array().into_iter().flatten() {
        let (lag_ms, dead) = (number(&webhook["lag_ms"]), number(&webhook["dead_letters"]));
        let name = webhook["name"].as_str().unwrap_or_default();
        lines.push(format!("{:<10} {name}: {} s behind, {dead} dead letters", "webhook", lag_ms / 1_000));
    }
    lines.push(row(HEAD.map(str::to_owned)));
    lines.extend(status["shards"].as_array().into_iter().flatten().map(|shard| row(cells(shard))));
    lines.join("\n")
}

fn cells(shard: &Value) -> [String; HEAD.len()] {
    let number = |name: &str| shard[name].as_u64().unwrap_or_default();
    let p99 = |name: &str| shard[name]["p99"].as_u64().unwrap_or_default();
    [
        number("shard").to_string(),
        number("sessions").to_string(),
        number("messages_committed").to_string(),
        number("events_pushed").to_string(),
        number("requests_refused").to_string(),
        number("pending_effects").to_string(),
        micros(p99("commit_us")),
        micros(p99("push_ms") * 1_000),
        micros(p99("sync_us")),
        micros(p99("turn_us")),
        bytes(number("log_bytes")),
    ]
}

fn row(cells: [String; HEAD.len()]) -> String {
    cells.map(|cell| format!("{cell:>10}")).join(" ")
}

/// A duration of at most three digits.
pub fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

/// Bytes with the unit that leaves few digits.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (0..UNITS.len() - 1).find(|power| count >> (10 * power) < 10_000).unwrap_or(UNITS.len() - 1);
    format!("{} {}", count >> (10 * power), UNITS[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_short() {
        assert_eq!(
            [0, 9_999, 10_240, 64 << 20, 1 << 40].map(bytes),
            ["0 B", "9999 B", "10 KiB", "64 MiB", "1024 GiB"].map(String::from)
        );
        assert_eq!([7, 2_048, 1_048_576].map(micros), ["7 us", "2 ms", "1 s"].map(String::from));
    }
}
