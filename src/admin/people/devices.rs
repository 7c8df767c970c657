//! Users' devices for push notifications, registered, listed and removed over HTTP.
//!
//! Invariant: a request sees a token only if it asks for tokens and may change devices, and a digest of the token otherwise.

use crate::admin::api::Api;
use crate::admin::base::answer::{Answered, ChangeDone, done};
use crate::admin::base::error::ApiError;
use crate::admin::base::identity::Identity;
use crate::admin::base::intake::{self, Asked, InPath, NoBody, PathPart, Posted};
use crate::admin::base::token::OperatorRole;
use crate::model::{
    Answer, GivenToken, Order, PushChange, PushDevice, PushProvider, PushSettings, PushToken, QuietHours, Refused,
    UserId, push_device_id,
};
use crate::server::event::schema::WITHOUT_CONTROLS;
use crate::server::hex;
use aws_lc_rs::digest;
use axum::Extension;
use axum::extract::State;
use compact_str::CompactString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// Empty, with the next three: the device keeps its token.
    #[serde(default)]
    #[schemars(extend("enum" = provider_names().chain([""]).collect::<Vec<_>>()))]
    provider: String,
    /// Printable ASCII. Of webpush the endpoint's URL, https.
    #[serde(default)]
    #[schemars(length(max = PushToken::BYTES_MAX))]
    token: String,
    /// Of webpush, in base64url.
    #[serde(default)]
    p256dh: String,
    /// Of webpush, in base64url.
    #[serde(default)]
    auth: String,
    /// A language tag (BCP 47), or empty.
    #[serde(default)]
    #[schemars(length(max = PushSettings::LOCALE_BYTES_MAX), extend("pattern" = "^[A-Za-z0-9_-]*$"))]
    locale: String,
    #[serde(default)]
    muted: bool,
    #[serde(default, deserialize_with = "intake::object_or_none")]
    quiet: Option<Quiet>,
}

fn provider_names() -> impl Iterator<Item = &'static str> {
    PushProvider::ALL.into_iter().map(PushProvider::name)
}

/// Every day, in minutes of the device's own clock: from minute from until before minute until, past midnight where until is
/// the lower one.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct Quiet {
    #[serde(deserialize_with = "intake::whole")]
    #[schemars(range(min = 0, max = 1_439))]
    from: i64,
    #[serde(deserialize_with = "intake::whole")]
    #[schemars(range(min = 0, max = 1_439))]
    until: i64,
    /// Minutes that the clock is ahead of UTC.
    #[serde(deserialize_with = "intake::whole")]
    #[schemars(range(min = -840, max = 840))]
    utc_offset: i64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DevicesQuery {
    /// full shows the tokens themselves, and not to who reads only: whoever has them can reach the devices. Without it
    /// there is a digest of each, token_id.
    #[schemars(extend("enum" = ["full"]))]
    tokens: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemovalQuery {
    /// Only while the device's token has this digest: a device that has registered another token since is left alone.
    token_id: Option<String>,
}

/// The application's id of a device, in a path.
pub struct DeviceInPath(CompactString);

impl PathPart for DeviceInPath {
    const NAME: &'static str = "device";
    type Schema = Self;

    fn read(text: &str) -> Result<Self, ApiError> {
        push_device_id(text).map(Self).map_err(ApiError::Refused)
    }
}

impl JsonSchema for DeviceInPath {
    fn schema_name() -> Cow<'static, str> {
        "DeviceId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": PushChange::DEVICE_BYTES_MAX,
            "pattern": WITHOUT_CONTROLS,
            "description": "The application's id of the device: 1 to 128 bytes without control characters.",
        })
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Devices")]
pub struct ShownDevices<'a> {
    /// The latest registered last.
    devices: Vec<ShownDevice<'a>>,
    /// Messages that the user has not read, for the badge; of a user with more than 8,192 conversations, in some of them.
    unread: u64,
    /// The account is disabled.
    disabled: bool,
    /// The user has a session.
    online: bool,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Device")]
pub struct ShownDevice<'a> {
    id: &'a str,
    #[schemars(extend("enum" = provider_names().collect::<Vec<_>>()))]
    provider: &'static str,
    /// The first 16 hexadecimal digits of the token's SHA-256.
    token_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    p256dh: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
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

impl ShownTokens {
    /// What of the tokens somebody may see: who reads only gets nothing by which one acts as somebody else.
    pub fn all_that(identity: &Identity) -> Self {
        match identity.role() {
            Some(OperatorRole::Full) => Self::Full,
            Some(OperatorRole::ReadOnly) | None => Self::Digests,
        }
    }
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
    Extension(identity): Extension<Identity>,
    InPath(user): InPath<UserId>,
    Asked(DevicesQuery { tokens }): Asked<DevicesQuery>,
) -> Result<Answered<ShownDevices<'static>>, ApiError> {
    let tokens = match tokens.as_deref() {
        None => ShownTokens::Digests,
        Some("full") => match ShownTokens::all_that(&identity) {
            ShownTokens::Full => ShownTokens::Full,
            ShownTokens::Digests => return Err(ApiError::SecretsWithheld),
        },
        Some(_) => return Err(ApiError::invalid("tokens must be full".to_owned())),
    };
    let Answer::Devices { devices, unread, is_disabled, is_online } =
        api.orders.ask(Order::ShowDevices { user }).await?
    else {
        return Err(ApiError::Internal);
    };
    let devices = devices.iter().map(|device| shown(device, tokens)).collect();
    Ok(Answered::of(&ShownDevices { devices, unread, disabled: is_disabled, online: is_online }))
}

pub async fn register(
    State(api): State<Arc<Api>>,
    InPath((user, DeviceInPath(device))): InPath<(UserId, DeviceInPath)>,
    Posted(given): Posted<NewDevice>,
) -> Result<ChangeDone, ApiError> {
    let change = change(device, &given).map_err(ApiError::Refused)?;
    done(&api.orders.ask(Order::RegisterDevice { user, change: Box::new(change) }).await?)
}

pub async fn unregister(
    State(api): State<Arc<Api>>,
    InPath((user, DeviceInPath(device))): InPath<(UserId, DeviceInPath)>,
    Asked(RemovalQuery { token_id: wanted }): Asked<RemovalQuery>,
    _: NoBody,
) -> Result<ChangeDone, ApiError> {
    let only = match wanted {
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

fn change(device: CompactString, given: &NewDevice) -> Result<PushChange, Refused> {
    let NewDevice { provider, token, p256dh, auth, locale, muted, quiet } = given;
    let is_absent = [provider, token, p256dh, auth].iter().all(|part| part.is_empty());
    let token = if is_absent { None } else { Some(PushToken::new(GivenToken { provider, token, p256dh, auth })?) };
    let quiet = quiet.as_ref().map(|it| QuietHours::new(it.from, it.until, it.utc_offset)).transpose()?;
    Ok(PushChange { device, token, settings: PushSettings::new(locale, *muted, quiet)? })
}
