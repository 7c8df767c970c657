//! `GET` and `PUT /v1/log-level`: the level of the server's log, which changes at once and lasts until the next start.

use crate::admin::base::answer::Answered;
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::Posted;
use crate::server::base::logging;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LogLevel {
    /// error, warn, info, debug, trace or off, or a filter such as info,mushan::server=debug.
    level: String,
}

pub async fn show() -> Result<Answered<LogLevel>, ApiError> {
    Ok(Answered::of(&LogLevel { level: logging::level() }))
}

pub async fn change(Posted(LogLevel { level }): Posted<LogLevel>) -> Result<Answered<LogLevel>, ApiError> {
    let before = logging::level();
    logging::set_level(&level).map_err(|problem| ApiError::invalid(format!("level: {problem}")))?;
    tracing::warn!(before, now = level, "the level of the log was changed");
    Ok(Answered::of(&LogLevel { level: logging::level() }))
}
