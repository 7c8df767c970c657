//! `GET /v1/sessions`: the sessions of everybody, and of them those for which much waits.

use crate::admin::api::Api;
use crate::admin::base::answer::Answered;
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::Asked;
use crate::admin::messages::reading::{ListRange, RowList};
use crate::admin::people::sessions::{ShownSession, shown_session};
use crate::model::{Answer, Order, SessionState};
use crate::server::event::schema::IdSchema;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionsQuery {
    /// Only of users whose ids contain this.
    user: Option<String>,
    /// Only those for which so many bytes wait.
    #[schemars(range(max = u64::MAX))]
    queued_bytes_min: Option<u64>,
    /// The `next` of the page before.
    #[schemars(extend("pattern" = "^[0-9]+\\.[0-9]+\\.[0-9]+$"))]
    after: Option<String>,
    /// About how many: the sessions of a user are on one page.
    #[schemars(range(min = 1, max = 1_000), extend("default" = 100))]
    limit: Option<u32>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "SessionsPage")]
pub struct ShownSessionsPage<'a> {
    sessions: Vec<SessionOfUser<'a>>,
    next: Option<String>,
}

#[derive(JsonSchema, Serialize)]
struct SessionOfUser<'a> {
    #[schemars(with = "IdSchema")]
    user: &'a str,
    #[serde(flatten)]
    session: ShownSession<'a>,
}

pub async fn list(
    State(api): State<Arc<Api>>,
    Asked(SessionsQuery { user, queued_bytes_min, after, limit }): Asked<SessionsQuery>,
) -> Result<Answered<ShownSessionsPage<'static>>, ApiError> {
    let (part, least) = (user.unwrap_or_default(), queued_bytes_min.unwrap_or_default());
    let is_wanted = |row: &SessionState| row.queued_bytes >= least && row.user.as_str().contains(&part);
    let list = RowList {
        order: |shard, from, limit| Order::ListSessions { shard, from, limit },
        rows: &|answer| {
            let Answer::AllSessions(mut listed) = answer else { return None };
            listed.rows.retain(is_wanted);
            Some(listed)
        },
    };
    let (rows, next) = list.page(&api, ListRange { after, limit }).await?;
    let sessions = rows.iter().map(|row| SessionOfUser { user: row.user.as_str(), session: shown_session(row) });
    Ok(Answered::of(&ShownSessionsPage { sessions: sessions.collect(), next }))
}
