//! `GET /v1/config`: every setting in force, and where its value comes from.

use crate::admin::api::Api;
use crate::admin::base::answer::Answered;
use crate::admin::base::error::ApiError;
use crate::server::{SettingInForce, settings_in_force};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Configuration")]
pub struct ShownConfiguration {
    settings: Vec<ShownSetting>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Setting")]
struct ShownSetting {
    key: &'static str,
    /// As it would stand in a TOML file.
    value: String,
    /// The profile, the file, the environment or a flag; default where none of them has it.
    source: String,
    about: &'static str,
}

pub async fn show(State(api): State<Arc<Api>>) -> Result<Answered<ShownConfiguration>, ApiError> {
    let shown = |SettingInForce { key, value, source, about }| ShownSetting { key, value, source, about };
    let settings = settings_in_force(&api.options).map(shown).collect();
    Ok(Answered::of(&ShownConfiguration { settings }))
}
