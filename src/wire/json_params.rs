//! An object's members, asked for by name and kind.
//!
//! A request is asked for some fifteen names, so its members are taken off the tape once. Invariants: null counts as
//! absent, of equal keys the last counts, and a member of another kind is a coded refusal.

use super::exchange;
use crate::model::{GroupId, Recipient, Refused};
use simd_json::prelude::*;
use simd_json::tape::{Object, Value};
use smallvec::SmallVec;

/// As many as a request has at the most, unless it says what nobody understands.
const MEMBERS: usize = 12;

/// The value of one member of an object that is asked for nothing else.
pub(super) fn member<'t, 'i>(object: Value<'t, 'i>, name: &str) -> Option<Value<'t, 'i>> {
    let object: Object<'t, 'i> = object.as_object()?;
    let found = object.iter().filter(|(key, _)| *key == name).last();
    found.map(|(_, value)| value)
}

/// What is no object has no members.
pub(super) struct Params<'t, 'i> {
    whole: Option<Value<'t, 'i>>,
    members: SmallVec<[(&'i str, Value<'t, 'i>); MEMBERS]>,
}

impl<'t, 'i> Params<'t, 'i> {
    /// `None`: the object is absent.
    pub fn of(whole: Option<Value<'t, 'i>>) -> Self {
        let object: Option<Object<'t, 'i>> = whole.and_then(|value| value.as_object());
        let mut members = SmallVec::new();
        object.iter().flat_map(Object::iter).for_each(|member| members.push(member));
        Self { whole, members }
    }

    pub fn find(&self, name: &str) -> Option<Value<'t, 'i>> {
        let found = self.members.iter().rfind(|(key, _)| *key == name);
        found.map(|(_, value)| *value).filter(|value| !value.is_null())
    }

    pub fn is_object_or_absent(&self) -> bool {
        self.whole.is_none_or(|value| value.is_object())
    }

    pub fn text(&self, name: &str, detail: &'static str) -> Result<Option<&'i str>, Refused> {
        self.find(name).map(|value| value.into_string().ok_or(Refused::invalid(detail))).transpose()
    }

    pub fn integer(&self, name: &str, detail: &'static str) -> Result<Option<i64>, Refused> {
        self.find(name).map(|value| value.as_i64().ok_or(Refused::invalid(detail))).transpose()
    }

    /// An absent flag is not set.
    pub fn flag(&self, name: &str, detail: &'static str) -> Result<bool, Refused> {
        self.find(name).map_or(Ok(false), |value| value.as_bool().ok_or(Refused::invalid(detail)))
    }

    pub fn object(&self, name: &str, detail: &'static str) -> Result<Self, Refused> {
        let inner = Self::of(self.find(name));
        if inner.is_object_or_absent() { Ok(inner) } else { Err(Refused::invalid(detail)) }
    }

    /// An absent array is empty.
    pub fn texts(&self, name: &str, count_max: usize, detail: &'static str) -> Result<Vec<&'i str>, Refused> {
        let Some(value) = self.find(name) else { return Ok(Vec::new()) };
        let array = value.as_array().filter(|array| array.len() <= count_max).ok_or(Refused::invalid(detail))?;
        array.iter().map(|value| value.into_string().ok_or(Refused::invalid(detail))).collect()
    }

    /// An object of strings; an absent one has none.
    pub fn pairs(&self, name: &str, detail: &'static str) -> Result<Vec<(&'i str, &'i str)>, Refused> {
        let Some(value) = self.find(name) else { return Ok(Vec::new()) };
        let object: Object<'t, 'i> = value.as_object().ok_or(Refused::invalid(detail))?;
        let pair = |(key, value): (&'i str, Value<'t, 'i>)| Some((key, value.into_string()?));
        object.iter().map(|member| pair(member).ok_or(Refused::invalid(detail))).collect()
    }

    /// A small number; absent, it is 0.
    pub fn number(&self, name: &str, detail: &'static str) -> Result<i32, Refused> {
        let number = self.integer(name, detail)?.unwrap_or_default();
        i32::try_from(number).map_err(|_| Refused::invalid(detail))
    }

    /// A channel (PROTOCOL 3.4).
    pub fn recipient(&self) -> Result<Recipient, Refused> {
        let id = self.text("channelId", "channelId must be a string")?.unwrap_or_default();
        match self.integer("channelType", "channelType must be an integer")? {
            Some(1) => exchange::user_id(id, "channelId is malformed").map(Recipient::User),
            Some(2) => {
                let id = GroupId::new(id).map_err(|_| Refused::invalid("channelId is malformed"))?;
                Ok(Recipient::Group(id))
            }
            _ => Err(Refused::invalid("channelType must be 1 or 2")),
        }
    }
}
