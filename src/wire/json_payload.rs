//! Seed 2's `payload` and a message's content: the same bytes, said in two ways (PROTOCOL 3.8).

use super::json_plain::PlainPayload;
use super::json_scan;
use super::scratch::Scratch;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use simd_json::prelude::*;
use simd_json::tape::{Object, Value};

/// Standard base64; padding may be missing when it comes in.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A payload as content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub content: Bytes,
    pub message_type: i32,
}

impl Payload {
    /// A payload that came as a string: base64 of a JSON object is decoded, all else is taken as it is.
    pub fn of_text(text: &str) -> Self {
        let decoded = BASE64.decode(text).ok().filter(|bytes| json_scan::is_object(bytes));
        let content = decoded.unwrap_or_else(|| text.as_bytes().to_vec());
        let message_type = type_of(&content);
        Self { content: content.into(), message_type }
    }

    /// A payload that came as an object.
    pub fn of_object(payload: &PlainPayload<'_>, scratch: &mut Scratch) -> Self {
        let message_type = known_type(payload.number());
        Self { content: scratch.keep(payload.object.as_bytes()), message_type }
    }
}

/// `payload.type`, when it is an integer of at least 1; else 1.
pub(super) fn message_type(payload: Value<'_, '_>) -> i32 {
    let object: Option<Object<'_, '_>> = payload.as_object();
    let found = object.and_then(|object| object.iter().filter(|(key, _)| *key == "type").last());
    known_type(found.and_then(|(_, value)| value.as_i32()))
}

fn known_type(number: Option<i32>) -> i32 {
    number.filter(|number| *number >= 1).unwrap_or(1)
}

fn type_of(content: &[u8]) -> i32 {
    if let Some(payload) = PlainPayload::read(content) {
        return known_type(payload.number());
    }
    if !json_scan::is_object(content) {
        return 1;
    }
    simd_json::to_tape(&mut content.to_vec()).map_or(1, |tape| message_type(tape.as_value()))
}

/// Appends content as a payload: a JSON object verbatim, all else as a base64 string.
pub(super) fn push_payload(out: &mut Vec<u8>, content: &[u8]) {
    if json_scan::is_object(content) {
        out.extend_from_slice(content);
        return;
    }
    out.push(b'"');
    let start = out.len();
    out.resize(start + content.len().div_ceil(3) * 4, 0);
    BASE64.encode_slice(content, &mut out[start..]).expect("four characters for three bytes");
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_payload_is_decoded_only_when_it_hides_an_object() {
        for (text, content, message_type) in [
            (r#"{"type":3,"a":1}"#, r#"{"type":3,"a":1}"#, 3),
            ("eyJ0eXBlIjoyfQ==", r#"{"type":2}"#, 2),
            ("eyJ0eXBlIjoyfQ", r#"{"type":2}"#, 2),
            ("aGVsbG8=", "aGVsbG8=", 1),
            ("MTIz", "MTIz", 1),
            ("hello, 小明", "hello, 小明", 1),
            ("", "", 1),
            (r#"{"type":0}"#, r#"{"type":0}"#, 1),
            (r#"{"type":"2"}"#, r#"{"type":"2"}"#, 1),
            (r#"{"type":2147483648}"#, r#"{"type":2147483648}"#, 1),
            (r#"{"type":4,"type":5}"#, r#"{"type":4,"type":5}"#, 5),
            (r#"{"type":4"#, r#"{"type":4"#, 1),
            (r#" { "t\u0079pe" : 7, "content" : "\n" } "#, r#" { "t\u0079pe" : 7, "content" : "\n" } "#, 7),
            (r#"{"type":4,"n":1000000000000000000}"#, r#"{"type":4,"n":1000000000000000000}"#, 4),
            (r#"{"type":4,"n":18446744073709551616}"#, r#"{"type":4,"n":18446744073709551616}"#, 1),
        ] {
            let expected = Payload { content: Bytes::copy_from_slice(content.as_bytes()), message_type };
            assert_eq!(Payload::of_text(text), expected, "{text}");
        }
    }

    #[test]
    fn an_object_goes_out_verbatim_and_all_else_as_base64() {
        for (content, payload) in [
            (b"{\"a\" : \"\\u0041\"}".as_slice(), r#"{"a" : "\u0041"}"#),
            (b"hello", r#""aGVsbG8=""#),
            (b"", r#""""#),
            (b"\xff\xfe", r#""//4=""#),
            (b"{\"a\":1}}", r#""eyJhIjoxfX0=""#),
            (b"[1]", r#""WzFd""#),
        ] {
            let mut out = Vec::new();
            push_payload(&mut out, content);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), payload);
        }
    }
}
