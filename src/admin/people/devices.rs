//! Users' devices for push notifications, registered, listed and removed over HTTP.
//!
//! Invariant: a request sees a token only if it asks for tokens, and a digest of the token otherwise.

use crate::admin::api::Api;
use crate::admin::base::answer::done;
use crate::admin::base::error::{ApiError, json};
use crate::admin::base::intake::{self, PathSegments};
use crate::model::{
    Answer, GivenToken, Order, PushChange, PushDevice, PushSettings, PushToken, QuietHours, Refused, UserId,
    push_device_id,
};
use crate::server::hex;
use aws_lc_rs::digest;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::json as value;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewDevice {
    #[serde(default)]
    provider: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    p256dh: String,
    #[serde(default)]
    auth: String,
    #[serde(default)]
    locale: String,
    #[serde(default)]
    muted: bool,
    quiet: Option<Quiet>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Quiet {
    from: i64,
    until: i64,
    utc_offset: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevicesQuery {
    tokens: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemovalQuery {
    token_id: Option<String>,
}

#[derive(Serialize)]
pub struct ShownDevice<'a> {
    id: &'a str,
    provider: &'static str,
    token_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p256dh: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<&'a str>,
    locale: &'a str,
    muted: bool,
    quiet: Option<Quiet>,
}

/// Whether tokens are shown themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownTokens {
    Digests,
    Full,
}

/// 16 hexadecimal digits by which a token is recognised, and of which nobody makes the token.
fn token_id(token: &PushToken) -> String {
    hex(&digest::digest(&digest::SHA256, token.address().as_bytes()).as_ref()[..8])
}

pub fn shown(PushDevice { id, registration }: &PushDevice, tokens: ShownTokens) -> ShownDevice<'_> {
    let (token, settings) = (&registration.token, &registration.settings);
    let is_full = tokens == ShownTokens::Full;
    let (p256dh, auth) = token.keys();
    let key = |key| Some(key).filter(|key: &&str| is_full && !key.is_empty());
    ShownDevice {
        id,
        provider: token.provider().name(),
        token_id: token_id(token),
        token: Some(token.address()).filter(|_| is_full),
        p256dh: key(p256dh),
        auth: key(auth),
        locale: settings.locale(),
        muted: settings.is_muted,
        quiet: settings.quiet.map(|quiet| {
            let (from, until, utc_offset) = quiet.parts();
            Quiet { from: from.into(), until: until.into(), utc_offset: utc_offset.into() }
        }),
    }
}

pub async fn list(
    State(api): State<Arc<Api>>,
    path: PathSegments<String>,
    query: Result<Query<DevicesQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let user = intake::user("the user's id", &intake::segments(path)?)?;
    let tokens = match intake::query(query)?.tokens.as_deref() {
        None => ShownTokens::Digests,
        Some("full") => ShownTokens::Full,
        Some(_) => return Err(ApiError::invalid("tokens must be full".to_owned())),
    };
    let Answer::Devices { devices, unread, is_disabled, is_online } =
        api.orders.ask(Order::ShowDevices { user }).await?
    else {
        return Err(ApiError::Internal);
    };
    let devices: Vec<ShownDevice<'_>> = devices.iter().map(|device| shown(device, tokens)).collect();
    let body = value!({"devices": devices, "unread": unread, "disabled": is_disabled, "online": is_online});
    Ok(json(StatusCode::OK, &body))
}

pub async fn register(
    State(api): State<Arc<Api>>,
    path: PathSegments<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let (user, device) = named(path)?;
    let given: NewDevice = intake::json(&api, body).await?;
    let change = change(device, &given).map_err(ApiError::Refused)?;
    done(&api.orders.ask(Order::RegisterDevice { user, change: Box::new(change) }).await?)
}

pub async fn unregister(
    State(api): State<Arc<Api>>,
    path: PathSegments<(String, String)>,
    query: Result<Query<RemovalQuery>, QueryRejection>,
    body: Body,
) -> Result<Response, ApiError> {
    let (user, device) = named(path)?;
    intake::nothing(&api, body).await?;
    let only = match intake::query(query)?.token_id {
        None => None,
        Some(id) => {
            let Answer::Devices { devices, .. } = api.orders.ask(Order::ShowDevices { user: user.clone() }).await?
            else {
                return Err(ApiError::Internal);
            };
            let is_meant = |it: &&PushDevice| it.id == device && token_id(&it.registration.token) == id;
            match devices.iter().find(is_meant) {
                // The device has another token by now, or none.
                None => return done(&Answer::Unchanged),
                Some(found) => Some(CompactString::from(found.registration.token.address())),
            }
        }
    };
    done(&api.orders.ask(Order::UnregisterDevice { user, device, only }).await?)
}

fn named(path: PathSegments<(String, String)>) -> Result<(UserId, CompactString), ApiError> {
    let (user, device) = intake::segments(path)?;
    let user = intake::user("the user's id", &user)?;
    Ok((user, push_device_id(&device).map_err(ApiError::Refused)?))
}

fn change(device: CompactString, given: &NewDevice) -> Result<PushChange, Refused> {
    let NewDevice { provider, token, p256dh, auth, locale, muted, quiet } = given;
    let is_absent = [provider, token, p256dh, auth].iter().all(|part| part.is_empty());
    let token = if is_absent { None } else { Some(PushToken::new(GivenToken { provider, token, p256dh, auth })?) };
    let quiet = quiet.as_ref().map(|it| QuietHours::new(it.from, it.until, it.utc_offset)).transpose()?;
    Ok(PushChange { device, token, settings: PushSettings::new(locale, *muted, quiet)? })
}
