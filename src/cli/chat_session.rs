//! One user's side of a conversation, without a socket: what to write, and what was heard.

use super::chat_binary::BinarySession;
use super::chat_json_rpc::JsonRpcSession;
use tungstenite::Message;

/// For `Identity::seen`, when the inbox is shorter than what was remembered: it is another one.
pub const FROM_THE_START: i64 = 0;

/// Who talks to whom.
pub struct Identity {
    pub user: String,
    pub peer: String,
    pub token: String,
    /// Unique among all runs: the beginning of every client message id.
    pub run: String,
    /// The newest inbox seq that this user has been shown.
    pub seen: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// What one types is sent from here on.
    Opened,
    /// `seq` is the inbox seq where the protocol tells it.
    Text { from: String, text: String, seq: Option<i64> },
    /// The answer to one `say`.
    Accepted,
    /// The other answer to one `say`.
    Refused(String),
    /// The server will not go on.
    Farewell(String),
}

/// What a session wants done, in order.
#[derive(Default)]
pub struct Outcome {
    pub write: Vec<Message>,
    pub heard: Vec<Heard>,
}

pub enum Session {
    Binary(BinarySession),
    JsonRpc(JsonRpcSession),
}

impl Session {
    /// How often `keep_alive` is due.
    pub fn keep_alive_s(&self) -> u64 {
        match self {
            Self::Binary(_) => 30,
            Self::JsonRpc(_) => 25,
        }
    }

    pub fn open(&mut self, outcome: &mut Outcome) {
        match self {
            Self::Binary(session) => session.open(outcome),
            Self::JsonRpc(session) => session.open(outcome),
        }
    }

    pub fn hear(&mut self, message: &Message, outcome: &mut Outcome) {
        let understood = match (self, message) {
            (Self::Binary(session), Message::Binary(bytes)) => session.hear(bytes, outcome),
            (Self::JsonRpc(session), Message::Text(text)) => session.hear(text, outcome),
            _ => None,
        };
        if understood.is_none() {
            outcome.heard.push(Heard::Farewell("the server's answer is not understood".to_owned()));
        }
    }

    pub fn say(&mut self, text: &str, outcome: &mut Outcome) {
        match self {
            Self::Binary(session) => session.say(text, outcome),
            Self::JsonRpc(session) => session.say(text, outcome),
        }
    }

    pub fn keep_alive(&mut self, outcome: &mut Outcome) {
        match self {
            Self::Binary(session) => session.keep_alive(outcome),
            Self::JsonRpc(session) => session.keep_alive(outcome),
        }
    }
}

/// What a person is shown of a message's content: the text in it where it is JSON with one, else itself.
pub fn shown(content: &[u8]) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(content).ok();
    let text = json.as_ref().and_then(|json| json.get("content")).and_then(|content| content.as_str());
    let text = text.map_or_else(|| String::from_utf8_lossy(content).into_owned(), str::to_owned);
    // A stranger's text must not steer the terminal.
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_inside_a_json_object_is_shown_and_anything_else_as_it_is() {
        assert_eq!(shown(br#"{"type":1,"content":"hello"}"#), "hello");
        assert_eq!(shown(br#"{"type":2,"url":"x"}"#), r#"{"type":2,"url":"x"}"#);
        assert_eq!(shown("你好".as_bytes()), "你好");
        assert_eq!(shown(b"\x1b[2J\xff"), "\u{fffd}[2J\u{fffd}");
    }
}
