//! One value of a request: as it was sent, where that says all, or as simd-json parsed it.
//!
//! Invariants: what is plain is one JSON value that `json_scan` has walked, without an escape in it and with integers of
//! 18 digits at the most; both kinds give the same answers.

use super::json_scan::Scanner;
use simd_json::prelude::*;
use simd_json::tape;

#[derive(Clone, Copy)]
pub(super) enum Value<'t, 'i> {
    Plain(&'i str),
    Parsed(tape::Value<'t, 'i>),
}

impl<'t, 'i> Value<'t, 'i> {
    pub fn is_null(self) -> bool {
        match self {
            Self::Plain(raw) => raw == "null",
            Self::Parsed(value) => value.is_null(),
        }
    }

    pub fn is_object(self) -> bool {
        match self {
            Self::Plain(raw) => raw.starts_with('{'),
            Self::Parsed(value) => value.is_object(),
        }
    }

    pub fn text(self) -> Option<&'i str> {
        match self {
            Self::Plain(raw) if raw.starts_with('"') => raw.get(1..raw.len() - 1),
            Self::Plain(_) => None,
            Self::Parsed(value) => value.into_string(),
        }
    }

    /// JSON's integers are Rust's, and no other value of JSON reads like one.
    pub fn integer(self) -> Option<i64> {
        match self {
            Self::Plain(raw) => raw.parse().ok(),
            Self::Parsed(value) => value.as_i64(),
        }
    }

    pub fn flag(self) -> Option<bool> {
        match self {
            Self::Plain(raw) => raw.parse().ok(),
            Self::Parsed(value) => value.as_bool(),
        }
    }

    /// Shows `see` each member of an object, in the order they came in; `None` when this is none.
    pub fn members(self, mut see: impl FnMut(&'i str, Self)) -> Option<()> {
        match self {
            Self::Plain(raw) if self.is_object() => Scanner::of(raw.as_bytes()).object(0, |scanner, key| {
                let start = scanner.at();
                scanner.value(1)?;
                see(&raw[key], Self::Plain(&raw[start..scanner.at()]));
                Some(())
            }),
            Self::Plain(_) => None,
            Self::Parsed(value) => {
                let object: tape::Object<'t, 'i> = value.as_object()?;
                object.iter().for_each(|(key, value)| see(key, Self::Parsed(value)));
                Some(())
            }
        }
    }

    /// The elements of an array of strings, if there are at most so many.
    pub fn texts(self, count_max: usize) -> Option<Vec<&'i str>> {
        let mut texts = Vec::new();
        let mut see = |value: Self| {
            texts.push(value.text()?);
            (texts.len() <= count_max).then_some(())
        };
        match self {
            Self::Plain(raw) if raw.starts_with('[') => Scanner::of(raw.as_bytes()).array(0, |scanner| {
                let start = scanner.at();
                scanner.value(1)?;
                see(Self::Plain(&raw[start..scanner.at()]))
            })?,
            Self::Plain(_) => return None,
            Self::Parsed(value) => {
                let array: tape::Array<'t, 'i> = value.as_array()?;
                array.iter().try_for_each(|value| see(Self::Parsed(value)))?;
            }
        }
        Some(texts)
    }
}
