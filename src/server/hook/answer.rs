//! What a hook may answer, and the verdict that it means.

use crate::model::{
    Denial, DenialCode, Extra, Fact, HookVerdict, Limits, Message, MessageContent, Replacement, has_control_character,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use compact_str::CompactString;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerBody {
    verdict: VerdictName,
    code: Option<u64>,
    text: Option<String>,
    payload: Option<Box<RawValue>>,
    content: Option<String>,
    #[serde(rename = "type")]
    message_type: Option<i32>,
    extra: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum VerdictName {
    Allow,
    Deny,
    Replace,
}

impl AnswerBody {
    fn has_denial(&self) -> bool {
        self.code.is_some() || self.text.is_some()
    }

    fn has_replacement(&self) -> bool {
        let has_content = self.payload.is_some() || self.content.is_some();
        has_content || self.message_type.is_some() || self.extra.is_some()
    }
}

/// The verdict of an answer's body; `None`: it is no valid answer.
pub fn verdict(body: &[u8], limits: &Limits) -> Option<HookVerdict> {
    let answer: AnswerBody = serde_json::from_slice(body).ok()?;
    match (answer.verdict, answer.has_denial(), answer.has_replacement()) {
        (VerdictName::Allow, false, false) => Some(HookVerdict::Allowed),
        (VerdictName::Deny, true, false) => denial(answer).map(|denial| HookVerdict::Denied(Box::new(denial))),
        (VerdictName::Replace, false, true) => {
            replacement(answer, limits).map(|replacement| HookVerdict::Replaced(Box::new(replacement)))
        }
        _ => None,
    }
}

fn denial(answer: AnswerBody) -> Option<Denial> {
    let code = DenialCode::new(answer.code?)?;
    let text = CompactString::from(answer.text.unwrap_or_default());
    let is_sound = text.len() <= Denial::TEXT_BYTES_MAX && !has_control_character(&text);
    is_sound.then_some(Denial { code, text })
}

fn replacement(new: AnswerBody, limits: &Limits) -> Option<Replacement> {
    let content: MessageContent = match (new.payload, new.content) {
        (Some(payload), None) if payload.get().starts_with('{') => payload.get().as_bytes().to_vec().into(),
        (None, Some(content)) => BASE64.decode(content).ok()?.into(),
        _ => return None,
    };
    let is_type = |kind: i32| kind >= 1 && !Fact::MESSAGE_TYPES.contains(&kind);
    let pairs = new.extra.map(|pairs| pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect());
    let extra = pairs.map(Extra::new);
    let is_extra = |extra: &Extra| {
        let is_key = |key: &str| !has_control_character(key) && key != Message::REVOKED_KEY;
        extra.bytes() <= limits.extra_bytes_max && extra.iter().all(|(key, _)| is_key(key))
    };
    let is_sound = content.len() <= limits.content_bytes_max
        && new.message_type.is_none_or(is_type)
        && extra.as_ref().is_none_or(is_extra);
    is_sound.then_some(Replacement { content, message_type: new.message_type, extra })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Option<HookVerdict> {
        verdict(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn each_verdict_is_read() {
        assert_eq!(said(r#"{"verdict":"allow"}"#), Some(HookVerdict::Allowed));
        let code = DenialCode::new(150).expect("in range");
        let denial = |text: &str| Some(HookVerdict::Denied(Box::new(Denial { code, text: text.into() })));
        assert_eq!(said(r#"{"verdict":"deny","code":150,"text":"no: \u00e4"}"#), denial("no: ä"));
        assert_eq!(said(r#"{"verdict":"deny","code":150}"#), denial(""));
        let replaced = |content: &str, message_type, extra| {
            let content = MessageContent::from(content.as_bytes().to_vec());
            Some(HookVerdict::Replaced(Box::new(Replacement { content, message_type, extra })))
        };
        assert_eq!(said(r#"{"verdict":"replace","payload":{ "a":1}}"#), replaced("{ \"a\":1}", None, None));
        assert_eq!(said(r#"{"verdict":"replace","content":"aGk=","type":3}"#), replaced("hi", Some(3), None));
        let extra = Extra::new(vec![("k".into(), "v".into())]);
        assert_eq!(
            said(r#"{"verdict":"replace","content":"aGk=","extra":{"k":"v"}}"#),
            replaced("hi", None, Some(extra))
        );
    }

    #[test]
    fn anything_else_is_no_answer() {
        let long = "x".repeat(Denial::TEXT_BYTES_MAX + 1);
        let large = "A".repeat(90_000);
        for wrong in [
            "",
            "allow",
            "{}",
            "[]",
            r#"{"verdict":"maybe"}"#,
            r#"{"verdict":"allow","code":150}"#,
            r#"{"verdict":"deny"}"#,
            r#"{"verdict":"deny","code":127}"#,
            r#"{"verdict":"deny","code":256}"#,
            r#"{"verdict":"deny","code":-1}"#,
            r#"{"verdict":"deny","code":150,"text":"a\u0000"}"#,
            &format!(r#"{{"verdict":"deny","code":150,"text":"{long}"}}"#),
            r#"{"verdict":"replace"}"#,
            r#"{"verdict":"replace","payload":"text"}"#,
            r#"{"verdict":"replace","payload":{},"content":"aGk="}"#,
            r#"{"verdict":"replace","content":"@"}"#,
            r#"{"verdict":"replace","content":"aGk=","type":0}"#,
            r#"{"verdict":"replace","content":"aGk=","type":1001}"#,
            r#"{"verdict":"replace","content":"aGk=","extra":{"revoked":"1"}}"#,
            r#"{"verdict":"replace","content":"aGk=","color":"red"}"#,
            &format!(r#"{{"verdict":"replace","content":"{large}"}}"#),
        ] {
            assert_eq!(said(wrong), None, "{wrong}");
        }
    }
}
