//! `POST /v1/drain`: the server accepts nobody any more, asks its sessions to go, and stops.

use crate::admin::api::Api;
use crate::admin::base::error::{ApiError, json};
use crate::admin::base::intake;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json as value;
use std::sync::Arc;

/// A day.
const OVER_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DrainRequest {
    over_ms: u64,
}

/// Answers before the drain ends. A drain that is under way keeps its time.
pub async fn drain(State(api): State<Arc<Api>>, body: Body) -> Result<Response, ApiError> {
    let DrainRequest { over_ms } = intake::json(&api, body).await?;
    if !(1..=OVER_MS_MAX).contains(&over_ms) {
        return Err(ApiError::invalid(format!("over_ms is not within 1 to {OVER_MS_MAX}")));
    }
    api.orders.lanes.drain(over_ms);
    Ok(json(StatusCode::ACCEPTED, &value!({})))
}
