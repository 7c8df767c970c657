//! Users, their accounts and their block lists over HTTP.

use crate::admin::api::Api;
use crate::admin::base::answer::{Answered, ChangeDone, done};
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::{Asked, InPath, NoBody, OtherUser};
use crate::model::{AccountState, Answer, BlockState, Millis, Order, Refusal, UserId, UserState};
use crate::server::event::schema::{IdSchema, MillisSchema, SeqSchema};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "User")]
pub struct ShownUser<'a> {
    #[schemars(with = "IdSchema")]
    id: &'a str,
    /// An operator added the user, or the user has logged in.
    known: bool,
    /// Open now.
    sessions: u64,
    /// The inbox's newest seq.
    #[schemars(with = "SeqSchema")]
    newest_seq: u64,
    conversations: u64,
    /// When the last session ended, or up to a minute earlier where a crash ended it; 0: never seen, or online.
    #[schemars(with = "MillisSchema")]
    last_seen: u64,
    /// The user has no sessions and is let in with no token.
    disabled: bool,
    /// Tokens with an earlier iat, or without one, are revoked; 0: none is revoked.
    #[schemars(with = "MillisSchema")]
    tokens_from: u64,
    /// The user was erased: nobody is shown the user's words any more.
    erased: bool,
}

pub async fn know(
    State(api): State<Arc<Api>>,
    InPath(user): InPath<UserId>,
    _: NoBody,
) -> Result<ChangeDone, ApiError> {
    done(&api.orders.ask(Order::KnowUser { user }).await?)
}

pub async fn show(
    State(api): State<Arc<Api>>,
    InPath(user): InPath<UserId>,
) -> Result<Answered<ShownUser<'static>>, ApiError> {
    match api.orders.ask(Order::ShowUser { user }).await? {
        Answer::User(state) if is_nobody(&state) => Err(ApiError::Refused(Refusal::UserNotExist.into())),
        Answer::User(state) => Ok(Answered::of(&shown_user(&api, &state).await)),
        _ => Err(ApiError::Internal),
    }
}

/// Not in the directory, without messages, and with a default account.
pub fn is_nobody(state: &UserState) -> bool {
    let is_marked = state.account == AccountState::Disabled || state.tokens_from > Millis(0);
    !is_marked && !state.is_known && state.sessions == 0 && state.newest_seq.0 == 0 && state.conversations == 0
}

pub async fn shown_user<'a>(api: &Api, state: &'a UserState) -> ShownUser<'a> {
    api.erased.until_known().await;
    ShownUser {
        id: state.id.as_str(),
        known: state.is_known,
        sessions: state.sessions,
        newest_seq: state.newest_seq.0,
        conversations: state.conversations,
        last_seen: state.last_seen.0,
        disabled: state.account == AccountState::Disabled,
        tokens_from: state.tokens_from.0,
        erased: api.erased.contains(&state.id),
    }
}

pub async fn block(
    api: State<Arc<Api>>,
    InPath((by, OtherUser(other))): InPath<(UserId, OtherUser)>,
    _: NoBody,
) -> Result<ChangeDone, ApiError> {
    set_block(api, (by, other), BlockState::Blocked).await
}

pub async fn unblock(
    api: State<Arc<Api>>,
    InPath((by, OtherUser(other))): InPath<(UserId, OtherUser)>,
    _: NoBody,
) -> Result<ChangeDone, ApiError> {
    set_block(api, (by, other), BlockState::Allowed).await
}

async fn set_block(
    State(api): State<Arc<Api>>,
    (by, other): (UserId, UserId),
    state: BlockState,
) -> Result<ChangeDone, ApiError> {
    if by == other {
        return Err(ApiError::invalid("users cannot block themselves"));
    }
    done(&api.orders.ask(Order::Block { by, other, state }).await?)
}

pub async fn disable(
    State(api): State<Arc<Api>>,
    InPath(user): InPath<UserId>,
    _: NoBody,
) -> Result<ChangeDone, ApiError> {
    done(&api.orders.ask(Order::SetAccount { user, state: AccountState::Disabled }).await?)
}

pub async fn enable(
    State(api): State<Arc<Api>>,
    InPath(user): InPath<UserId>,
    _: NoBody,
) -> Result<ChangeDone, ApiError> {
    done(&api.orders.ask(Order::SetAccount { user, state: AccountState::Enabled }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokensQuery {
    /// Unix milliseconds, not later than now (400).
    #[schemars(with = "Option<MillisSchema>")]
    issued_before: Option<u64>,
}

pub async fn revoke_tokens(
    State(api): State<Arc<Api>>,
    InPath(user): InPath<UserId>,
    Asked(TokensQuery { issued_before }): Asked<TokensQuery>,
    _: NoBody,
) -> Result<ChangeDone, ApiError> {
    let issued_before = issued_before.map(Millis);
    done(&api.orders.ask(Order::RevokeTokens { user, issued_before }).await?)
}
