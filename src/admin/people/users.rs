//! Users, their accounts and their block lists over HTTP.

use crate::admin::api::Api;
use crate::admin::base::answer::done;
use crate::admin::base::error::{ApiError, json};
use crate::admin::base::intake::{self, PathSegments};
use crate::model::{AccountState, Answer, BlockState, Millis, Order, Refusal, UserState};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Serialize)]
pub struct ShownUser<'a> {
    id: &'a str,
    /// An operator added the user, or the user has logged in.
    known: bool,
    sessions: u64,
    newest_seq: u64,
    conversations: u64,
    last_seen: u64,
    disabled: bool,
    /// Tokens issued earlier are revoked; 0: none is revoked.
    tokens_from: u64,
}

pub async fn know(State(api): State<Arc<Api>>, path: PathSegments<String>, body: Body) -> Result<Response, ApiError> {
    let user = intake::user_alone(&api, path, body).await?;
    done(&api.orders.ask(Order::KnowUser { user }).await?)
}

pub async fn show(State(api): State<Arc<Api>>, path: PathSegments<String>) -> Result<Response, ApiError> {
    let user = intake::user("the user's id", &intake::segments(path)?)?;
    match api.orders.ask(Order::ShowUser { user }).await? {
        Answer::User(state) if is_nobody(&state) => Err(ApiError::Refused(Refusal::UserNotExist.into())),
        Answer::User(state) => Ok(json(StatusCode::OK, &shown_user(&state))),
        _ => Err(ApiError::Internal),
    }
}

/// Not in the directory, without messages, and with a default account.
pub fn is_nobody(state: &UserState) -> bool {
    let is_marked = state.account == AccountState::Disabled || state.tokens_from > Millis(0);
    !is_marked && !state.is_known && state.sessions == 0 && state.newest_seq.0 == 0 && state.conversations == 0
}

pub fn shown_user(state: &UserState) -> ShownUser<'_> {
    ShownUser {
        id: state.id.as_str(),
        known: state.is_known,
        sessions: state.sessions,
        newest_seq: state.newest_seq.0,
        conversations: state.conversations,
        last_seen: state.last_seen.0,
        disabled: state.account == AccountState::Disabled,
        tokens_from: state.tokens_from.0,
    }
}

pub async fn block(
    api: State<Arc<Api>>,
    path: PathSegments<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    set_block(api, path, body, BlockState::Blocked).await
}

pub async fn unblock(
    api: State<Arc<Api>>,
    path: PathSegments<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    set_block(api, path, body, BlockState::Allowed).await
}

async fn set_block(
    State(api): State<Arc<Api>>,
    path: PathSegments<(String, String)>,
    body: Body,
    state: BlockState,
) -> Result<Response, ApiError> {
    let (by, other) = intake::segments(path)?;
    let (by, other) = (intake::user("the user's id", &by)?, intake::user("the other user's id", &other)?);
    if by == other {
        return Err(ApiError::invalid("users cannot block themselves"));
    }
    intake::nothing(&api, body).await?;
    done(&api.orders.ask(Order::Block { by, other, state }).await?)
}

pub async fn disable(api: State<Arc<Api>>, path: PathSegments<String>, body: Body) -> Result<Response, ApiError> {
    set_account(api, path, body, AccountState::Disabled).await
}

pub async fn enable(api: State<Arc<Api>>, path: PathSegments<String>, body: Body) -> Result<Response, ApiError> {
    set_account(api, path, body, AccountState::Enabled).await
}

async fn set_account(
    State(api): State<Arc<Api>>,
    path: PathSegments<String>,
    body: Body,
    state: AccountState,
) -> Result<Response, ApiError> {
    let user = intake::user_alone(&api, path, body).await?;
    done(&api.orders.ask(Order::SetAccount { user, state }).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokensQuery {
    issued_before: Option<u64>,
}

pub async fn revoke_tokens(
    State(api): State<Arc<Api>>,
    path: PathSegments<String>,
    query: Result<Query<TokensQuery>, QueryRejection>,
    body: Body,
) -> Result<Response, ApiError> {
    let issued_before = intake::query(query)?.issued_before.map(Millis);
    let user = intake::user_alone(&api, path, body).await?;
    done(&api.orders.ask(Order::RevokeTokens { user, issued_before }).await?)
}
