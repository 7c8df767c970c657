//! `POST /v1/hand-over`: the server stops at once in favour of the one that waits for its directory and its port.

use crate::admin::api::Api;
use crate::admin::base::answer::Answered;
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::NoBody;
use crate::server::{ServerPhase, Succession};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

#[derive(JsonSchema, Serialize)]
pub struct HandingOver {
    /// The process that stops.
    pid: u32,
    /// The one that waits for the directory.
    successor: u32,
}

/// Answers before the server has stopped. Refused while no server waits for the directory: then nobody would serve.
pub async fn hand_over(State(api): State<Arc<Api>>, _: NoBody) -> Result<Answered<HandingOver, 202>, ApiError> {
    match api.orders.lanes.phase() {
        ServerPhase::Starting => return Err(ApiError::Starting),
        ServerPhase::Stopping => return Err(ApiError::Stopping),
        ServerPhase::Ready => {}
    }
    let awaited_by = Succession::awaited_by(&api.options.data_dir);
    let awaited_by = awaited_by.map_err(|error| ApiError::Succession(error.to_string()))?;
    let successor = awaited_by.ok_or(ApiError::NotAwaited)?;
    if !api.orders.lanes.hand_over(successor) {
        return Err(ApiError::Stopping);
    }
    Ok(Answered::of(&HandingOver { pid: std::process::id(), successor }))
}
