//! Receivers over HTTP: how each is doing, a test event, dead letters sent again.

use crate::admin::api::Api;
use crate::admin::base::answer::Answered;
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::{InPath, NoBody, PathPart};
use crate::admin::webhooks::webhook::{AttemptResult, Webhook, WebhookAttempt, WebhookPhase, WebhookState};
use crate::model::Millis;
use crate::server::event::schema::MillisSchema;
use crate::server::event::types::EVENT_TYPES;
use crate::server::{hex, wall_now};
use axum::extract::State;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one request sends dead letters; what is left is sent by the next one.
const REPLAY_FOR: Duration = Duration::from_secs(8);
/// Bytes of an answer that are shown.
const ANSWER_SHOWN_BYTES: usize = 1 << 10;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Webhooks")]
pub struct ShownWebhooks<'a> {
    webhooks: Vec<ShownWebhook<'a>>,
}

/// Counted since the start of the server, the dead letters aside.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Webhook")]
struct ShownWebhook<'a> {
    name: &'a str,
    url: String,
    events: Vec<&'static str>,
    /// gone: the receiver has answered 410, and nothing is sent.
    #[schemars(extend("enum" = WebhookPhase::ALL.map(WebhookPhase::name)))]
    state: &'static str,
    /// After everything that was acknowledged or put with the dead letters.
    cursor: Option<String>,
    /// Age of the oldest event on its way; 0: none is.
    lag_ms: u64,
    /// Of the batch on its way, in a row.
    failures: u32,
    delivered_events: u64,
    /// Requests by their result.
    attempts: BTreeMap<&'static str, u64>,
    dead_letters: ShownLetters,
    /// Neither acknowledged in time nor stored: the file of dead letters was full.
    dropped_events: u64,
    /// Times that the cursor could not be followed any more.
    begun_anew: u64,
    last_error: Option<ShownError>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "DeadLetters")]
struct ShownLetters {
    batches: u64,
    events: u64,
    bytes: u64,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "WebhookError")]
struct ShownError {
    #[schemars(with = "MillisSchema")]
    time: u64,
    message: String,
}

/// What came of a test event.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "WebhookAttempt")]
pub struct ShownAttempt {
    #[schemars(extend("enum" = AttemptResult::ALL.map(AttemptResult::name)))]
    result: &'static str,
    status: Option<u16>,
    duration_ms: u64,
    /// The beginning of the answer's body.
    answer: String,
    error: Option<String>,
}

/// What came of sending dead letters again.
#[derive(Default, JsonSchema, Serialize)]
#[schemars(rename = "WebhookReplay")]
pub struct ReplayedLetters {
    /// Acknowledged now.
    batches: u64,
    events: u64,
    left_batches: u64,
    /// Why those that are left were not sent; none if the time was over.
    error: Option<String>,
}

/// What a webhook is sent by POST /v1/webhooks/{webhook}/test.
#[derive(JsonSchema, Serialize)]
pub struct TestEvent<'a> {
    #[schemars(extend("enum" = ["webhook.test"]))]
    event: &'static str,
    webhook: &'a str,
    time: u64,
}

/// For how long the receiver has lacked an event that happened.
pub fn lag_ms(state: &WebhookState, now: Millis) -> u64 {
    state.behind_since.map_or(0, |since| now.0.saturating_sub(since.0))
}

pub async fn list(State(api): State<Arc<Api>>) -> Result<Answered<ShownWebhooks<'static>>, ApiError> {
    let now = wall_now();
    let webhooks = api.webhooks.iter().map(|webhook| shown(webhook, now)).collect();
    Ok(Answered::of(&ShownWebhooks { webhooks }))
}

fn shown(webhook: &Webhook, now: Millis) -> ShownWebhook<'_> {
    let state = webhook.state().clone();
    let types = &webhook.options.filter.types;
    ShownWebhook {
        name: &webhook.options.name,
        url: webhook.options.url.to_string(),
        events: if types.is_empty() { EVENT_TYPES.to_vec() } else { types.clone() },
        state: state.phase.name(),
        lag_ms: lag_ms(&state, now),
        cursor: state.cursor,
        failures: state.failures,
        delivered_events: state.delivered_events,
        attempts: AttemptResult::ALL.into_iter().map(|it| (it.name(), state.attempts[it as usize])).collect(),
        dead_letters: ShownLetters { batches: state.dead.batches, events: state.dead.events, bytes: state.dead.bytes },
        dropped_events: state.dropped_events,
        begun_anew: state.begun_anew,
        last_error: state.last_error.map(|error| ShownError { time: error.at.0, message: error.what }),
    }
}

/// The name of a webhook, in a path.
pub struct WebhookInPath(String);

impl PathPart for WebhookInPath {
    const NAME: &'static str = "webhook";
    type Schema = Self;

    fn read(text: &str) -> Result<Self, ApiError> {
        Ok(Self(text.to_owned()))
    }
}

impl JsonSchema for WebhookInPath {
    fn schema_name() -> Cow<'static, str> {
        "WebhookName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[a-z0-9-]{1,32}$"})
    }
}

fn named(api: &Api, WebhookInPath(name): WebhookInPath) -> Result<Arc<Webhook>, ApiError> {
    let found = api.webhooks.iter().find(|webhook| webhook.options.name == name);
    found.cloned().ok_or(ApiError::WebhookNotFound)
}

/// Sends a signed event that is no record's. A receiver that was gone gets events again if it acknowledges it.
pub async fn test(
    State(api): State<Arc<Api>>,
    InPath(name): InPath<WebhookInPath>,
    _: NoBody,
) -> Result<Answered<ShownAttempt>, ApiError> {
    let webhook = named(&api, name)?;
    let event = TestEvent { event: "webhook.test", webhook: &webhook.options.name, time: wall_now().0 };
    let event = serde_json::to_string(&event).expect("an event has text keys");
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| ApiError::Internal)?;
    let attempt = webhook.attempt(&format!("msg_{}", hex(&random)), &format!("[{event}]")).await;
    if attempt.result == AttemptResult::Acknowledged {
        webhook.is_back.notify_waiters();
    }
    Ok(Answered::of(&ShownAttempt::of(attempt)))
}

/// Sends dead letters again, oldest first, once each; those that are acknowledged are letters no more.
pub async fn replay(
    State(api): State<Arc<Api>>,
    InPath(name): InPath<WebhookInPath>,
    _: NoBody,
) -> Result<Answered<ReplayedLetters>, ApiError> {
    let webhook = named(&api, name)?;
    let failed = |error: std::io::Error| ApiError::DeadLetters(error.to_string());
    let letters = webhook.dead_letters.clone().lock_owned().await;
    let read = tokio::task::spawn_blocking(move || (letters.all(), letters));
    let (read, mut letters) = read.await.map_err(|_panicked| ApiError::Internal)?;
    let (begun, mut replayed) = (Instant::now(), ReplayedLetters::default());
    for letter in read.map_err(failed)? {
        if begun.elapsed() >= REPLAY_FOR {
            break;
        }
        let attempt = webhook.attempt(&letter.id, letter.events.get()).await;
        if attempt.result != AttemptResult::Acknowledged {
            replayed.error = attempt.error;
            break;
        }
        replayed.batches += 1;
        replayed.events += letter.count();
    }
    let sent = replayed.batches as usize;
    let removed = tokio::task::spawn_blocking(move || {
        let removed = if sent > 0 { letters.remove_first(sent) } else { Ok(()) };
        (removed, letters.held)
    });
    let (removed, held) = removed.await.map_err(|_panicked| ApiError::Internal)?;
    removed.map_err(failed)?;
    let mut state = webhook.state();
    state.dead = held;
    state.delivered_events += replayed.events;
    drop(state);
    replayed.left_batches = held.batches;
    Ok(Answered::of(&replayed))
}

impl ShownAttempt {
    fn of(attempt: WebhookAttempt) -> Self {
        let shown = &attempt.answer[..attempt.answer.len().min(ANSWER_SHOWN_BYTES)];
        Self {
            result: attempt.result.name(),
            status: attempt.status.map(|status| status.as_u16()),
            duration_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            answer: String::from_utf8_lossy(shown).into_owned(),
            error: attempt.error,
        }
    }
}
