//! `GET /v1/overview/history`: the numbers of the last minutes or hours.

use crate::admin::api::Api;
use crate::admin::base::answer::Answered;
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::Asked;
use crate::admin::overview::point::{METRICS, OverviewPoint};
use crate::admin::overview::rings::HistoryRing;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How far back a history goes.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
pub enum HistorySpan {
    /// Ten minutes, a point a second.
    #[default]
    #[serde(rename = "10m")]
    Minutes,
    /// Six hours, a point each 15 seconds.
    #[serde(rename = "6h")]
    Hours,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// 10m: a point a second; 6h: one each 15 seconds.
    #[serde(default)]
    #[schemars(with = "String", extend("enum" = ["10m", "6h"], "default" = "10m"))]
    span: Option<HistorySpan>,
}

#[derive(JsonSchema, Serialize)]
pub struct OverviewHistory {
    step_ms: u64,
    /// Unix milliseconds of each point, ascending.
    at: Vec<u64>,
    /// Each metric's value at each point; null: nothing was observed.
    #[schemars(with = "BTreeMap<String, Vec<Option<f32>>>")]
    values: BTreeMap<&'static str, Vec<f32>>,
    /// The 99th percentile of each shard's turns at each point, in microseconds; only of the shorter history.
    #[schemars(with = "Vec<Vec<Option<f32>>>")]
    turns_us: Vec<Vec<f32>>,
}

impl OverviewHistory {
    fn of(ring: &HistoryRing) -> Self {
        let points = ring.points();
        let column = |index: usize| points.iter().map(|point| point.values[index]).collect();
        let shards = points.front().map_or(0, |point| point.turns_us.len());
        let turns = |shard: usize| points.iter().map(|point: &OverviewPoint| point.turns_us[shard]).collect();
        Self {
            step_ms: ring.step_ms,
            at: points.iter().map(|point| point.at).collect(),
            values: METRICS.iter().enumerate().map(|(index, metric)| (metric.name, column(index))).collect(),
            turns_us: (0..shards).map(turns).collect(),
        }
    }
}

pub async fn show(
    State(api): State<Arc<Api>>,
    Asked(HistoryQuery { span }): Asked<HistoryQuery>,
) -> Result<Answered<OverviewHistory>, ApiError> {
    let rings = api.overview.rings();
    let ring = match span.unwrap_or_default() {
        HistorySpan::Minutes => &rings.seconds,
        HistorySpan::Hours => &rings.quarters,
    };
    Ok(Answered::of(&OverviewHistory::of(ring)))
}
