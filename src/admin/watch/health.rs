//! Health checks and numbers in short: whether the process works, whether it accepts clients, and how much it does.

use crate::admin::api::Api;
use crate::admin::base::answer::Answered;
use crate::admin::base::error::ApiError;
use crate::admin::watch::status::ShownCounts;
use crate::server::event::schema::MillisSchema;
use crate::server::{ServerPhase, Snapshot};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

#[derive(JsonSchema, Serialize)]
pub struct Health {
    #[schemars(extend("enum" = ["alive", "ready"]))]
    status: &'static str,
    /// `full` while messages are refused, or soon will be, because the disk has no room. Reading continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["full"]))]
    storage: Option<&'static str>,
}

/// Liveness: a server that answers 503 does not recover by itself. A long start is no fault.
pub async fn live(State(api): State<Arc<Api>>) -> Result<Answered<Health>, ApiError> {
    let stuck: Vec<String> = api.orders.lanes.pulse().stuck_shards().iter().map(usize::to_string).collect();
    if stuck.is_empty() {
        return Ok(Answered::of(&Health { status: "alive", storage: None }));
    }
    Err(ApiError::Stuck(stuck.join(", ")))
}

/// Readiness: whether the server accepts clients and orders.
pub async fn ready(State(api): State<Arc<Api>>) -> Result<Answered<Health>, ApiError> {
    match api.orders.lanes.phase() {
        ServerPhase::Ready if api.orders.lanes.is_draining() => Err(ApiError::Stopping),
        ServerPhase::Ready => {
            let is_full = api.orders.lanes.snapshots().iter().flatten().any(|shown| shown.log.is_full);
            Ok(Answered::of(&Health { status: "ready", storage: is_full.then_some("full") }))
        }
        ServerPhase::Starting => Err(ApiError::Starting),
        ServerPhase::Stopping => Err(ApiError::Stopping),
    }
}

/// At most a second old.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Stats")]
pub struct ShownStats {
    version: &'static str,
    ready: bool,
    /// When this run of the server began.
    #[schemars(with = "MillisSchema")]
    started: u64,
    shards: u16,
    #[serde(flatten)]
    counts: ShownCounts,
    log_segments: u64,
    log_bytes: u64,
    storage_full: bool,
}

/// `GET /v1/stats`: the numbers in short, as the shards published them last. `/metrics` has all of them.
pub async fn stats(State(api): State<Arc<Api>>) -> Result<Answered<ShownStats>, ApiError> {
    let shown: Vec<Arc<Snapshot>> = api.orders.lanes.snapshots().into_iter().flatten().collect();
    let sum = |read: fn(&Snapshot) -> u64| shown.iter().map(|snapshot| read(snapshot)).sum::<u64>();
    let body = ShownStats {
        version: env!("CARGO_PKG_VERSION"),
        ready: api.orders.lanes.phase() == ServerPhase::Ready,
        started: api.began.0,
        shards: api.orders.lanes.shards(),
        counts: ShownCounts::of(shown.iter().map(|it| &**it)),
        log_segments: sum(|it| it.log.segments),
        log_bytes: sum(|it| it.log.bytes),
        storage_full: shown.iter().any(|it| it.log.is_full),
    };
    Ok(Answered::of(&body))
}
