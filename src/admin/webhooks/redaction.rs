//! Events without the words of erased users, for batches that are stored.

use crate::model::UserId;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The members of a JSON object, as they were written.
type Members = BTreeMap<String, Box<RawValue>>;

/// What is left of a message of an erased user, as of one that was taken back.
const KEPT: [&str; 6] = ["message_id", "conversation_seq", "from", "client_msg_id", "type", "server_time"];

/// A list of events in which messages of erased users have no content, and how many of them had one. `None`: nothing changes.
pub fn without_words(events: &str, is_erased: &impl Fn(&UserId) -> bool) -> Option<(String, u64)> {
    let list: Vec<&RawValue> = serde_json::from_str(events).ok()?;
    let mut emptied = 0;
    let mut texts = Vec::with_capacity(list.len());
    for event in list {
        match emptied_event(event.get(), is_erased) {
            None => texts.push(event.get().to_owned()),
            Some(text) => {
                emptied += 1;
                texts.push(text);
            }
        }
    }
    (emptied > 0).then(|| (format!("[{}]", texts.join(",")), emptied))
}

fn emptied_event(event: &str, is_erased: &impl Fn(&UserId) -> bool) -> Option<String> {
    let mut event: Members = serde_json::from_str(event).ok()?;
    let mut message: Members = serde_json::from_str(event.get("message")?.get()).ok()?;
    let author: String = serde_json::from_str(message.get("from")?.get()).ok()?;
    let author = UserId::new(&author).ok()?;
    let has_words = !message.contains_key("revoked");
    if !has_words || !is_erased(&author) {
        return None;
    }
    message.retain(|name, _| KEPT.contains(&name.as_str()));
    message.insert("revoked".to_owned(), raw("true".to_owned()));
    event.insert("message".to_owned(), raw(written(&message)));
    Some(written(&event))
}

fn written(members: &Members) -> String {
    serde_json::to_string(members).expect("keys are texts, and values are JSON")
}

fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).expect("it is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emptied(events: &str) -> Option<(String, u64)> {
        without_words(events, &|user| user.as_str() == "ann")
    }

    #[test]
    fn messages_of_an_erased_user_lose_their_words_and_others_keep_their_digits() {
        let ben = r#"{"event":"message.created","message":{"message_id":"8","from":"ben","payload":{"n":1.10}}}"#;
        let read = r#"{"event":"receipt","by":"ann"}"#;
        let ann = r#"{"event":"message.created","message":{"message_id":"7","from":"ann","payload":{"a":"secret"},"extra":{"k":"v"}}}"#;
        let (text, count) = emptied(&format!("[{ben},{ann},{read}]")).expect("it changes");
        let left = r#"{"event":"message.created","message":{"from":"ann","message_id":"7","revoked":true}}"#;
        assert_eq!((text.as_str(), count), (format!("[{ben},{left},{read}]").as_str(), 1));
        assert_eq!(emptied(&text), None, "a second time nothing is left to remove");
        assert_eq!(emptied(&format!("[{ben},{read}]")), None);
    }
}
