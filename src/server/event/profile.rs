//! Profiles of users and groups, as JSON.

use crate::model::{GroupProfile, JoinPolicy, Profile};
use crate::server::event::schema::JoinPolicySchema;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Profile")]
pub struct ShownProfile<'a> {
    /// For people, not unique.
    name: &'a str,
    /// A URL or an id.
    avatar: &'a str,
    /// The application's own.
    attributes: BTreeMap<&'a str, &'a str>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "GroupProfile")]
pub struct ShownGroupProfile<'a> {
    #[serde(flatten)]
    about: ShownProfile<'a>,
    #[serde(serialize_with = "as_word")]
    #[schemars(with = "JoinPolicySchema")]
    join: JoinPolicy,
}

impl<'a> From<&'a Profile> for ShownProfile<'a> {
    fn from(Profile { name, avatar, attributes }: &'a Profile) -> Self {
        Self { name, avatar, attributes: attributes.iter().collect() }
    }
}

impl<'a> From<&'a GroupProfile> for ShownGroupProfile<'a> {
    fn from(GroupProfile { about, join }: &'a GroupProfile) -> Self {
        Self { about: about.into(), join: *join }
    }
}

fn as_word<S: serde::Serializer>(join: &JoinPolicy, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(join.name())
}
