//! `GET /v1/trace`: what happens to one user, while it happens.

use crate::admin::api::Api;
use crate::admin::base::answer::LineStream;
use crate::admin::base::connections::Caller;
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::{self, Asked};
use crate::server::event::schema::IdSchema;
use crate::server::{ServerPhase, Trace, TraceLine};
use axum::body::Bytes;
use axum::extract::{Extension, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// An hour.
const FOR_MS_MAX: u64 = 60 * 60 * 1_000;
/// Lines that wait for the client.
const LINES_MAX: usize = 64;
/// How long the last line waits for a client that does not read.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a quiet trace looks whether the server stops.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceQuery {
    #[schemars(with = "IdSchema")]
    user: String,
    /// How long, in milliseconds.
    #[schemars(range(min = 1, max = FOR_MS_MAX))]
    for_ms: u64,
}

/// The last line of a trace.
#[derive(Serialize)]
struct TraceEnd {
    what: &'static str,
    /// Lines that the client did not take in time.
    lost: u64,
}

pub async fn follow(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Caller>>,
    Asked(TraceQuery { user, for_ms }): Asked<TraceQuery>,
) -> Result<LineStream<TraceLine>, ApiError> {
    if !(1..=FOR_MS_MAX).contains(&for_ms) {
        return Err(ApiError::invalid(format!("for_ms is not within 1 to {FOR_MS_MAX}")));
    }
    let user = intake::user("user", &user)?;
    match api.orders.lanes.phase() {
        ServerPhase::Starting => return Err(ApiError::Starting),
        ServerPhase::Stopping => return Err(ApiError::Stopping),
        ServerPhase::Ready => {}
    }
    let trace = api.orders.lanes.trace(user).ok_or(ApiError::Busy)?;
    let (sender, lines) = mpsc::channel(LINES_MAX);
    caller.has_begun_a_stream();
    tokio::spawn(run(api, trace, Instant::now() + Duration::from_millis(for_ms), sender));
    Ok(LineStream::new(lines))
}

/// Sends lines until the time is over, the client goes, or the server stops.
async fn run(api: Arc<Api>, mut trace: Trace, until: Instant, sender: mpsc::Sender<Bytes>) {
    loop {
        tokio::select! {
            line = trace.next() => {
                match hand_over(&sender, written(&line), until).await {
                    HandedLine::Taken => {}
                    HandedLine::Gone => return,
                    HandedLine::Late => break,
                }
            }
            () = sender.closed() => return,
            () = tokio::time::sleep_until(until) => break,
            () = tokio::time::sleep(LOOK_EVERY) => {
                if api.orders.lanes.phase() != ServerPhase::Ready {
                    break;
                }
            }
        }
    }
    let end = serde_json::to_string(&TraceEnd { what: "ended", lost: trace.lost() });
    let end = Bytes::from(format!("{}\n", end.expect("texts and numbers always encode")));
    // A client that never reads does not keep one of the few traces.
    hand_over(&sender, end, Instant::now() + END_TIMEOUT).await;
}

#[derive(Debug, PartialEq, Eq)]
enum HandedLine {
    Taken,
    /// There was no room for it until then.
    Late,
    /// The client is gone.
    Gone,
}

async fn hand_over(sender: &mpsc::Sender<Bytes>, line: Bytes, until: Instant) -> HandedLine {
    match timeout_at(until, sender.send(line)).await {
        Ok(Ok(())) => HandedLine::Taken,
        Ok(Err(_)) => HandedLine::Gone,
        Err(_elapsed) => HandedLine::Late,
    }
}

fn written(line: &TraceLine) -> Bytes {
    Bytes::from(format!("{}\n", serde_json::to_string(line).expect("texts and numbers always encode")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_never_reads_holds_no_trace_beyond_its_time() {
        let (sender, lines) = mpsc::channel(1);
        let hand = || hand_over(&sender, Bytes::from_static(b"{}"), Instant::now() + Duration::from_millis(5));
        assert_eq!((hand().await, hand().await), (HandedLine::Taken, HandedLine::Late));
        drop(lines);
        assert_eq!(hand().await, HandedLine::Gone);
    }
}
