//! Examines JSON that `scan` refuses, by the grammar alone (RFC 8259): the spans of a request's `id` and
//! `params.payload`, and whether the rest keeps the bounds.
//!
//! Off the ordinary path. Invariants: no recursion, work is linear; in a payload object only the grammar counts, since
//! content is opaque to the server. The caller checks UTF-8.

use crate::model::{Refusal, Refused};
use crate::wire::json::plain_bytes::plain_bytes;
use crate::wire::json::scan::{
    self, DEPTH_MAX, EXPONENT_MAX, NUMBER_BYTES_MAX, Outline, VALUES_MAX, hexadecimal, magnitude, spells,
};
use std::ops::Range;

/// A property of JSON that a request must not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Excess {
    Nesting,
    Values,
    Number,
    HalfPair,
}

/// One JSON value without anything after it. Of equal keys the last counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::wire) struct Survey {
    pub is_object: bool,
    pub id: Option<Range<usize>>,
    /// The span of `params.payload`, when it is an object.
    pub payload: Option<Range<usize>>,
    /// The first excess outside the payload and a numeric id.
    pub excess: Option<Excess>,
}

impl Excess {
    pub fn refused(self) -> Refused {
        match self {
            Self::Nesting => Refused::because(Refusal::MessageTooLarge, "more than 32 levels of nesting"),
            Self::Values => Refused::because(Refusal::MessageTooLarge, "more than 65,536 values"),
            Self::Number => Refused::invalid("a number is out of range"),
            Self::HalfPair => Refused::invalid("a string holds half of a surrogate pair"),
        }
    }
}

/// The survey of a text; `None`: it is not JSON.
pub(in crate::wire) fn survey(text: &[u8]) -> Option<Survey> {
    let mut walk = Walk::of(text);
    let mut survey = Survey::default();
    let (mut id, mut payload) = (Aside::default(), Aside::default());
    if walk.peek() == Some(b'{') {
        survey.is_object = true;
        walk.members(|walk, key| match key {
            key if spells(key, "params") && walk.peek() == Some(b'{') => {
                walk.give_back(&mut payload);
                walk.members(|walk, key| match key {
                    key if spells(key, "payload") => {
                        walk.give_back(&mut payload);
                        if walk.peek() == Some(b'{') { walk.aside(2, &mut payload) } else { walk.value(2) }
                    }
                    _ => walk.value(2),
                })
            }
            key if spells(key, "params") => {
                walk.give_back(&mut payload);
                walk.value(1)
            }
            key if spells(key, "id") => {
                walk.give_back(&mut id);
                walk.aside(1, &mut id)
            }
            _ => walk.value(1),
        })?;
    } else {
        walk.value(0)?;
    }
    walk.space();
    if walk.at != text.len() {
        return None;
    }
    let is_numeric = id.span.as_ref().is_some_and(|span| matches!(text[span.start], b'-' | b'0'..=b'9'));
    survey.id = id.span.clone();
    if !is_numeric {
        walk.give_back(&mut id);
    }
    survey.payload = payload.span;
    survey.excess = walk.excess.or((walk.values > VALUES_MAX).then_some(Excess::Values));
    Some(survey)
}

/// As `survey`, by the faster `scan` where that suffices.
pub(in crate::wire) fn of_request(text: &[u8]) -> Option<Survey> {
    match scan::outline(text) {
        Some(Outline { is_object, has_wide_integer: false, id, payload }) => {
            let payload = payload.filter(|span| text[span.start] == b'{');
            Some(Survey { is_object, id, payload, excess: None })
        }
        _ => survey(text),
    }
}

/// The last member `type` of an object.
pub(in crate::wire) fn type_in(text: &[u8]) -> Option<&[u8]> {
    let mut walk = Walk::of(text);
    let mut found = None;
    walk.members(|walk, key| {
        let start = walk.at;
        walk.value(1)?;
        if spells(key, "type") {
            found = Some(&text[start..walk.at]);
        }
        Some(())
    })?;
    walk.space();
    found.filter(|_| walk.at == text.len())
}

/// A value whose excess and count of values are not in those of the walk.
#[derive(Default)]
struct Aside {
    span: Option<Range<usize>>,
    excess: Option<Excess>,
    values: usize,
}

struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    excess: Option<Excess>,
    values: usize,
}

impl<'a> Walk<'a> {
    fn of(text: &'a [u8]) -> Self {
        let mut walk = Self { text, at: 0, excess: None, values: 0 };
        walk.space();
        walk
    }

    fn note(&mut self, excess: Excess) {
        self.excess.get_or_insert(excess);
    }

    fn aside(&mut self, depth: usize, aside: &mut Aside) -> Option<()> {
        let (start, excess, values) = (self.at, self.excess.take(), self.values);
        self.value(depth)?;
        *aside = Aside { span: Some(start..self.at), excess: self.excess, values: self.values - values };
        (self.excess, self.values) = (excess, values);
        Some(())
    }

    /// Adds the excess and the count of the value to those of the walk.
    fn give_back(&mut self, aside: &mut Aside) {
        let Aside { span: _, excess, values } = std::mem::take(aside);
        self.excess = self.excess.or(excess);
        self.values += values;
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// An object; `member` reads each value and gets its key with escapes unresolved.
    fn members(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        self.values += 1;
        self.space();
        if self.expect(b'}').is_some() {
            return Some(());
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            self.space();
            if self.expect(b'}').is_some() {
                return Some(());
            }
            self.expect(b',')?;
            self.space();
        }
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let start = self.at + 1;
        self.string()?;
        let key = &self.text[start..self.at - 1];
        self.space();
        self.expect(b':')?;
        self.space();
        Some(key)
    }

    /// One value, `depth` levels below the outermost.
    fn value(&mut self, depth: usize) -> Option<()> {
        let mut closings = Vec::new();
        loop {
            self.values += 1;
            match self.peek()? {
                opening @ (b'{' | b'[') => {
                    let closing = if opening == b'{' { b'}' } else { b']' };
                    if depth + closings.len() >= DEPTH_MAX {
                        self.note(Excess::Nesting);
                    }
                    self.at += 1;
                    self.space();
                    if self.expect(closing).is_none() {
                        closings.push(closing);
                        if closing == b'}' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => self.string()?,
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => self.number()?,
            }
            if self.close(&mut closings)? {
                return Some(());
            }
        }
    }

    /// Passes over the closing brackets or the comma behind a value. Returns whether all brackets are closed.
    fn close(&mut self, closings: &mut Vec<u8>) -> Option<bool> {
        while let Some(closing) = closings.last().copied() {
            self.space();
            if self.expect(closing).is_some() {
                closings.pop();
                continue;
            }
            self.expect(b',')?;
            self.space();
            if closing == b'}' {
                self.key()?;
            }
            return Some(false);
        }
        Some(true)
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            self.at += plain_bytes(&self.text[self.at..]);
            match self.peek()? {
                b'"' => break self.expect(b'"'),
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        self.at += 1;
        let escaped = self.peek()?;
        self.at += 1;
        match escaped {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
            b'u' => match self.unit()? {
                0xd800..0xdc00 if self.low_half_follows() => self.at += 6,
                0xd800..0xe000 => self.note(Excess::HalfPair),
                _ => {}
            },
            _ => return None,
        }
        Some(())
    }

    fn unit(&mut self) -> Option<u32> {
        let unit = hexadecimal(self.text.get(self.at..self.at + 4)?)?;
        self.at += 4;
        Some(unit)
    }

    fn low_half_follows(&self) -> bool {
        match self.text.get(self.at..self.at + 6) {
            Some([b'\\', b'u', digits @ ..]) => matches!(hexadecimal(digits), Some(0xdc00..0xe000)),
            _ => false,
        }
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        let _ = self.expect(b'-');
        if self.expect(b'0').is_none() {
            self.digits()?;
        }
        let integer_end = self.at;
        if self.expect(b'.').is_some() {
            self.digits()?;
        }
        let mut is_out_of_range = false;
        if self.expect(b'e').or_else(|| self.expect(b'E')).is_some() {
            let _ = self.expect(b'+').or_else(|| self.expect(b'-'));
            is_out_of_range = magnitude(self.digits()?) > EXPONENT_MAX;
        }
        let number = &self.text[start..self.at];
        is_out_of_range |= number.len() > NUMBER_BYTES_MAX;
        is_out_of_range |= self.at == integer_end && !fits_64_bits(number);
        if is_out_of_range {
            self.note(Excess::Number);
        }
        Some(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<&'a [u8]> {
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let found = &self.text[self.at..self.at + digits];
        self.at += digits;
        (digits > 0).then_some(found)
    }
}

fn fits_64_bits(integer: &[u8]) -> bool {
    str::from_utf8(integer).is_ok_and(|text| text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excess_of(text: &str) -> Option<Excess> {
        survey(text.as_bytes()).expect("JSON").excess
    }

    #[test]
    fn what_is_json_is_what_the_grammar_says_without_any_bounds() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        for text in [&deep, r#""\ud800""#, r#""\udc00\ud800A""#, "1e999", &"9".repeat(99), "{}", " [ ] ", "-0.5e+10"] {
            assert!(survey(text.as_bytes()).is_some(), "{text:.60}");
        }
        for text in [
            "",
            "{",
            "[",
            "[1,]",
            r#"{"a":1,}"#,
            "{a:1}",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "-",
            "nul",
            r#""\x""#,
            "1 2",
            r#""\u12g4""#,
            "\"a\nb\"",
            "\"open",
            "[1 2]",
            r#"{"a" 1}"#,
            "[}",
            r#"{"a":]"#,
            "\u{feff}{}",
            r#"{"a":1]"#,
            r#"[{"a":1],2]"#,
            r#"{"params":{"payload":{"a":}}}"#,
            r#"{"params":{"payload":{}}"#,
        ] {
            assert_eq!(survey(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn each_excess_is_told_by_its_name_unless_it_is_inside_the_payload() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for (value, excess) in [
            (nested(31), None),
            (nested(32), Some(Excess::Nesting)),
            (format!("[{}1]", "1,".repeat(65_536)), Some(Excess::Values)),
            ("18446744073709551615".into(), None),
            ("18446744073709551616".into(), Some(Excess::Number)),
            ("-9223372036854775809".into(), Some(Excess::Number)),
            ("1e241".into(), Some(Excess::Number)),
            (r#""\ud83d""#.into(), Some(Excess::HalfPair)),
            (r#""\ud83e\udd80""#.into(), None),
        ] {
            assert_eq!(excess_of(&format!(r#"{{"a":{value}}}"#)), excess, "{value:.60}");
            let payload = format!(r#"{{"params":{{"payload":{{"a":{value}}}}}}}"#);
            assert_eq!(excess_of(&payload), None, "{value:.60}");
            let twice = format!(r#"{{"params":{{"payload":{{"a":{value}}},"payload":{{}}}}}}"#);
            assert_eq!(excess_of(&twice).is_some(), excess.is_some() || value.len() == 62, "{value:.60}");
        }
    }

    #[test]
    fn id_and_payload_are_the_last_of_their_names() {
        let text = r#"{"id":1,"\u0069d":{"x":2},"params":{"payload":{"n":1},"pa\u0079load":{"n":2}}}"#;
        let found = survey(text.as_bytes()).expect("JSON");
        assert_eq!(found.id.map(|span| &text[span]), Some(r#"{"x":2}"#));
        assert_eq!(found.payload.map(|span| &text[span]), Some(r#"{"n":2}"#));
        let gone = r#"{"params":{"payload":{}},"params":7,"id":99999999999999999999}"#;
        let found = survey(gone.as_bytes()).expect("JSON");
        assert_eq!((found.payload, found.excess), (None, None));
    }

    #[test]
    fn a_type_is_found_whatever_stands_beside_it() {
        let found = |text: &'static str| type_in(text.as_bytes()).and_then(|raw| str::from_utf8(raw).ok());
        assert_eq!(found(r#"{"type":4,"n":18446744073709551616,"type":5}"#), Some("5"));
        assert_eq!(found(r#" {"t\u0079pe" : 7 } "#), Some("7"));
        for other in ["[]", r#"{"type":4"#, r#"{"type":4} x"#, "{}", ""] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
