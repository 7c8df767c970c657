//! `POST /v1/drain`: the server accepts nobody any more, asks its sessions to go, and stops.

use crate::admin::api::Api;
use crate::admin::base::answer::{Answered, Nothing};
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::{self, Posted};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// A day.
const OVER_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// How long it takes, in milliseconds.
    #[serde(deserialize_with = "intake::whole")]
    #[schemars(range(min = 1, max = OVER_MS_MAX))]
    over_ms: u64,
}

/// Answers before the drain ends. A drain that is under way keeps its time.
pub async fn drain(
    State(api): State<Arc<Api>>,
    Posted(DrainRequest { over_ms }): Posted<DrainRequest>,
) -> Result<Answered<Nothing, 202>, ApiError> {
    if !(1..=OVER_MS_MAX).contains(&over_ms) {
        return Err(ApiError::invalid(format!("over_ms is not within 1 to {OVER_MS_MAX}")));
    }
    api.orders.lanes.drain(over_ms);
    Ok(Answered::of(&Nothing {}))
}
