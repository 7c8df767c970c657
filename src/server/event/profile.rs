//! Profiles of users and groups, as JSON.

use crate::model::{GroupProfile, JoinPolicy, Profile};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub struct ShownProfile<'a> {
    name: &'a str,
    avatar: &'a str,
    attributes: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
pub struct ShownGroupProfile<'a> {
    #[serde(flatten)]
    about: ShownProfile<'a>,
    #[serde(serialize_with = "as_word")]
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
