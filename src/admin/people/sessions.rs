//! Sessions, presence and tokens over HTTP: who is here, from where, whose session is to end, and who may come.

use crate::admin::api::Api;
use crate::admin::base::answer::{Answered, ChangeDone, done, page};
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::{self, InPath, NoBody, Posted};
use crate::model::{
    Answer, DeviceKey, Order, PresenceState, Refusal, Refused, Reply, SessionId, SessionState, ShardId, UserId,
    has_control_character,
};
use crate::server::event::schema::{IdSchema, MillisSchema, SessionIdSchema, WITHOUT_CONTROLS};
use crate::server::{Secret, wall_now};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PresenceRequest", extend("example" = json!({"users": ["alice", "bob"]})))]
pub struct PresenceBody {
    #[schemars(with = "Vec<IdSchema>", length(max = Order::LISTED_MAX))]
    users: Vec<String>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "PresenceStates")]
pub struct ShownPresences {
    /// Each user once, in the order of their ids.
    states: Vec<ShownPresence>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "PresenceState")]
struct ShownPresence {
    #[schemars(with = "IdSchema")]
    user: String,
    online: bool,
    #[schemars(with = "MillisSchema")]
    last_seen: u64,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Sessions")]
pub struct ShownSessions<'a> {
    sessions: Vec<ShownSession<'a>>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Session")]
pub struct ShownSession<'a> {
    #[schemars(with = "SessionIdSchema")]
    id: String,
    /// The device's id, or the platform.
    device: &'a str,
    device_flag: u8,
    #[schemars(extend("enum" = ["binary", "jsonrpc", "wukong", ""]))]
    protocol: &'a str,
    /// Address and port of the other end: the proxy's where there is one.
    address: &'a str,
    #[schemars(with = "MillisSchema")]
    since: u64,
    queued_bytes: u64,
}

pub async fn list(
    State(api): State<Arc<Api>>,
    InPath(user): InPath<UserId>,
) -> Result<Answered<ShownSessions<'static>>, ApiError> {
    let Answer::Sessions(sessions) = api.orders.ask(Order::ShowSessions { user }).await? else {
        return Err(ApiError::Internal);
    };
    Ok(Answered::of(&ShownSessions { sessions: sessions.iter().map(shown_session).collect() }))
}

pub fn shown_session(session: &SessionState) -> ShownSession<'_> {
    ShownSession {
        id: session.id.to_string(),
        device: session.device.id.as_str(),
        device_flag: session.device.flag,
        protocol: session.protocol,
        address: session.address.as_str(),
        since: session.since.0,
        queued_bytes: session.queued_bytes,
    }
}

pub async fn end_all(
    State(api): State<Arc<Api>>,
    InPath(user): InPath<UserId>,
    _: NoBody,
) -> Result<ChangeDone, ApiError> {
    done(&api.orders.ask(Order::EndSessions { user, only: None }).await?)
}

pub async fn end_one(
    State(api): State<Arc<Api>>,
    InPath((user, session)): InPath<(UserId, SessionId)>,
    _: NoBody,
) -> Result<ChangeDone, ApiError> {
    done(&api.orders.ask(Order::EndSessions { user, only: Some(session) }).await?)
}

/// One order for each shard that has some of the users.
pub async fn presence(
    State(api): State<Arc<Api>>,
    Posted(PresenceBody { users }): Posted<PresenceBody>,
) -> Result<Answered<ShownPresences>, ApiError> {
    if users.len() > Order::LISTED_MAX {
        return Err(ApiError::invalid(format!("users names more than {} users", Order::LISTED_MAX)));
    }
    let users = intake::users("users", &users)?;
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
    Ok(Answered::of(&ShownPresences { states: states.iter().map(shown_presence).collect() }))
}

fn shown_presence(state: &PresenceState) -> ShownPresence {
    ShownPresence { user: state.user.as_str().to_owned(), online: state.is_online, last_seen: state.last_seen.0 }
}

const TTL_S_DEFAULT: u64 = 3_600;
const TTL_S_MAX: u64 = 366 * 86_400;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("example" = json!({"user": "alice", "ttl_s": 3600})))]
pub struct NewToken {
    #[schemars(with = "IdSchema")]
    user: String,
    #[serde(default, deserialize_with = "intake::whole_or_none")]
    #[schemars(range(min = 1, max = TTL_S_MAX), extend("default" = TTL_S_DEFAULT))]
    ttl_s: Option<u64>,
    /// The only platform of the binary protocol that the token is good on: 1 to 128 bytes without control characters.
    #[schemars(length(min = 1, max = DeviceKey::ID_BYTES_MAX), extend("pattern" = WITHOUT_CONTROLS))]
    platform: Option<String>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Token")]
pub struct MintedToken {
    token: String,
    #[schemars(with = "MillisSchema")]
    expires: u64,
}

/// Signed with the secret of the data directory. Whether the account may have a session is seen when the token is used.
pub async fn mint_token(
    State(api): State<Arc<Api>>,
    Posted(NewToken { user, ttl_s, platform }): Posted<NewToken>,
) -> Result<Answered<MintedToken, 201>, ApiError> {
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
    Ok(Answered::of(&MintedToken { token, expires: expires.0 / 1_000 * 1_000 }))
}
