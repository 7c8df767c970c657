//! One value of a request: as it was sent, where its text is its value, or as simd-json parsed it.
//!
//! Invariants: a plain value is one JSON value that `scan` has walked, without an escape and with integers of at most
//! 18 digits; both kinds return the same results.

use crate::wire::json::scan::Scanner;
use simd_json::prelude::*;
use simd_json::tape;

#[derive(Clone, Copy)]
pub(in crate::wire) enum Value<'t, 'i> {
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

    /// An integer, or a number with a point or an exponent and an integral value.
    pub fn integer(self) -> Option<i64> {
        match self {
            Self::Plain(raw) => integer_of(raw),
            Self::Parsed(value) if value.is_f64() => value.as_f64().and_then(whole),
            Self::Parsed(value) => value.as_i64(),
        }
    }

    pub fn flag(self) -> Option<bool> {
        match self {
            Self::Plain(raw) => raw.parse().ok(),
            Self::Parsed(value) => value.as_bool(),
        }
    }

    /// Passes each member of an object to `see`, in order; `None` when the value is not an object.
    pub fn members(self, mut see: impl FnMut(&'i [u8], Self)) -> Option<()> {
        match self {
            Self::Plain(raw) if self.is_object() => Scanner::of(raw.as_bytes()).object(0, |scanner, key| {
                let start = scanner.at();
                scanner.value(1)?;
                see(key, Self::Plain(&raw[start..scanner.at()]));
                Some(())
            }),
            Self::Plain(_) => None,
            Self::Parsed(value) => {
                let object: tape::Object<'t, 'i> = value.as_object()?;
                object.iter().for_each(|(key, value)| see(key.as_bytes(), Self::Parsed(value)));
                Some(())
            }
        }
    }

    /// The elements of an array of strings, if there are at most `count_max`.
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

/// The integer that a JSON text spells. JSON integers are Rust integers, and no other JSON value parses as one.
pub(in crate::wire) fn integer_of(raw: &str) -> Option<i64> {
    raw.parse().ok().or_else(|| if raw.contains(['.', 'e', 'E']) { raw.parse().ok().and_then(whole) } else { None })
}

/// From here on two integers may be the same double.
const WHOLE_END: f64 = (1_u64 << 53) as f64;

fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < WHOLE_END).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::integer_of;

    #[test]
    fn an_integer_is_one_however_it_is_written() {
        for (raw, number) in
            [("1", 1), ("1.0", 1), ("-2.00", -2), ("17e2", 1_700), ("1.5E1", 15), ("-0.0", 0), ("100e-2", 1)]
        {
            assert_eq!(integer_of(raw), Some(number), "{raw}");
        }
        for raw in ["1.5", "1e-1", "9007199254740993.0", "1e240", "\"1\"", "true", "null", "{}", "[]", "\"1e0\""] {
            assert_eq!(integer_of(raw), None, "{raw}");
        }
    }
}
