//! Encodes the bodies of the binary protocol's messages in place, at the end of the frame that carries them.
//!
//! Messages and the reply to a send are written from the vocabulary without a copy. Invariant: the bytes are those that
//! the types of proto/im.proto encode to.

use crate::model::{Conversation, ConversationName, Entry, Message, MessageId, Millis, Seq, UserId};
use crate::wire::json::text::{Digits, decimal};
use crate::wire::protobuf::fact;
use crate::wire::protobuf::fields::{
    bytes_bytes, long_key, message_bytes, number_bytes, pair_bytes, put_bytes, put_number, put_pair, put_text,
    put_varint, text_bytes, varint_key,
};
use crate::wire::protobuf::name::Name;
use bytes::Bytes;

/// The body of an envelope.
pub(in crate::wire) trait EnvelopeBody {
    /// The number of bytes that `put` appends.
    fn bytes(&self) -> usize;
    fn put(&self, out: &mut Vec<u8>);
}

impl<M: prost::Message> EnvelopeBody for M {
    fn bytes(&self) -> usize {
        self.encoded_len()
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.encode(out).expect("a Vec has room");
    }
}

/// Appends `im::SendMessageResponse` of a success: three numbers, at most 44 bytes.
pub(in crate::wire) fn put_sent(out: &mut Vec<u8>, message: MessageId, seq: Seq, server_time: Millis) {
    out.extend_from_slice(&[long_key(3), 0]);
    let start = out.len();
    decimal(out, message.0);
    out[start - 1] = (out.len() - start) as u8;
    put_number(out, varint_key(4), seq.0);
    put_number(out, varint_key(5), server_time.0);
}

/// `im::PushMessage`: a message as one user sees it.
pub(in crate::wire) struct MessageBody<'a> {
    message: &'a Message,
    id: Digits,
    name: Name<'a>,
    /// The id of the recipient that the author addressed.
    addressee: &'a [u8],
    seq: Seq,
    /// The content of a fact, which depends on the reader.
    made: Option<Bytes>,
    bytes: usize,
}

impl<'a> MessageBody<'a> {
    pub fn of_entry(viewer: &UserId, entry: &'a Entry) -> Self {
        Self::new(viewer, &entry.message, entry.name.as_ref(), entry.seq)
    }

    pub fn new(viewer: &UserId, message: &'a Message, name: Option<&'a ConversationName>, seq: Seq) -> Self {
        let made = message.fact.as_deref().map(|fact| fact::content(viewer, message, name, fact));
        let (id, name) = (Digits::of(message.id.0), Name::of(&message.conversation, name));
        let addressee = addressee_of(message);
        let mut body = Self { message, id, name, addressee, seq, made, bytes: 0 };
        body.bytes = body.measure();
        body
    }

    fn measure(&self) -> usize {
        let numbers: usize = self.numbers().into_iter().map(|(_, number)| number_bytes(number)).sum();
        bytes_bytes(self.id.as_bytes())
            + bytes_bytes(self.client_message_id())
            + text_bytes(&self.name.parts())
            + bytes_bytes(self.message.author.as_str().as_bytes())
            + bytes_bytes(self.addressee)
            + bytes_bytes(self.content())
            + number_bytes(self.message_type())
            + numbers
            + self.bytes_behind_seq()
    }

    /// The number of bytes that `put` appends after the inbox seq.
    pub fn bytes_behind_seq(&self) -> usize {
        self.message.extra.iter().map(|(key, value)| pair_bytes(key, value)).sum()
    }

    fn client_message_id(&self) -> &[u8] {
        let is_fact = self.message.fact.is_some();
        if is_fact { &[] } else { self.message.client_message_id.as_str().as_bytes() }
    }

    fn message_type(&self) -> u64 {
        let number = self.message.fact.as_deref().map_or(self.message.message_type, |fact| fact.message_type());
        i64::from(number).cast_unsigned()
    }

    fn content(&self) -> &[u8] {
        self.made.as_ref().unwrap_or(self.message.content.bytes())
    }

    /// The number fields after the content.
    fn numbers(&self) -> [(u8, u64); 3] {
        let Message { send_time, server_time, .. } = self.message;
        [(9, send_time.cast_unsigned()), (10, server_time.0), (11, self.seq.0)]
    }
}

fn addressee_of(message: &Message) -> &[u8] {
    match &message.conversation {
        Conversation::Pair(a, b) => if *a == message.author { b } else { a }.as_str().as_bytes(),
        Conversation::Group(group) => group.as_str().as_bytes(),
    }
}

impl EnvelopeBody for MessageBody<'_> {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn put(&self, out: &mut Vec<u8>) {
        let addressee = if let Conversation::Pair(..) = self.message.conversation { 5 } else { 6 };
        put_bytes(out, long_key(1), self.id.as_bytes());
        put_bytes(out, long_key(2), self.client_message_id());
        put_text(out, long_key(3), &self.name.parts());
        put_bytes(out, long_key(4), self.message.author.as_str().as_bytes());
        put_bytes(out, long_key(addressee), self.addressee);
        put_number(out, varint_key(7), self.message_type());
        put_bytes(out, long_key(8), self.content());
        self.numbers().into_iter().for_each(|(field, number)| put_number(out, varint_key(field), number));
        self.message.extra.iter().for_each(|(key, value)| put_pair(out, long_key(15), key, value));
    }
}

/// `im::SyncResponse` of a success.
pub(in crate::wire) struct SyncedBody<'a> {
    messages: Vec<MessageBody<'a>>,
    server_max_seq: Seq,
    has_more: bool,
}

impl<'a> SyncedBody<'a> {
    pub fn new(viewer: &UserId, entries: &'a [Entry], server_max_seq: Seq, has_more: bool) -> Self {
        let messages = entries.iter().map(|entry| MessageBody::of_entry(viewer, entry)).collect();
        Self { messages, server_max_seq, has_more }
    }
}

impl EnvelopeBody for SyncedBody<'_> {
    fn bytes(&self) -> usize {
        let messages: usize = self.messages.iter().map(|message| message_bytes(message.bytes)).sum();
        messages + number_bytes(self.server_max_seq.0) + number_bytes(self.has_more.into())
    }

    fn put(&self, out: &mut Vec<u8>) {
        for message in &self.messages {
            out.push(long_key(3));
            put_varint(out, message.bytes as u64);
            message.put(out);
        }
        put_number(out, varint_key(4), self.server_max_seq.0);
        put_number(out, varint_key(5), self.has_more.into());
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
