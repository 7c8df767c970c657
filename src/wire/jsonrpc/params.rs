//! The members of a params object, by name and type.
//!
//! A request has at most some fifteen names, so its members are listed once. Invariants: null counts as absent, of
//! equal keys the last counts, and a member of another type is a coded refusal.

use crate::model::{GroupId, Recipient, Refused};
use crate::wire::common::exchange;
use crate::wire::json::value::Value;
use smallvec::SmallVec;

/// The members of most requests; only a request with unknown members has more.
const MEMBERS: usize = 12;

/// What is no object has no members.
#[derive(Default)]
pub(in crate::wire) struct Params<'t, 'i> {
    whole: Option<Value<'t, 'i>>,
    /// By their names as they stand.
    members: SmallVec<[(&'i [u8], Value<'t, 'i>); MEMBERS]>,
}

impl<'t, 'i> Params<'t, 'i> {
    /// `None`: the object is absent.
    pub fn of(whole: Option<Value<'t, 'i>>) -> Self {
        let mut params = Self { whole, members: SmallVec::new() };
        let _ = whole.and_then(|value| value.members(|key, value| params.add(key, value)));
        params
    }

    /// The members of `whole` are those that were added.
    pub fn complete(&mut self, whole: Value<'t, 'i>) {
        self.whole = Some(whole).filter(|value| !value.is_null());
    }

    pub fn add(&mut self, key: &'i [u8], value: Value<'t, 'i>) {
        self.members.push((key, value));
    }

    pub fn find(&self, name: &str) -> Option<Value<'t, 'i>> {
        let found = self.members.iter().rfind(|(key, _)| *key == name.as_bytes());
        found.map(|(_, value)| *value).filter(|value| !value.is_null())
    }

    pub fn is_object_or_absent(&self) -> bool {
        self.whole.is_none_or(|value| value.is_object())
    }

    pub fn text(&self, name: &str, detail: &'static str) -> Result<Option<&'i str>, Refused> {
        self.find(name).map(|value| value.text().ok_or(Refused::invalid(detail))).transpose()
    }

    pub fn integer(&self, name: &str, detail: &'static str) -> Result<Option<i64>, Refused> {
        self.find(name).map(|value| value.integer().ok_or(Refused::invalid(detail))).transpose()
    }

    /// Those members of the object `name` that are asked for; an absent object has none.
    pub fn inner<const N: usize>(
        &self,
        name: &str,
        asked: [&str; N],
        detail: &'static str,
    ) -> Result<[Option<Value<'t, 'i>>; N], Refused> {
        let mut found = [None; N];
        if let Some(object) = self.find(name) {
            let members = object.members(|key, value| {
                if let Some(at) = asked.iter().position(|asked| asked.as_bytes() == key) {
                    found[at] = Some(value).filter(|value| !value.is_null());
                }
            });
            members.ok_or(Refused::invalid(detail))?;
        }
        Ok(found)
    }

    /// An absent array is empty.
    pub fn texts(&self, name: &str, count_max: usize, detail: &'static str) -> Result<Vec<&'i str>, Refused> {
        let Some(value) = self.find(name) else { return Ok(Vec::new()) };
        value.texts(count_max).ok_or(Refused::invalid(detail))
    }

    /// An object of strings; an absent one has none.
    pub fn pairs(&self, name: &str, detail: &'static str) -> Result<Vec<(&'i str, &'i str)>, Refused> {
        let Some(value) = self.find(name) else { return Ok(Vec::new()) };
        let (mut pairs, mut are_texts) = (Vec::new(), true);
        let found = value.members(|key, value| match (str::from_utf8(key), value.text()) {
            (Ok(key), Some(text)) => pairs.push((key, text)),
            _ => are_texts = false,
        });
        found.filter(|()| are_texts).map(|()| pairs).ok_or(Refused::invalid(detail))
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
