//! What a device is told of a message, and the events that it comes from.

use crate::cli::push::config::{PushConfig, PushedContent};
use crate::server::hex;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

/// Characters of a message that a preview shows, unless the configuration says otherwise.
const PREVIEW_CHARS: usize = 120;

/// The newest message of a conversation for one user.
#[derive(Clone, Debug)]
pub struct WaitingMessage {
    pub from: String,
    /// `None`: the conversation is the pair with `from`.
    pub group: Option<String>,
    pub message_id: String,
    /// How it begins.
    pub preview: Option<String>,
    /// When it was accepted, in Unix milliseconds.
    pub time: u64,
    /// When it expires, in Unix milliseconds.
    pub expires: Option<u64>,
}

/// One notification for one device.
pub struct Notification<'a> {
    pub title: &'a str,
    pub body: &'a str,
    pub badge: u64,
    /// Of one conversation, the same for every message: a later notification replaces an earlier one.
    pub collapse_id: &'a str,
    /// What the application gets beside the texts; all values are strings.
    pub data: Map<String, Value>,
    pub ttl_s: u64,
}

impl WaitingMessage {
    /// The users whom an event names, and its message; `None`: nobody is to be notified.
    pub fn of_event(event: &Value) -> Option<(Vec<String>, Self)> {
        let message = event.get("message")?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let is_later_chunk = message["stream"]["number"].as_u64().is_some_and(|number| number > 1);
        if event["event"] != "user.offline_message" || message["revoked"] == true || is_later_chunk {
            return None;
        }
        let time = event["time"].as_u64()?;
        let users = event["users"].as_array()?.iter().filter_map(text).collect();
        let waiting = Self {
            from: text(&message["from"])?,
            group: text(&event["conversation"]["group"]),
            message_id: text(&message["message_id"])?,
            preview: preview(message),
            time,
            expires: message["expire"].as_u64().map(|expire_s| time.saturating_add(expire_s.saturating_mul(1_000))),
        };
        Some((users, waiting))
    }

    /// Of the conversation, as applications can compute it: the first half of a SHA-256 in hexadecimal digits.
    pub fn collapse_id(&self) -> String {
        let name = self.group.as_ref().map_or_else(|| format!("user:{}", self.from), |group| format!("group:{group}"));
        hex(&digest(&SHA256, name.as_bytes()).as_ref()[..16])
    }

    /// Title and body.
    pub fn texts(&self, config: &PushConfig, content: PushedContent, locale: &str) -> (String, String) {
        let (title, body) = config.text(locale);
        match (content, &self.preview) {
            (PushedContent::Preview, Some(preview)) => {
                let chars_max = config.preview_chars_max.unwrap_or(PREVIEW_CHARS);
                (self.from.clone(), preview.chars().take(chars_max).collect())
            }
            (PushedContent::Preview, None) => (self.from.clone(), title.to_owned()),
            (PushedContent::None, _) => (title.to_owned(), body.to_owned()),
        }
    }

    pub fn data(&self, content: PushedContent, collapse_id: &str) -> Map<String, Value> {
        let data = match content {
            PushedContent::None => json!({"conversation": collapse_id}),
            PushedContent::Preview => {
                let group = self.group.as_deref().unwrap_or_default();
                json!({
                    "conversation": collapse_id, "from": self.from, "group": group, "message_id": self.message_id,
                })
            }
        };
        data.as_object().cloned().unwrap_or_default()
    }
}

/// The text of a message: `content` or `text` of its payload, or its content where that is text.
fn preview(message: &Value) -> Option<String> {
    let payload = &message["payload"];
    if let Some(text) = payload["content"].as_str().or_else(|| payload["text"].as_str()) {
        return Some(text.to_owned());
    }
    let content = BASE64.decode(message["content"].as_str()?).ok()?;
    let text = String::from_utf8(content).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(message: Value) -> Value {
        let mut whole = json!({"from": "alice", "message_id": "7"});
        whole.as_object_mut().expect("an object").extend(message.as_object().cloned().expect("an object"));
        json!({"event": "user.offline_message", "time": 1_000, "users": ["bob", "carol"],
            "conversation": {"group": "team"}, "message": whole})
    }

    #[test]
    fn an_event_names_its_users_and_what_is_not_for_people_notifies_nobody() {
        let (users, message) = WaitingMessage::of_event(&event(json!({"expire": 3}))).expect("a message");
        assert_eq!((users, message.expires), (vec!["bob".to_owned(), "carol".to_owned()], Some(4_000)));
        let pair = WaitingMessage { group: None, ..message.clone() };
        assert_ne!(message.collapse_id(), pair.collapse_id());
        assert_eq!(message.collapse_id().len(), 32);
        assert!(WaitingMessage::of_event(&event(json!({"revoked": true}))).is_none());
        assert!(WaitingMessage::of_event(&event(json!({"stream": {"name": "s", "number": 2}}))).is_none());
        assert!(WaitingMessage::of_event(&event(json!({"stream": {"name": "s", "number": 1}}))).is_some());
        assert!(WaitingMessage::of_event(&json!({"event": "heartbeat", "cursor": "x"})).is_none());
    }

    #[test]
    fn a_preview_is_text_or_is_not_there() {
        let of = |message| WaitingMessage::of_event(&event(message)).expect("a message").1.preview;
        assert_eq!(of(json!({"payload": {"type": 1, "content": "hello"}})).as_deref(), Some("hello"));
        assert_eq!(of(json!({"payload": {"text": "hi"}})).as_deref(), Some("hi"));
        assert_eq!(of(json!({"content": BASE64.encode("plain")})).as_deref(), Some("plain"));
        assert_eq!(of(json!({"content": BASE64.encode([0, 159])})), None);
        assert_eq!(of(json!({"payload": {"image": "x"}})), None);
    }
}
