//! The JSON-RPC protocol's `payload` and a message's content: two forms of the same bytes (PROTOCOL 3.8).

use crate::model::MessageContent;
use crate::wire::base::base64::{BASE64, BASE64_OF_URLS};
use crate::wire::base::scratch::Scratch;
use crate::wire::json::value::integer_of;
use crate::wire::json::{scan, survey};
use crate::wire::jsonrpc::plain::PlainPayload;
use base64::Engine;

/// A payload decoded to content.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::wire) struct Payload {
    pub content: MessageContent,
    pub message_type: i32,
}

impl Payload {
    /// A payload that came as a string: base64 is decoded, so that a received payload can be sent on; other text is
    /// taken as it is.
    pub fn of_text(text: &str) -> Self {
        let content = decoded(text).unwrap_or_else(|| text.as_bytes().to_vec());
        let message_type = type_of(&content);
        Self { content: content.into(), message_type }
    }

    /// A payload that came as an object.
    pub fn of_object(payload: &PlainPayload<'_>, scratch: &mut Scratch) -> Self {
        let message_type = known_type(payload.kind());
        Self { content: MessageContent::json_object(scratch.keep(payload.object.as_bytes())), message_type }
    }

    /// A payload that came as a JSON object, whether it keeps the bounds of a request or not.
    pub fn of_any_object(object: &[u8], scratch: &mut Scratch) -> Self {
        Self { message_type: type_of(object), content: scratch.keep(object).into() }
    }
}

/// Base64 of either alphabet, with or without line breaks.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let of_one_line = |text: &[u8]| BASE64.decode(text).or_else(|_| BASE64_OF_URLS.decode(text)).ok();
    if !text.contains(['\r', '\n']) {
        return of_one_line(text.as_bytes());
    }
    let line: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    of_one_line(&line)
}

/// `payload.type`, when it is an integer of at least 1; else 1.
fn known_type(kind: Option<&str>) -> i32 {
    let number = kind.and_then(integer_of).and_then(|number| i32::try_from(number).ok());
    number.filter(|number| *number >= 1).unwrap_or(1)
}

fn type_of(content: &[u8]) -> i32 {
    let Ok(text) = simdutf8::basic::from_utf8(content) else { return known_type(None) };
    match PlainPayload::read(text) {
        Some(payload) => known_type(payload.kind()),
        None => known_type(survey::type_in(content).and_then(|raw| str::from_utf8(raw).ok())),
    }
}

/// Appends content as a payload: a JSON object verbatim, other content as a base64 string.
pub(in crate::wire) fn push_payload(out: &mut Vec<u8>, content: &MessageContent) {
    if content.is_known_json_object() || scan::is_object(content) {
        out.extend_from_slice(content);
        return;
    }
    out.push(b'"');
    let start = out.len();
    out.resize(start + content.len().div_ceil(3) * 4, 0);
    BASE64.encode_slice(&content[..], &mut out[start..]).expect("four characters for three bytes");
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_payload_is_decoded_when_it_is_base64_and_else_stays_as_it_is() {
        for (text, content, message_type) in [
            (r#"{"type":3,"a":1}"#, r#"{"type":3,"a":1}"#, 3),
            ("eyJ0eXBlIjoyfQ==", r#"{"type":2}"#, 2),
            ("eyJ0eXBlIjoyfQ", r#"{"type":2}"#, 2),
            ("aGVsbG8=", "hello", 1),
            ("aGVsbG8", "hello", 1),
            ("aGVs\r\nbG8=\n", "hello", 1),
            ("4pi6Pz8_", "☺???", 1),
            ("4pi6Pz8/", "☺???", 1),
            ("WzFd", "[1]", 1),
            ("aGVsbG9=", "aGVsbG9=", 1),
            ("a b=", "a b=", 1),
            ("-/==", "-/==", 1),
            ("hello, 小明", "hello, 小明", 1),
            ("", "", 1),
            (r#"{"type":0}"#, r#"{"type":0}"#, 1),
            (r#"{"type":"2"}"#, r#"{"type":"2"}"#, 1),
            (r#"{"type":2147483648}"#, r#"{"type":2147483648}"#, 1),
            (r#"{"type":4,"type":5}"#, r#"{"type":4,"type":5}"#, 5),
            (r#"{"type":4"#, r#"{"type":4"#, 1),
            (r#" { "t\u0079pe" : 7, "content" : "\n" } "#, r#" { "t\u0079pe" : 7, "content" : "\n" } "#, 7),
            (r#"{"type":4,"n":1000000000000000000}"#, r#"{"type":4,"n":1000000000000000000}"#, 4),
            (r#"{"type":4,"n":18446744073709551616}"#, r#"{"type":4,"n":18446744073709551616}"#, 4),
            (r#"{"type":4.0,"s":"\ud83d"}"#, r#"{"type":4.0,"s":"\ud83d"}"#, 4),
            (r#"{"type":4.5}"#, r#"{"type":4.5}"#, 1),
        ] {
            let expected = Payload { content: content.into(), message_type };
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
            push_payload(&mut out, &content.into());
            assert_eq!(String::from_utf8(out).expect("UTF-8"), payload);
        }
    }
}
