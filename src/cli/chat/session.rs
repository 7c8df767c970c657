//! One user's side of a conversation, without a socket: the bytes to write, and the events received.

use crate::cli::chat::binary::BinarySession;
use crate::cli::chat::exchange::{ChatAction, ChatEvent};
use crate::cli::chat::json_rpc::JsonRpcSession;
use tungstenite::Message;

pub enum ChatSession {
    Binary(BinarySession),
    JsonRpc(JsonRpcSession),
}

impl ChatSession {
    /// The interval of `keep_alive` in seconds.
    pub fn keep_alive_s(&self) -> u64 {
        match self {
            Self::Binary(_) => 30,
            Self::JsonRpc(_) => 25,
        }
    }

    pub fn epoch(&self) -> Option<u64> {
        match self {
            Self::Binary(session) => session.epoch(),
            Self::JsonRpc(session) => session.epoch(),
        }
    }

    /// Begins on a connection, the first one or a later one.
    pub fn open(&mut self, outcome: &mut ChatAction) {
        match self {
            Self::Binary(session) => session.open(outcome),
            Self::JsonRpc(session) => session.open(outcome),
        }
    }

    pub fn receive(&mut self, message: &Message, outcome: &mut ChatAction) {
        let understood = match (self, message) {
            (Self::Binary(session), Message::Binary(bytes)) => session.receive(bytes, outcome),
            (Self::JsonRpc(session), Message::Text(text)) => session.receive(text, outcome),
            _ => None,
        };
        if understood.is_none() {
            outcome.events.push(ChatEvent::Unreadable);
        }
    }

    /// Sends a message. `number` identifies it: the same number is a repetition of the same message.
    pub fn say(&mut self, number: u32, text: &str, outcome: &mut ChatAction) {
        match self {
            Self::Binary(session) => session.say(number, text, outcome),
            Self::JsonRpc(session) => session.say(number, text, outcome),
        }
    }

    pub fn keep_alive(&mut self, outcome: &mut ChatAction) {
        match self {
            Self::Binary(session) => session.keep_alive(outcome),
            Self::JsonRpc(session) => session.keep_alive(outcome),
        }
    }
}
