//! One receiver: its settings and client, its numbers, and single requests to it.
//!
//! Shared by the receiver's task and the handlers of the operator's API. The lock of the numbers is held for moments only,
//! never over an await. Secrets and bodies are never logged.

use crate::admin::webhooks::batch;
use crate::admin::webhooks::cursor_file::CursorFile;
use crate::admin::webhooks::dead_letters::{DeadLetters, HeldLetters};
use crate::model::Millis;
use crate::server::{
    HostError, Options, OutboundClient, SigningSecret, StartError, WEBHOOKS_DIRECTORY, WebhookOptions, make_directory,
    retry_after, sentence, wall_now,
};
use axum::body::Bytes;
use axum::http::StatusCode;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

pub struct Webhook {
    pub options: WebhookOptions,
    secret: SigningSecret,
    client: OutboundClient,
    pub cursor_file: Arc<CursorFile>,
    pub dead_letters: Arc<tokio::sync::Mutex<DeadLetters>>,
    numbers: Mutex<WebhookState>,
    /// Told when a receiver that was gone is there again.
    pub is_back: Notify,
}

/// What a receiver's task is doing, and what it has done since the start of the server.
#[derive(Clone, Debug, Default)]
pub struct WebhookState {
    pub phase: WebhookPhase,
    /// The cursor after everything that was acknowledged or put with the dead letters.
    pub cursor: Option<String>,
    /// When the oldest event happened that is on its way.
    pub behind_since: Option<Millis>,
    pub delivered_events: u64,
    /// By `AttemptResult`.
    pub attempts: [u64; AttemptResult::ALL.len()],
    /// Failures of the batch under way, in a row.
    pub failures: u32,
    pub dead: HeldLetters,
    /// Events that no file had room for.
    pub dropped_events: u64,
    /// Times that a cursor could not be followed any more, and the receiver began anew.
    pub begun_anew: u64,
    pub last_error: Option<LastError>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebhookPhase {
    /// The server has not begun to serve, or the logs cannot be read yet.
    #[default]
    Starting,
    /// Everything is delivered, or on its way for the first time.
    Delivering,
    Retrying,
    /// The receiver said that it is gone for good (410).
    Gone,
}

impl WebhookPhase {
    pub const ALL: [Self; 4] = [Self::Starting, Self::Delivering, Self::Retrying, Self::Gone];

    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Delivering => "delivering",
            Self::Retrying => "retrying",
            Self::Gone => "gone",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    pub at: Millis,
    pub what: String,
}

/// What came of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    Acknowledged,
    /// Another status than 2xx; redirects are not followed.
    Refused,
    Gone,
    Timeout,
    /// No connection, or no answer in valid HTTP.
    Unreachable,
}

impl AttemptResult {
    pub const ALL: [Self; 5] = [Self::Acknowledged, Self::Refused, Self::Gone, Self::Timeout, Self::Unreachable];

    pub fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Refused => "refused",
            Self::Gone => "gone",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One request and its answer.
#[derive(Debug)]
pub struct WebhookAttempt {
    pub result: AttemptResult,
    pub status: Option<StatusCode>,
    pub answer: Bytes,
    /// A sentence where it was not acknowledged.
    pub error: Option<String>,
    pub retry_after: Option<Duration>,
    pub took: Duration,
}

impl Webhook {
    /// Every receiver of the configuration.
    ///
    /// # Errors
    ///
    /// A secret cannot be used, or a file in the data directory.
    pub fn open_all(options: &Options) -> Result<Vec<Arc<Self>>, StartError> {
        if options.webhooks.is_empty() {
            return Ok(Vec::new());
        }
        let directory = options.data_dir.join(WEBHOOKS_DIRECTORY);
        make_directory(&directory)?;
        options.webhooks.iter().map(|webhook| Self::open(webhook, &directory).map(Arc::new)).collect()
    }

    fn open(options: &WebhookOptions, directory: &Path) -> Result<Self, StartError> {
        let secret = options.secret()?;
        let client = OutboundClient::new(options.url.clone(), options.addresses)
            .map_err(HostError::system("find this machine's certificates of authorities"))?;
        let bytes_max = options.numbers.dead_letter_bytes_max;
        let dead = DeadLetters::open(directory, &options.name, bytes_max)
            .map_err(|error| StartError::disk("read the dead letters in", directory, error))?;
        let state = WebhookState { dead: dead.held, ..WebhookState::default() };
        Ok(Self {
            options: options.clone(),
            secret,
            client,
            cursor_file: Arc::new(CursorFile::new(directory, &options.name)),
            dead_letters: Arc::new(tokio::sync::Mutex::new(dead)),
            numbers: Mutex::new(state),
            is_back: Notify::new(),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, WebhookState> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what went wrong beside requests.
    pub fn note(&self, what: String) {
        self.state().last_error = Some(LastError { at: wall_now(), what });
    }

    /// Sends events, a list in JSON, once.
    pub async fn attempt(&self, id: &str, events: &str) -> WebhookAttempt {
        let begun = Instant::now();
        let body = batch::body(&self.options.name, events);
        let headers = self.secret.headers(id, wall_now().0 / 1_000, &body);
        let timeout_ms = self.options.numbers.timeout_ms;
        let post = self.client.post(headers, body, ANSWER_BYTES_MAX);
        let answered = tokio::time::timeout(Duration::from_millis(timeout_ms), post).await;
        let took = begun.elapsed();
        let failed = |result, error: String| WebhookAttempt {
            result,
            status: None,
            answer: Bytes::new(),
            error: Some(error),
            retry_after: None,
            took,
        };
        let attempt = match answered {
            Err(_elapsed) => failed(AttemptResult::Timeout, format!("no answer within {timeout_ms} ms")),
            Ok(Err(error)) => failed(AttemptResult::Unreachable, sentence(&error)),
            Ok(Ok(answer)) => {
                let (result, error) = judged(answer.status);
                WebhookAttempt {
                    result,
                    status: Some(answer.status),
                    retry_after: retry_after(&answer.headers, wall_now()),
                    answer: answer.body,
                    error,
                    took,
                }
            }
        };
        let mut state = self.state();
        state.attempts[attempt.result as usize] += 1;
        if let Some(what) = attempt.error.clone() {
            state.last_error = Some(LastError { at: wall_now(), what });
        }
        drop(state);
        attempt
    }
}

fn judged(status: StatusCode) -> (AttemptResult, Option<String>) {
    if status.is_success() {
        return (AttemptResult::Acknowledged, None);
    }
    if status == StatusCode::GONE {
        return (AttemptResult::Gone, Some("it answers 410 Gone: it wants no more events".to_owned()));
    }
    let why = if status.is_redirection() { ": redirects are not followed" } else { "" };
    (AttemptResult::Refused, Some(format!("it answers {status}{why}")))
}
