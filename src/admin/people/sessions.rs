//! Sessions, presence and tokens over HTTP: who is here, from where, whose session is to end, and who may come.

use crate::admin::api::Api;
use crate::admin::base::answer::{done, page};
use crate::admin::base::error::{ApiError, json};
use crate::admin::base::intake::{self, PathSegments};
use crate::admin::messages::reading::shown_presence;
use crate::model::{
    Answer, DeviceKey, Order, Refusal, Refused, Reply, SessionId, SessionState, ShardId, UserId, has_control_character,
};
use crate::server::{Secret, wall_now};
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json as value};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PresenceBody {
    users: Vec<String>,
}

pub async fn list(State(api): State<Arc<Api>>, path: PathSegments<String>) -> Result<Response, ApiError> {
    let user = intake::user("the user's id", &intake::segments(path)?)?;
    let Answer::Sessions(sessions) = api.orders.ask(Order::ShowSessions { user }).await? else {
        return Err(ApiError::Internal);
    };
    let sessions = sessions.iter().map(shown_session);
    Ok(json(StatusCode::OK, &value!({"sessions": sessions.collect::<Vec<_>>()})))
}

pub fn shown_session(session: &SessionState) -> Value {
    value!({
        "id": session.id.to_string(),
        "device": session.device.id.as_str(),
        "device_flag": session.device.flag,
        "protocol": session.protocol,
        "address": session.address.as_str(),
        "since": session.since.0,
        "queued_bytes": session.queued_bytes,
    })
}

pub async fn end_all(
    State(api): State<Arc<Api>>,
    path: PathSegments<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let user = intake::user_alone(&api, path, body).await?;
    done(&api.orders.ask(Order::EndSessions { user, only: None }).await?)
}

pub async fn end_one(
    State(api): State<Arc<Api>>,
    path: PathSegments<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let (user, session) = intake::segments(path)?;
    let user = intake::user("the user's id", &user)?;
    let session = intake::decimal("the session's id", &session).map(SessionId)?;
    intake::nothing(&api, body).await?;
    done(&api.orders.ask(Order::EndSessions { user, only: Some(session) }).await?)
}

/// One order for each shard that has some of the users.
pub async fn presence(State(api): State<Arc<Api>>, body: Body) -> Result<Response, ApiError> {
    let PresenceBody { users } = intake::json(&api, body).await?;
    let users = intake::users("users", &users)?;
    if users.len() > Order::LISTED_MAX {
        return Err(ApiError::invalid(format!("users names more than {} users", Order::LISTED_MAX)));
    }
    let mut of_shards: BTreeMap<ShardId, Vec<UserId>> = BTreeMap::new();
    for user in users {
        of_shards.entry(api.orders.lanes.owner_of(&user)).or_default().push(user);
    }
    let mut states = Vec::new();
    for (shard, users) in of_shards {
        let Reply::Presence(found) = page(api.orders.ask(Order::ShowPresence { shard, users }).await?)? else {
            return Err(ApiError::Internal);
        };
        states.extend(found);
    }
    states.sort_by(|one, other| one.user.cmp(&other.user));
    let states: Vec<Value> = states.iter().map(shown_presence).collect();
    Ok(json(StatusCode::OK, &value!({"states": states})))
}

const TTL_S_DEFAULT: u64 = 3_600;
const TTL_S_MAX: u64 = 366 * 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    user: String,
    ttl_s: Option<u64>,
    platform: Option<String>,
}

/// Signed with the secret of the data directory. Whether the account may have a session is seen when the token is used.
pub async fn mint_token(State(api): State<Arc<Api>>, body: Body) -> Result<Response, ApiError> {
    let NewToken { user, ttl_s, platform } = intake::json(&api, body).await?;
    let user = intake::user("user", &user)?;
    let ttl_s = ttl_s.unwrap_or(TTL_S_DEFAULT);
    if !(1..=TTL_S_MAX).contains(&ttl_s) {
        return Err(ApiError::invalid(format!("ttl_s is not within 1 to {TTL_S_MAX}")));
    }
    let platform = platform.as_deref();
    let is_platform = |name: &str| (1..=DeviceKey::ID_BYTES_MAX).contains(&name.len()) && !has_control_character(name);
    if platform.is_some_and(|name| !is_platform(name)) {
        return Err(ApiError::invalid("platform is not 1 to 128 bytes without control characters"));
    }
    if !api.options.auth.allows_own_tokens() {
        let why = "this server accepts no tokens that it signs itself: see auth.algorithms";
        return Err(Refused::because(Refusal::PermissionDenied, why).into());
    }
    let secret = Secret::load(&api.options.data_dir).map_err(|_| ApiError::Internal)?.ok_or(ApiError::Internal)?;
    let issued = wall_now();
    let expires = issued.plus(ttl_s * 1_000);
    let token = secret.mint(&user, platform, issued, expires);
    Ok(json(StatusCode::CREATED, &value!({"token": token, "expires": expires.0 / 1_000 * 1_000})))
}
