//! Refusals of the HTTP API: a status, a stable code and a sentence. The shards' refusals keep their names.

use crate::model::{Denial, Refusal, Refused};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    #[error("{}", .0.detail)]
    Refused(Refused),
    /// The operator's hook has denied the message.
    #[error("{}", .0.text)]
    Denied(Box<Denial>),
    /// A path, a query or a body violates the contract.
    #[error("{0}")]
    Invalid(String),
    #[error("the admin token is missing or wrong: Authorization: Bearer TOKEN")]
    Unauthorized,
    #[error("this name is not this server's: name it in admin.allowed_hosts, or use an address")]
    WrongHost,
    #[error("a page of another site may not change anything here")]
    CrossSite,
    #[error("this token reads only: changes need the token of DATA_DIR/admin-token")]
    ReadOnly,
    #[error("this token reads only: secrets are shown for the token of DATA_DIR/admin-token")]
    SecretsWithheld,
    #[error("too many wrong tokens came from this address: try again in a minute")]
    TooManyLogins,
    #[error("unknown path; see GET /v1/openapi.json")]
    NotFound,
    #[error("there is no webhook of that name; see GET /v1/webhooks")]
    WebhookNotFound,
    #[error("this path does not support this method; see GET /v1/openapi.json")]
    MethodNotAllowed,
    #[error("the body did not arrive in time")]
    RequestTimeout,
    #[error("the body is larger than {bytes_max} bytes")]
    PayloadTooLarge { bytes_max: usize },
    #[error("too many orders are under way, try again later")]
    Busy,
    #[error("the server is starting, try again later")]
    Starting,
    #[error("the server is stopping; nothing was done")]
    Stopping,
    #[error("the server stopped before the order was answered: whether it was done is unknown, retrying it is safe")]
    Stopped,
    #[error(
        "the order was not answered within {order_ms} ms: whether it was done, or will be, is unknown, retrying it is \
         safe"
    )]
    Timeout { order_ms: u64 },
    #[error("too many event streams are open, try again later")]
    TooManyStreams,
    #[error("events behind this cursor have expired: go on with after=begin, and read what was missed from histories")]
    CursorExpired,
    #[error("the cursor is of an earlier run of the server: begin without it")]
    ListCursorExpired,
    #[error(
        "the logs have changed since this cursor was given (resharded, repaired, restored, or cut by a crash): go on \
         with after=begin"
    )]
    CursorSuperseded,
    #[error("the logs cannot be read: {0}")]
    Unreadable(String),
    #[error("the dead letters of a webhook cannot be read or written: {0}")]
    DeadLetters(String),
    #[error("who waits for the directory cannot be read: {0}")]
    Succession(String),
    #[error("no server waits for this directory: `mushan serve --take-over` asks by itself")]
    NotAwaited,
    #[error("these shards do not respond: {0}")]
    Stuck(String),
    /// A shard's answer does not fit the order: a bug of the server.
    #[error("the shard's answer does not belong to this request")]
    Internal,
}

/// Every code that is not the name of a refusal.
pub const CODES: [&str; 20] = [
    "denied",
    "unauthorized",
    "wrong_host",
    "cross_site",
    "read_only",
    "too_many_logins",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "payload_too_large",
    "busy",
    "starting",
    "stopping",
    "timeout",
    "stuck",
    "cursor_expired",
    "cursor_superseded",
    "unreadable",
    "not_awaited",
    "internal",
];

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Error")]
pub struct ErrorBody {
    /// Stable.
    #[schemars(extend("enum" = all_codes()))]
    code: &'static str,
    /// For people; it may change.
    message: String,
    /// With `denied`: the code of the operator's hook, whose text is `message`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u8", range(min = 128))]
    hook_code: Option<u8>,
}

impl ErrorBody {
    pub fn of(error: &ApiError) -> Self {
        Self { code: error.code(), message: error.to_string(), hook_code: error.hook_code() }
    }
}

fn all_codes() -> Vec<&'static str> {
    Refusal::ALL.map(Refusal::name).into_iter().chain(CODES).collect()
}

impl ApiError {
    pub fn invalid(sentence: impl Into<String>) -> Self {
        Self::Invalid(sentence.into())
    }

    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refused) => refused.refusal.name(),
            Self::Denied(_) => "denied",
            Self::Invalid(_) => Refusal::InvalidParam.name(),
            Self::Unauthorized => "unauthorized",
            Self::WrongHost => "wrong_host",
            Self::CrossSite => "cross_site",
            Self::ReadOnly | Self::SecretsWithheld => "read_only",
            Self::TooManyLogins => "too_many_logins",
            Self::NotFound | Self::WebhookNotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::PayloadTooLarge { .. } => "payload_too_large",
            Self::Busy | Self::TooManyStreams => "busy",
            Self::CursorExpired | Self::ListCursorExpired => "cursor_expired",
            Self::CursorSuperseded => "cursor_superseded",
            Self::Unreadable(_) | Self::DeadLetters(_) | Self::Succession(_) => "unreadable",
            Self::NotAwaited => "not_awaited",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Stopped | Self::Timeout { .. } => "timeout",
            Self::Stuck(_) => "stuck",
            Self::Internal => "internal",
        }
    }

    /// The code of the hook that denied the message.
    pub fn hook_code(&self) -> Option<u8> {
        match self {
            Self::Denied(denial) => Some(denial.code.number()),
            _ => None,
        }
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refused) => status_of(refused.refusal),
            Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::CrossSite | Self::ReadOnly | Self::SecretsWithheld => StatusCode::FORBIDDEN,
            Self::TooManyLogins => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound | Self::WebhookNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::CursorExpired | Self::ListCursorExpired | Self::CursorSuperseded => StatusCode::GONE,
            Self::NotAwaited => StatusCode::CONFLICT,
            Self::Busy | Self::TooManyStreams | Self::Starting | Self::Stopping | Self::Stuck(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Stopped | Self::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal | Self::Unreadable(_) | Self::DeadLetters(_) | Self::Succession(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

fn status_of(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::InvalidParam | Refusal::MessageKeyWrong | Refusal::TooManyNames => StatusCode::BAD_REQUEST,
        Refusal::AuthFailed | Refusal::TokenExpired | Refusal::TokenRevoked | Refusal::NotAuthenticated => {
            StatusCode::UNAUTHORIZED
        }
        Refusal::PermissionDenied | Refusal::AccountDisabled => StatusCode::FORBIDDEN,
        Refusal::UserNotExist | Refusal::ConversationNotExist => StatusCode::NOT_FOUND,
        Refusal::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::LoginTooFast
        | Refusal::SendTooFast
        | Refusal::GroupTooBusy
        | Refusal::TooManyConversations
        | Refusal::DailyShareUsed => StatusCode::TOO_MANY_REQUESTS,
        Refusal::ClientMessageIdReused
        | Refusal::GroupExists
        | Refusal::GroupFull
        | Refusal::TooManyJoinRequests
        | Refusal::TooManyGroups => StatusCode::CONFLICT,
        Refusal::Busy | Refusal::HookFailed => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        Refusal::StorageDamaged => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = json(status, &ErrorBody::of(&self));
        if self == Self::Unauthorized {
            let challenge = HeaderValue::from_static("Bearer realm=\"mushan\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A response with a JSON body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
    let text = serde_json::to_string(body).expect("responses have text keys and finite numbers");
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (status, headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_said_by_one_thing_only() {
        let names = Refusal::ALL.map(Refusal::name);
        let all: BTreeSet<&str> = names.into_iter().chain(CODES).collect();
        assert_eq!(all.len(), names.len() + CODES.len());
    }

    #[test]
    fn a_refusal_keeps_its_name_and_gets_a_fitting_status() {
        let seen = [Refusal::ConversationNotExist, Refusal::GroupExists, Refusal::StorageFull, Refusal::InvalidParam]
            .map(|refusal| ApiError::from(Refused::from(refusal)))
            .map(|error| (error.code(), error.status().as_u16()));
        let expected =
            [("conversation_not_exist", 404), ("group_exists", 409), ("storage_full", 507), ("invalid_param", 400)];
        assert_eq!(seen, expected);
    }
}
