//! Scans JSON text in place: checks it, bounds it, and returns the spans that must be kept as they were sent.
//!
//! simd-json unescapes strings in place, so a raw span must be known before it parses. The scan is strict (RFC 8259, no
//! lone surrogates, numbers within a double): text that passes can be handed to any client's parser. `survey` handles
//! text that the scan refuses.
//!
//! Invariants: recursion ends at `DEPTH_MAX`, work is linear, nothing is allocated.

use crate::wire::json::plain_bytes::plain_bytes;
use std::ops::Range;

pub(in crate::wire) const DEPTH_MAX: usize = 32;
pub(in crate::wire) const VALUES_MAX: usize = 65_536;
/// The most bytes of a number; with `EXPONENT_MAX` every such number fits a double.
pub(in crate::wire) const NUMBER_BYTES_MAX: usize = 64;
pub(in crate::wire) const EXPONENT_MAX: u32 = 240;
/// An integer of at most this many digits fits 64 bits.
const SURE_DIGITS: usize = 18;

/// The spans of a request's `id` and `params.payload`. Of equal keys the last counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::wire) struct Outline {
    pub is_object: bool,
    /// Whether an integer may exceed 64 bits.
    pub has_wide_integer: bool,
    pub id: Option<Range<usize>>,
    pub payload: Option<Range<usize>>,
}

/// The outline of exactly one JSON value; `None` when `text` is anything else. The caller checks UTF-8.
pub(in crate::wire) fn outline(text: &[u8]) -> Option<Outline> {
    let mut scanner = Scanner::of(text);
    let mut outline = Outline::default();
    scanner.skip_space();
    if scanner.peek() == Some(b'{') {
        outline.is_object = true;
        scanner.object(0, |scanner, key| scanner.top_member(key, &mut outline))?;
    } else {
        scanner.value(0)?;
    }
    scanner.end()?;
    outline.has_wide_integer = scanner.has_wide_integer;
    Some(outline)
}

/// Whether `text` is one JSON object in UTF-8 that can be passed on verbatim.
pub(in crate::wire) fn is_object(text: &[u8]) -> bool {
    let mut scanner = Scanner::of(text);
    scanner.skip_space();
    scanner.peek() == Some(b'{')
        && scanner.value(0).and_then(|()| scanner.end()).is_some()
        && simdutf8::basic::from_utf8(text).is_ok()
}

pub(in crate::wire) struct Scanner<'a> {
    text: &'a [u8],
    /// The text after the scan's position.
    rest: &'a [u8],
    values_left: usize,
    has_escape: bool,
    has_wide_integer: bool,
}

impl<'a> Scanner<'a> {
    pub fn of(text: &'a [u8]) -> Self {
        Self { text, rest: text, values_left: VALUES_MAX, has_escape: false, has_wide_integer: false }
    }

    /// How far the walk has come.
    #[inline]
    pub fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// Whether the scanned text can be used byte for byte: outside `verbatim_object` it has no escape, and no integer
    /// that may exceed 64 bits.
    pub fn is_plain(&self) -> bool {
        !self.has_escape && !self.has_wide_integer
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                Some(())
            }
            _ => None,
        }
    }

    #[inline]
    pub fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    pub fn end(&mut self) -> Option<()> {
        self.skip_space();
        self.rest.is_empty().then_some(())
    }

    fn top_member(&mut self, key: &[u8], outline: &mut Outline) -> Option<()> {
        let start = self.at();
        if spells(key, "params") {
            outline.payload = None;
            if self.peek() == Some(b'{') {
                return self.object(1, |scanner, key| scanner.param(key, outline));
            }
        }
        self.value(1)?;
        if spells(key, "id") {
            outline.id = Some(start..self.at());
        }
        Some(())
    }

    fn param(&mut self, key: &[u8], outline: &mut Outline) -> Option<()> {
        let start = self.at();
        self.value(2)?;
        if spells(key, "payload") {
            outline.payload = Some(start..self.at());
        }
        Some(())
    }

    /// Scans one value, `depth` levels below the outermost.
    pub fn value(&mut self, depth: usize) -> Option<()> {
        self.values_left = self.values_left.checked_sub(1)?;
        match self.peek()? {
            b'{' => self.object(depth, |scanner, _| scanner.value(depth + 1)),
            b'[' => self.array(depth, |scanner| scanner.value(depth + 1)),
            b'"' => self.string().map(|_| ()),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number(),
        }
    }

    /// Scans an object that is only passed on: escapes and wide integers in it do not matter.
    #[inline]
    pub fn verbatim_object(
        &mut self,
        depth: usize,
        member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>,
    ) -> Option<()> {
        self.values_left = self.values_left.checked_sub(1)?;
        let before = (self.has_escape, self.has_wide_integer);
        self.object(depth, member)?;
        (self.has_escape, self.has_wide_integer) = before;
        Some(())
    }

    /// Scans an object; `member` scans each value and gets its key as it is written. Inlined, because each use is in one
    /// place: whether the compiler does so by itself depends on unrelated code.
    #[inline]
    pub fn object(&mut self, depth: usize, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.open(depth)?;
        if self.expect(b'}').is_some() {
            return Some(());
        }
        loop {
            let key = self.string()?;
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            member(self, key)?;
            if self.is_last(b'}')? {
                return Some(());
            }
        }
    }

    /// Scans an array; `element` scans each value.
    pub fn array(&mut self, depth: usize, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.open(depth)?;
        if self.expect(b']').is_some() {
            return Some(());
        }
        loop {
            element(self)?;
            if self.is_last(b']')? {
                return Some(());
            }
        }
    }

    /// Consumes the opening bracket.
    fn open(&mut self, depth: usize) -> Option<()> {
        self.rest = self.rest.get(1..)?;
        self.skip_space();
        (depth < DEPTH_MAX).then_some(())
    }

    /// Consumes the comma or the closing bracket after an element.
    fn is_last(&mut self, closing: u8) -> Option<bool> {
        self.skip_space();
        if self.expect(closing).is_some() {
            return Some(true);
        }
        self.expect(b',')?;
        self.skip_space();
        Some(false)
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    /// Scans a string and returns the bytes between the quotes.
    #[inline]
    fn string(&mut self) -> Option<&'a [u8]> {
        let [b'"', inside @ ..] = self.rest else { return None };
        let (plain, behind) = inside.split_at_checked(plain_bytes(inside))?;
        if let [b'"', rest @ ..] = behind {
            self.rest = rest;
            return Some(plain);
        }
        self.rest = behind;
        self.escaped()?;
        let between = inside.get(..inside.len() - self.rest.len());
        self.rest = self.rest.get(1..)?;
        between
    }

    /// Scans from the first escape to the closing quote.
    #[cold]
    fn escaped(&mut self) -> Option<()> {
        loop {
            match self.peek()? {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                _ => return None,
            }
            self.rest = self.rest.get(plain_bytes(self.rest)..)?;
        }
    }

    fn escape(&mut self) -> Option<()> {
        self.has_escape = true;
        let [_backslash, escaped, rest @ ..] = self.rest else { return None };
        self.rest = rest;
        match escaped {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.unit()? {
                0xd800..0xdc00 => {
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    matches!(self.unit()?, 0xdc00..0xe000).then_some(())
                }
                0xdc00..0xe000 => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    /// Scans the four digits of a \u escape.
    fn unit(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        hexadecimal(digits)
    }

    fn number(&mut self) -> Option<()> {
        let bytes_before = self.rest.len();
        let _ = self.expect(b'-');
        if self.expect(b'0').is_none() {
            let integer = self.digits()?;
            self.has_wide_integer |= integer.len() > SURE_DIGITS;
        }
        if self.expect(b'.').is_some() {
            self.digits()?;
        }
        if self.expect(b'e').or_else(|| self.expect(b'E')).is_some() {
            let _ = self.expect(b'+').or_else(|| self.expect(b'-'));
            if magnitude(self.digits()?) > EXPONENT_MAX {
                return None;
            }
        }
        (bytes_before - self.rest.len() <= NUMBER_BYTES_MAX).then_some(())
    }

    /// Scans at least one digit.
    fn digits(&mut self) -> Option<&'a [u8]> {
        let from = self.rest;
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        let digits = &from[..from.len() - self.rest.len()];
        (!digits.is_empty()).then_some(digits)
    }
}

/// The value of decimal digits, saturating.
pub(in crate::wire) fn magnitude(digits: &[u8]) -> u32 {
    digits.iter().fold(0_u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
}

pub(in crate::wire) fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
}

/// Whether a key, with its escapes unresolved, spells an ASCII name.
pub(in crate::wire) fn spells(raw: &[u8], name: &str) -> bool {
    // An escape is longer than the character that it encodes.
    if raw.len() <= name.len() {
        return raw == name.as_bytes();
    }
    let mut rest = raw;
    for expected in name.bytes() {
        let (found, used) = match rest {
            [b'\\', b'u', ..] => (rest.get(2..6).and_then(hexadecimal), 6),
            [byte, ..] => (Some(u32::from(*byte)), 1),
            [] => (None, 0),
        };
        if found != Some(u32::from(expected)) {
            return false;
        }
        rest = &rest[used..];
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw<'a>(text: &'a str, span: &Option<Range<usize>>) -> Option<&'a str> {
        span.clone().map(|span| &text[span])
    }

    #[test]
    fn id_and_payload_are_found_as_they_were_sent() {
        let text = r#" {"method":"send" , "id" : 1.50 ,"params":{"a":{"payload":1},"payload" : {"x":"\u0041\n"} }} "#;
        let outline = outline(text.as_bytes()).expect("JSON");
        assert_eq!(raw(text, &outline.id), Some("1.50"));
        assert_eq!(raw(text, &outline.payload), Some(r#"{"x":"\u0041\n"}"#));
    }

    #[test]
    fn keys_are_known_by_what_they_spell_and_the_last_one_counts() {
        let text = r#"{"id":1,"\u0069\u0064":2,"params":{"payload":1,"pa\u0079load":{}}}"#;
        let found = outline(text.as_bytes()).expect("JSON");
        assert_eq!((raw(text, &found.id), raw(text, &found.payload)), (Some("2"), Some("{}")));
        let text = r#"{"params":{"payload":1},"params":{},"payload":{},"idx":1,"i\"d":2,"i":3}"#;
        assert_eq!(outline(text.as_bytes()), Some(Outline { is_object: true, ..Outline::default() }));
    }

    #[test]
    fn what_is_valid_is_what_serde_json_says_but_for_the_bounds() {
        for text in [
            "{}",
            "[]",
            "0",
            "-0.5e+10",
            "\"\"",
            "null",
            "true",
            "false",
            " [1 , 2] ",
            r#"{"a":[{},[]],"b":"\ud83d\ude00"}"#,
            "\"\u{7f}é小😀 longer than eight bytes\"",
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "-",
            "nul",
            "tru e",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"a\nb\"",
            "\"12345678\u{1f}\"",
            "\"open",
            "[1 2]",
            "{\"a\" 1}",
            "1 2",
            "[",
            "\"\\",
            "\"\\u12",
            "{\"a\":}",
            "[}",
            "\u{feff}{}",
        ] {
            let judged = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(outline(text.as_bytes()).is_some(), judged, "{text:?}");
        }
    }

    #[test]
    fn depth_values_and_numbers_are_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(outline(nested(DEPTH_MAX).as_bytes()).is_some());
        assert!(outline(nested(DEPTH_MAX + 1).as_bytes()).is_none());
        assert!(outline("[".repeat(100_000).as_bytes()).is_none());
        let many = |count: usize| format!("[{}1]", "1,".repeat(count - 1));
        assert!(outline(many(VALUES_MAX - 1).as_bytes()).is_some());
        assert!(outline(many(VALUES_MAX).as_bytes()).is_none());
        for huge in ["1e241", "1e99999999999999999999", &"9".repeat(65)] {
            assert!(outline(huge.as_bytes()).is_none(), "{huge}");
        }
        let largest = format!("{}e240", "9".repeat(60));
        assert!(outline(largest.as_bytes()).is_some());
        assert!(largest.parse::<f64>().expect("a number").is_finite());
    }

    #[test]
    fn only_a_whole_object_in_utf_8_is_an_object() {
        assert!(is_object(b" {\"a\":1}\n"));
        for other in [b"[]".as_slice(), b"{} x", b"{\"a\":\"\xff\"}", b"", b"hello", b"{\"a\":1"] {
            assert!(!is_object(other), "{other:?}");
        }
    }
}
