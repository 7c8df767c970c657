//! `POST /v1/console/login`, `POST /v1/console/logout`, `GET /v1/console/login`: from a token to a cookie and back.

use crate::admin::api::Api;
use crate::admin::base::answer::{Answered, Nothing};
use crate::admin::base::browsers::check_origin;
use crate::admin::base::connections::Caller;
use crate::admin::base::contract::{Answering, RequestPart, RouteContract};
use crate::admin::base::error::{ApiError, json};
use crate::admin::base::identity::{Identity, LoggedIn};
use crate::admin::base::intake::Posted;
use crate::server::event::schema::MillisSchema;
use crate::server::wall_now;
use axum::Extension;
use axum::extract::{FromRequestParts, State};
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The 64 hex digits of DATA_DIR/admin-token or DATA_DIR/read-token.
    token: String,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ConsoleLogin")]
pub struct ShownLogin {
    /// none: nobody is logged in.
    #[schemars(extend("enum" = ["full", "read_only", "none"]))]
    role: &'static str,
    /// The name of this login in the audit trail; empty for a token.
    label: String,
    /// When the login ends by itself; 0 for a token.
    #[schemars(with = "MillisSchema")]
    expires: u64,
}

impl ShownLogin {
    fn of(login: &LoggedIn) -> Self {
        Self { role: login.role.name(), label: login.label.clone(), expires: login.expires.0 }
    }
}

/// An answer with a cookie.
pub struct WithCookie<T> {
    cookie: String,
    body: T,
    /// Whose login was opened, for the audit trail.
    opened: Option<LoggedIn>,
}

impl<T: Serialize> IntoResponse for WithCookie<T> {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::OK, &self.body);
        let cookie = HeaderValue::from_str(&self.cookie).expect("a cookie is made of names and hex digits");
        response.headers_mut().insert(SET_COOKIE, cookie);
        if let Some(login) = self.opened {
            response.extensions_mut().insert(Identity::Console(login));
        }
        response
    }
}

impl<T: JsonSchema + Serialize> Answering for WithCookie<T> {
    fn describe(contract: &mut RouteContract<'_>) {
        contract.answers::<T>(200, "application/json");
    }
}

/// The request comes from a page of this server, or from no page at all.
pub struct OwnPage;

impl FromRequestParts<Arc<Api>> for OwnPage {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, ApiError> {
        check_origin(&parts.method, &parts.headers).map(|()| Self)
    }
}

impl RequestPart for OwnPage {
    fn describe(_: &mut RouteContract<'_>) {}
}

/// A wrong token is logged without the token, and one address has few of them a minute.
pub async fn login(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Caller>>,
    _: OwnPage,
    Posted(LoginRequest { token }): Posted<LoginRequest>,
) -> Result<WithCookie<ShownLogin>, ApiError> {
    let now = Instant::now();
    if !api.logins.may_try(caller.address, now) {
        return Err(ApiError::TooManyLogins);
    }
    let Some(role) = api.token.role_of(token.trim()) else {
        api.logins.note_fault(caller.address, now);
        tracing::warn!(address = %caller.address, "somebody tried to log in to the console with a wrong token");
        return Err(ApiError::Unauthorized);
    };
    let (login, cookie) = api.logins.open(role, (now, wall_now())).map_err(|_| ApiError::Internal)?;
    tracing::info!(address = %caller.address, role = role.name(), login = login.label, "somebody logged in to the console");
    Ok(WithCookie { cookie, body: ShownLogin::of(&login), opened: Some(login) })
}

/// Ends the login of the cookie.
pub async fn logout(
    State(api): State<Arc<Api>>,
    Extension(identity): Extension<Identity>,
) -> Result<WithCookie<Nothing>, ApiError> {
    if let Identity::Console(login) = &identity {
        api.logins.close(login);
    }
    Ok(WithCookie { cookie: api.logins.no_cookie(), body: Nothing {}, opened: None })
}

/// Who asks: nobody is no error, so that a page can ask.
pub async fn show(Extension(identity): Extension<Identity>) -> Result<Answered<ShownLogin>, ApiError> {
    let role = identity.role().map_or("none", |role| role.name());
    let shown = match identity {
        Identity::Console(login) => ShownLogin::of(&login),
        Identity::Token(_) | Identity::Nobody => ShownLogin { role, label: String::new(), expires: 0 },
    };
    Ok(Answered::of(&shown))
}
