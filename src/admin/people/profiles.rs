//! Profiles of users and groups over HTTP.

use crate::admin::api::Api;
use crate::admin::base::answer::{Answered, ChangeDone, done};
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::{InPath, Posted};
use crate::model::{Answer, Extra, GroupId, JoinPolicy, Order, Profile, ProfileChange, UserId};
use crate::server::event::profile::ShownProfile;
use crate::server::event::schema::{JoinPolicySchema, WITHOUT_CONTROLS, given};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProfile {
    /// For people, not unique. At most limits.profile_name_bytes_max (256) bytes, no control characters.
    #[serde(default)]
    #[schemars(extend("pattern" = WITHOUT_CONTROLS))]
    name: String,
    /// A URL or an id. At most limits.profile_avatar_bytes_max (1024) bytes, no control characters.
    #[serde(default)]
    #[schemars(extend("pattern" = WITHOUT_CONTROLS))]
    avatar: String,
    /// The application's own. Keys and values together at most limits.profile_attributes_bytes_max (4096) bytes; keys contain
    /// no control characters.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": WITHOUT_CONTROLS}))]
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GroupProfileChange", extend("anyOf" = given(&["name", "avatar", "attributes", "join"])))]
pub struct ProfilePatch {
    /// As of a user's profile, like the next two.
    #[schemars(extend("pattern" = WITHOUT_CONTROLS))]
    name: Option<String>,
    #[schemars(extend("pattern" = WITHOUT_CONTROLS))]
    avatar: Option<String>,
    #[schemars(extend("propertyNames" = {"pattern": WITHOUT_CONTROLS}))]
    attributes: Option<BTreeMap<String, String>>,
    #[schemars(with = "Option<JoinPolicySchema>")]
    join: Option<String>,
}

fn extra(pairs: BTreeMap<String, String>) -> Extra {
    Extra::new(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
}

pub async fn show_user(
    State(api): State<Arc<Api>>,
    InPath(user): InPath<UserId>,
) -> Result<Answered<ShownProfile<'static>>, ApiError> {
    match api.orders.ask(Order::ShowProfile { user }).await? {
        Answer::Profile(profile) => Ok(Answered::of(&ShownProfile::from(&*profile))),
        _ => Err(ApiError::Internal),
    }
}

pub async fn set_user(
    State(api): State<Arc<Api>>,
    InPath(user): InPath<UserId>,
    Posted(NewProfile { name, avatar, attributes }): Posted<NewProfile>,
) -> Result<ChangeDone, ApiError> {
    let profile = Profile { name: name.into(), avatar: avatar.into(), attributes: extra(attributes) };
    profile.expect_within(&api.options.limits).map_err(ApiError::Refused)?;
    done(&api.orders.ask(Order::SetProfile { user, profile: Box::new(profile) }).await?)
}

pub async fn change_group(
    State(api): State<Arc<Api>>,
    InPath(group): InPath<GroupId>,
    Posted(ProfilePatch { name, avatar, attributes, join }): Posted<ProfilePatch>,
) -> Result<ChangeDone, ApiError> {
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
