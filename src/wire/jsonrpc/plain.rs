//! Reads a request during the scan that checks it, without a parser: its members are spans of the text.
//!
//! Most requests are plain: outside an object as payload, which nobody interprets, no string has an escape and no
//! integer more than 18 digits. Invariant: the spans in such a text are the values that simd-json would parse; every
//! other text, and text that is not a JSON request, is left to the parser.

use crate::wire::json::scan::{Scanner, spells};
use crate::wire::json::value::Value;
use crate::wire::jsonrpc::params::Params;

/// The members of a plain request. Of equal keys the last counts.
#[derive(Default)]
pub(in crate::wire) struct Plain<'i> {
    pub id: Option<&'i str>,
    pub jsonrpc: Option<&'i str>,
    pub method: Option<&'i str>,
    pub params: Params<'i, 'i>,
    /// `params.payload`, when it is an object.
    pub payload: Option<PlainPayload<'i>>,
}

pub(in crate::wire) struct PlainPayload<'i> {
    pub object: &'i str,
    /// The payload's `type`.
    kind: Option<&'i str>,
}

impl<'i> PlainPayload<'i> {
    /// The object in `text`.
    pub fn read(text: &'i str) -> Option<Self> {
        let mut scanner = at_object(text)?;
        let payload = Self::walk(text, &mut scanner, 0)?;
        scanner.end()?;
        Some(payload)
    }

    /// Scans the object at `scanner`.
    #[inline]
    fn walk(text: &'i str, scanner: &mut Scanner<'i>, depth: usize) -> Option<Self> {
        let (start, mut kind) = (scanner.at(), None);
        scanner.verbatim_object(depth, |scanner, key| {
            let start = scanner.at();
            scanner.value(depth + 1)?;
            if spells(key, "type") {
                kind = Some(&text[start..scanner.at()]);
            }
            Some(())
        })?;
        Some(Self { object: &text[start..scanner.at()], kind })
    }

    /// Its `type`.
    pub fn kind(&self) -> Option<&'i str> {
        self.kind
    }
}

impl<'i> Plain<'i> {
    /// Reads `text`; `None` unless it is a plain request. After `None` the members are meaningless.
    pub fn read(&mut self, text: &'i str) -> Option<()> {
        let mut scanner = at_object(text)?;
        scanner.object(0, |scanner, key| self.top_member(text, scanner, key))?;
        scanner.end()?;
        scanner.is_plain().then_some(())
    }

    #[inline]
    fn top_member(&mut self, text: &'i str, scanner: &mut Scanner<'i>, key: &'i [u8]) -> Option<()> {
        let start = scanner.at();
        if key == b"params" {
            self.expect_first_payload()?;
            self.params = Params::default();
            if scanner.peek() == Some(b'{') {
                scanner.object(1, |scanner, key| self.param(text, scanner, key))?;
            } else {
                scanner.value(1)?;
            }
            self.params.complete(Value::Plain(&text[start..scanner.at()]));
            return Some(());
        }
        scanner.value(1)?;
        let value = Some(&text[start..scanner.at()]);
        match key {
            b"id" => self.id = value,
            b"jsonrpc" => self.jsonrpc = value,
            b"method" => self.method = value,
            _ => {}
        }
        Some(())
    }

    /// Nobody has looked into the object of a payload yet: one that another payload replaces is bound as the rest of
    /// the request is, so it is left to the parser.
    fn expect_first_payload(&self) -> Option<()> {
        self.payload.is_none().then_some(())
    }

    #[inline]
    fn param(&mut self, text: &'i str, scanner: &mut Scanner<'i>, key: &'i [u8]) -> Option<()> {
        if !scanner.is_plain() {
            return None;
        }
        let start = scanner.at();
        if key == b"payload" {
            self.expect_first_payload()?;
            if scanner.peek() == Some(b'{') {
                self.payload = Some(PlainPayload::walk(text, scanner, 2)?);
                return Some(());
            }
        }
        scanner.value(2)?;
        self.params.add(key, Value::Plain(&text[start..scanner.at()]));
        Some(())
    }
}

/// A scanner at the start of `text`, if that begins with an object.
fn at_object(text: &str) -> Option<Scanner<'_>> {
    let mut scanner = Scanner::of(text.as_bytes());
    scanner.skip_space();
    (scanner.peek() == Some(b'{')).then_some(scanner)
}
