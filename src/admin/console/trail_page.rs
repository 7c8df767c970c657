//! `GET /v1/audit`: the audit trail in pages, and which requests stand in it.

use crate::admin::api::Api;
use crate::admin::base::answer::Answered;
use crate::admin::base::error::ApiError;
use crate::admin::base::identity::Identity;
use crate::admin::base::intake::{self, Asked};
use crate::admin::console::trail::{AuditEntry, AuditTrail};
use crate::server::event::schema::DECIMAL;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;

/// Operations that backends carry out for each message: what tokens do by them stands in the log of messages.
const FOR_EACH_MESSAGE: [&str; 2] = ["sendMessage", "sendMessages"];
/// Operations that show what users wrote.
const SHOW_MESSAGES: [&str; 6] =
    ["showInbox", "showConversations", "showPairHistory", "showGroupHistory", "exportUser", "followEvents"];
/// Questions that are asked by POST because they are long.
const ASK_ONLY: [&str; 1] = ["showPresence"];

/// Whether the operation changes anything.
pub fn is_change(method: &str, operation: Option<&str>) -> bool {
    !matches!(method, "GET" | "HEAD") && operation.is_none_or(|id| !ASK_ONLY.contains(&id))
}

/// Whether the trail has an entry of such a request: every change of an operator, every look at what users wrote, and
/// every login, also one that failed.
pub fn is_recorded(identity: &Identity, method: &str, operation: Option<&str>) -> bool {
    let is_for_each_message = operation.is_some_and(|id| FOR_EACH_MESSAGE.contains(&id));
    match identity {
        Identity::Nobody => operation == Some("logIn"),
        Identity::Token(_) if is_for_each_message => false,
        _ => is_change(method, operation) || operation.is_some_and(|id| SHOW_MESSAGES.contains(&id)),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// The `next` of the page before.
    #[serde(default, deserialize_with = "before_or_none")]
    #[schemars(with = "Option<String>", extend("pattern" = DECIMAL))]
    before: Option<u64>,
    #[schemars(range(min = 1, max = PAGE_MAX), extend("default" = PAGE_DEFAULT))]
    limit: Option<usize>,
}

fn before_or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    intake::decimal("before", &text).map(Some).map_err(serde::de::Error::custom)
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "AuditPage")]
pub struct ShownTrail {
    /// The newest first.
    entries: Vec<AuditEntry>,
    /// Where older entries follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// Entries that could not be written since the start.
    lost: u64,
}

pub async fn show(
    State(api): State<Arc<Api>>,
    Asked(AuditQuery { before, limit }): Asked<AuditQuery>,
) -> Result<Answered<ShownTrail>, ApiError> {
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!("limit is not within 1 to {PAGE_MAX}")));
    }
    let directory = api.trail.directory();
    let read = move || AuditTrail::read(&directory, before.unwrap_or(u64::MAX), limit);
    let read = tokio::task::spawn_blocking(read).await.map_err(|_| ApiError::Internal)?;
    let part = read.map_err(|error| ApiError::Unreadable(error.to_string()))?;
    let next = part.next.map(|number| number.to_string());
    Ok(Answered::of(&ShownTrail { entries: part.entries, next, lost: api.trail.lost() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::base::token::OperatorRole;
    use crate::admin::table::ROUTES;

    #[test]
    fn changes_and_looks_at_messages_are_recorded_and_what_backends_send_is_not() {
        let token = Identity::Token(OperatorRole::Full);
        assert!(is_recorded(&token, "PUT", Some("disableUser")));
        assert!(is_recorded(&token, "GET", Some("showInbox")));
        let ids: Vec<&str> = ROUTES.iter().map(|route| route.id).collect();
        assert!(SHOW_MESSAGES.iter().chain(&FOR_EACH_MESSAGE).chain(&ASK_ONLY).all(|id| ids.contains(id)));
        assert!(!is_recorded(&token, "GET", Some("showUser")));
        assert!(!is_recorded(&token, "POST", Some("showPresence")));
        assert!(!is_recorded(&token, "POST", Some("sendMessage")));
        assert!(is_recorded(&token, "DELETE", None), "whatever it was meant to be");
        assert!(is_recorded(&Identity::Nobody, "POST", Some("logIn")));
        assert!(!is_recorded(&Identity::Nobody, "PUT", Some("disableUser")), "a stranger fills no disk");
    }
}
