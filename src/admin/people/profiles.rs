//! Profiles of users and groups over HTTP.

use crate::admin::api::Api;
use crate::admin::base::answer::done;
use crate::admin::base::error::{ApiError, json};
use crate::admin::base::intake::{self, PathSegments};
use crate::model::{Answer, Extra, JoinPolicy, Order, Profile, ProfileChange};
use crate::server::event::profile::ShownProfile;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProfile {
    #[serde(default)]
    name: String,
    #[serde(default)]
    avatar: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfilePatch {
    name: Option<String>,
    avatar: Option<String>,
    attributes: Option<BTreeMap<String, String>>,
    join: Option<String>,
}

fn extra(pairs: BTreeMap<String, String>) -> Extra {
    Extra::new(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
}

pub async fn show_user(State(api): State<Arc<Api>>, path: PathSegments<String>) -> Result<Response, ApiError> {
    let user = intake::user("the user's id", &intake::segments(path)?)?;
    match api.orders.ask(Order::ShowProfile { user }).await? {
        Answer::Profile(profile) => Ok(json(StatusCode::OK, &ShownProfile::from(&*profile))),
        _ => Err(ApiError::Internal),
    }
}

pub async fn set_user(
    State(api): State<Arc<Api>>,
    path: PathSegments<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let user = intake::user("the user's id", &intake::segments(path)?)?;
    let NewProfile { name, avatar, attributes } = intake::json(&api, body).await?;
    let profile = Profile { name: name.into(), avatar: avatar.into(), attributes: extra(attributes) };
    profile.expect_within(&api.options.limits).map_err(ApiError::Refused)?;
    done(&api.orders.ask(Order::SetProfile { user, profile: Box::new(profile) }).await?)
}

pub async fn change_group(
    State(api): State<Arc<Api>>,
    path: PathSegments<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let group = intake::group(&intake::segments(path)?)?;
    let ProfilePatch { name, avatar, attributes, join } = intake::json(&api, body).await?;
    let named = |name: String| {
        let policy = JoinPolicy::named(&name);
        policy.ok_or_else(|| ApiError::invalid(format!("join must be {}", JoinPolicy::WORDS)))
    };
    let change = ProfileChange {
        name: name.map(Into::into),
        avatar: avatar.map(Into::into),
        attributes: attributes.map(extra),
        join: join.map(named).transpose()?,
    };
    if change.is_empty() {
        return Err(ApiError::invalid("none of name, avatar, attributes and join is given"));
    }
    change.expect_within(&api.options.limits).map_err(ApiError::Refused)?;
    done(&api.orders.ask(Order::ChangeProfile { group, change: Box::new(change) }).await?)
}
