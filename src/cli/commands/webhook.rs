//! `mushan webhook`: receivers of events of a running server, over the operator's HTTP API.

use crate::terminal::admin_client::{ApiFlags, Call};
use crate::terminal::failure::Failure;
use hyper::Method;
use serde_json::Value;

/// Show the webhooks of a running server, test them, and send again what they did not take
///
/// Webhooks are configured in the server's configuration file ([[webhooks]]). Every command uses the server's HTTP API
/// (`mushan serve --admin-listen`).
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: WebhookVerb,
}

#[derive(clap::Subcommand)]
enum WebhookVerb {
    /// Print each webhook's state, lag, requests, dead letters and last error
    List {
        #[command(flatten)]
        api: ApiFlags,
    },
    /// Send the dead letters of webhook NAME again, for some seconds: those that are acknowledged are removed
    Replay(OneWebhook),
    /// Send a signed test event to webhook NAME and print its answer; exit status 1 unless it is acknowledged
    Test(OneWebhook),
}

#[derive(clap::Args)]
struct OneWebhook {
    name: String,
    #[command(flatten)]
    api: ApiFlags,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.verb {
        WebhookVerb::List { api } => api.run(Call::new(Method::GET, &["webhooks"]), listed),
        WebhookVerb::Replay(OneWebhook { name, api }) => {
            api.run(posted(name, "replay"), |answer| replayed(name, answer))
        }
        WebhookVerb::Test(OneWebhook { name, api }) => {
            let answer = api.ask(posted(name, "test"))?;
            api.show(&answer, |answer| tested(name, answer))?;
            if answer["error"].is_null() { Ok(()) } else { Err(Failure::new(format!("{name} does not take events"))) }
        }
    }
}

fn posted(name: &str, verb: &str) -> Call {
    let absent = format!("there is no webhook {name}; `mushan webhook list` names them");
    Call::new(Method::POST, &["webhooks", name, verb]).or_say("not_found", absent)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn listed(answer: &Value) -> String {
    let webhooks = answer["webhooks"].as_array().map_or(&[][..], Vec::as_slice);
    if webhooks.is_empty() {
        return "no webhooks are configured".to_owned();
    }
    webhooks.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn line(webhook: &Value) -> String {
    let attempts = webhook["attempts"].as_object().into_iter().flatten();
    let failed: u64 = attempts.filter(|(result, _)| *result != "acknowledged").map(|(_, count)| number(count)).sum();
    let mut line = format!(
        "{}: {}, {} events delivered, {} ms behind; {} requests acknowledged, {failed} not; {}",
        text(&webhook["name"]),
        text(&webhook["state"]),
        number(&webhook["delivered_events"]),
        number(&webhook["lag_ms"]),
        number(&webhook["attempts"]["acknowledged"]),
        text(&webhook["url"]),
    );
    let dead = &webhook["dead_letters"];
    if number(&dead["batches"]) > 0 {
        line.push_str(&format!(
            "\n  {} dead letters with {} events",
            number(&dead["batches"]),
            number(&dead["events"])
        ));
    }
    if number(&webhook["dropped_events"]) > 0 {
        line.push_str(&format!("\n  {} events dropped", number(&webhook["dropped_events"])));
    }
    if let Some(error) = webhook["last_error"]["message"].as_str() {
        line.push_str(&format!("\n  last error: {error}"));
    }
    line
}

fn replayed(name: &str, answer: &Value) -> String {
    let left = match (number(&answer["left_batches"]), answer["error"].as_str()) {
        (0, _) => "none is left".to_owned(),
        (left, Some(error)) => format!("{left} are left: {error}"),
        (left, None) => format!("{left} are left: run the command again"),
    };
    let (batches, events) = (number(&answer["batches"]), number(&answer["events"]));
    format!("{name} has acknowledged {batches} dead letters with {events} events; {left}")
}

fn tested(name: &str, answer: &Value) -> String {
    let after = number(&answer["duration_ms"]);
    match answer["error"].as_str() {
        None => format!("{name} has acknowledged the test event after {after} ms: {}", text(&answer["answer"])),
        Some(error) => format!("{name} has not acknowledged the test event after {after} ms: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_webhook_is_told_in_lines() {
        let answer = json!({"webhooks": [{
            "name": "orders", "state": "retrying", "url": "https://example.com/", "delivered_events": 7, "lag_ms": 900,
            "attempts": {"acknowledged": 2, "refused": 1, "timeout": 3}, "dead_letters": {"batches": 1, "events": 5},
            "dropped_events": 0, "last_error": {"time": 1, "message": "it answers 503"},
        }]});
        assert_eq!(
            listed(&answer),
            "orders: retrying, 7 events delivered, 900 ms behind; 2 requests acknowledged, 4 not; \
             https://example.com/\n  1 dead letters with 5 events\n  last error: it answers 503"
        );
        assert_eq!(listed(&json!({"webhooks": []})), "no webhooks are configured");
    }
}
