//! A message before its conversation has assigned it an id, a sequence number and a date.

use super::{
    ClientMessageId, Conversation, ConversationSeq, Extra, Fact, Message, MessageContent, MessageId, Millis, Send,
    UserId,
};
use std::ops::Deref;
use std::sync::Arc;

/// A message without id, sequence number and date. It is not shared yet, so that the conversation fills them in without
/// a copy.
#[derive(Debug, PartialEq, Eq)]
pub struct UnsequencedMessage(Arc<Message>);

impl UnsequencedMessage {
    /// Wraps a message whose id, sequence number and date do not count yet.
    pub fn new(message: Message) -> Self {
        Self(Arc::new(message))
    }

    /// A fact: what happened in the conversation, and who did it.
    pub fn of_fact(now: Millis, conversation: Conversation, author: UserId, fact: Fact) -> Self {
        Self::new(Message {
            id: MessageId(0),
            conversation,
            conversation_seq: ConversationSeq(0),
            author,
            client_message_id: decimal(MessageId(0)),
            conversation_name: None,
            message_type: fact.message_type(),
            content: MessageContent::new(),
            send_time: now.0.cast_signed(),
            server_time: Millis(0),
            extra: Extra::default(),
            annotations: None,
            fact: Some(Arc::new(fact)),
        })
    }

    /// The message that a send becomes.
    pub fn of_send(author: UserId, conversation: Conversation, send: Send) -> Self {
        let Send { client_message_id, conversation_name, message_type, content, send_time, extra, annotations, .. } =
            send;
        Self::new(Message {
            id: MessageId(0),
            conversation,
            conversation_seq: ConversationSeq(0),
            author,
            client_message_id,
            conversation_name,
            message_type,
            content,
            send_time,
            server_time: Millis(0),
            extra,
            annotations,
            fact: None,
        })
    }

    /// As `of_send`, in the memory of `spare`, which nothing else may reference. Each field is moved once: a message
    /// that is built elsewhere would be copied whole.
    pub fn within(mut spare: Arc<Message>, author: UserId, conversation: Conversation, send: Send) -> Self {
        let message = Arc::get_mut(&mut spare).expect("a spare is not referenced");
        message.id = MessageId(0);
        message.conversation = conversation;
        message.conversation_seq = ConversationSeq(0);
        message.author = author;
        message.client_message_id = send.client_message_id;
        message.conversation_name = send.conversation_name;
        message.message_type = send.message_type;
        message.content = send.content;
        message.send_time = send.send_time;
        message.server_time = Millis(0);
        message.extra = send.extra;
        message.annotations = send.annotations;
        message.fact = None;
        Self(spare)
    }

    /// Assigns id, sequence number and date. May be called again until `share` was called. A fact has no client message
    /// id of its own; its id takes the place of it.
    pub fn place(&mut self, id: MessageId, seq: ConversationSeq, date: Millis) {
        let message = Arc::get_mut(&mut self.0).expect("a message is shared only after its conversation has taken it");
        (message.id, message.conversation_seq, message.server_time) = (id, seq, date);
        if message.fact.is_some() {
            message.client_message_id = decimal(id);
        }
    }

    /// The message as it is now. `place` must not be called afterwards.
    pub fn share(&self) -> Arc<Message> {
        self.0.clone()
    }
}

fn decimal(id: MessageId) -> ClientMessageId {
    ClientMessageId::new(&id.to_string()).expect("a decimal number is short and has no control character")
}

/// The clone has memory of its own, because an unsequenced message is not shared.
impl Clone for UnsequencedMessage {
    fn clone(&self) -> Self {
        Self::new((*self.0).clone())
    }
}

impl Deref for UnsequencedMessage {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.0
    }
}
