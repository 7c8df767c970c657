//! What tests of every floor build on: ids from text, messages and sends of which a test names only what it is about,
//! and one source of random numbers.
//!
//! Suites and benches outside the crate compile this file too, by `tests/common/model.rs`.

pub mod chance;

use super::{
    ClientMessageId, Conversation, ConversationName, ConversationSeq, Extra, GroupId, Message, MessageContent,
    MessageId, Millis, Recipient, Send, UserId,
};

/// A user id that the test spells itself.
pub fn user(id: &str) -> UserId {
    UserId::new(id).expect("a well-formed user id")
}

/// A group id that the test spells itself.
pub fn group(id: &str) -> GroupId {
    GroupId::new(id).expect("a well-formed group id")
}

pub fn client_message_id(id: &str) -> ClientMessageId {
    ClientMessageId::new(id).expect("a well-formed id of a client")
}

pub fn name(name: &str) -> ConversationName {
    ConversationName::new(name).expect("a well-formed name of a conversation")
}

/// An empty message of alice to bob, as the first of everything.
pub fn plain_message() -> Message {
    Message {
        id: MessageId(1),
        conversation: Conversation::pair(user("alice"), user("bob")),
        conversation_seq: ConversationSeq(1),
        author: user("alice"),
        client_message_id: client_message_id("m"),
        conversation_name: None,
        message_type: 1,
        content: MessageContent::new(),
        send_time: 0,
        server_time: Millis(0),
        extra: Extra::default(),
        annotations: None,
        fact: None,
    }
}

/// A send of some content, without anything that a client may leave out.
pub fn plain_send(id: &str, recipient: Recipient, content: impl Into<MessageContent>) -> Send {
    Send {
        client_message_id: client_message_id(id),
        recipient,
        conversation_name: None,
        message_type: 1,
        content: content.into(),
        send_time: 0,
        extra: Extra::default(),
        annotations: None,
    }
}
