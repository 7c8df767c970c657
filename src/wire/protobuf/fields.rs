//! Fields of protobuf messages: written without a message type, read without a copy.
//!
//! Inlined, because a field's key and often its length are known at compile time. Invariants: a field with its default
//! value is left out; reading is total, `None` for malformed bytes, and accepts what prost accepts, apart from a map
//! whose entries have no length.

use compact_str::CompactString;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encoded_len_varint, skip_field};

/// The key of a varint field with a number up to 15.
pub(in crate::wire) const fn varint_key(number: u8) -> u8 {
    number << 3
}

/// The key of a field with a length: text, bytes, message.
pub(in crate::wire) const fn long_key(number: u8) -> u8 {
    number << 3 | 2
}

pub(in crate::wire) fn varint_bytes(value: u64) -> usize {
    encoded_len_varint(value)
}

#[inline]
pub(in crate::wire) fn put_varint(out: &mut Vec<u8>, value: u64) {
    // Most are lengths and kinds.
    if value < 0x80 {
        out.push(value as u8);
    } else if value < 0x4000 {
        out.extend_from_slice(&two_bytes(value));
    } else {
        put_long_varint(out, value);
    }
}

/// A varint of 7 to 14 bits.
#[inline]
fn two_bytes(value: u64) -> [u8; 2] {
    [value as u8 | 0x80, (value >> 7) as u8]
}

/// Appends a varint of at least two bytes. Up to 56 bits are spread over eight bytes at once.
fn put_long_varint(out: &mut Vec<u8>, value: u64) {
    let bytes = varint_bytes(value);
    if bytes > 8 {
        return prost::encoding::encode_varint(value, out);
    }
    let end = out.len() + bytes;
    out.extend_from_slice(&spread(value, bytes).to_le_bytes());
    out.truncate(end);
}

/// A varint of `bytes` bytes, at most eight, in the lowest bytes of the result; those above it are zeros.
#[inline]
fn spread(value: u64, bytes: usize) -> u64 {
    let halves = (value & 0x0fff_ffff) | (value & 0x00ff_ffff_f000_0000) << 4;
    let quarters = (halves & 0x0000_3fff_0000_3fff) | (halves & 0x0fff_c000_0fff_c000) << 2;
    let sevens = (quarters & 0x007f_007f_007f_007f) | (quarters & 0x3f80_3f80_3f80_3f80) << 1;
    let more_follows = 0x8080_8080_8080_8080 & ((1 << (8 * (bytes - 1))) - 1);
    sevens | more_follows
}

/// Appends a key and a varint of at least two bytes. Dates fit with their keys into eight bytes.
fn put_long_keyed(out: &mut Vec<u8>, key: u8, value: u64) {
    let bytes = varint_bytes(value);
    if bytes > 7 {
        out.push(key);
        return put_long_varint(out, value);
    }
    let end = out.len() + 1 + bytes;
    out.extend_from_slice(&(spread(value, bytes) << 8 | u64::from(key)).to_le_bytes());
    out.truncate(end);
}

/// The bytes of a varint field.
#[inline]
pub(in crate::wire) fn number_bytes(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_bytes(value) }
}

#[inline]
pub(in crate::wire) fn put_number(out: &mut Vec<u8>, key: u8, value: u64) {
    if value != 0 {
        put_keyed(out, key, value);
    }
}

/// A key and a varint, which is a number or the length of what follows. Most need one or two bytes, and are appended at
/// once with their key.
#[inline]
fn put_keyed(out: &mut Vec<u8>, key: u8, value: u64) {
    if value < 0x80 {
        out.extend_from_slice(&[key, value as u8]);
    } else if value < 0x4000 {
        let [low, high] = two_bytes(value);
        out.extend_from_slice(&[key, low, high]);
    } else {
        put_long_keyed(out, key, value);
    }
}

/// The bytes of a field whose text consists of `parts`.
#[inline]
pub(in crate::wire) fn text_bytes(parts: &[&[u8]]) -> usize {
    let length = parts.iter().map(|part| part.len()).sum();
    if length == 0 { 0 } else { message_bytes(length) }
}

#[inline]
pub(in crate::wire) fn put_text(out: &mut Vec<u8>, key: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length > 0 {
        put_keyed(out, key, length as u64);
        parts.iter().for_each(|part| out.extend_from_slice(part));
    }
}

/// The bytes of a bytes field.
#[inline]
pub(in crate::wire) fn bytes_bytes(bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { message_bytes(bytes.len()) }
}

#[inline]
pub(in crate::wire) fn put_bytes(out: &mut Vec<u8>, key: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_keyed(out, key, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
}

/// The bytes of a field with a message of `length` bytes; an empty message is written too.
pub(in crate::wire) fn message_bytes(length: usize) -> usize {
    1 + varint_bytes(length as u64) + length
}

/// The bytes of a map's entry.
pub(in crate::wire) fn pair_bytes(key: &str, value: &str) -> usize {
    message_bytes(bytes_bytes(key.as_bytes()) + bytes_bytes(value.as_bytes()))
}

pub(in crate::wire) fn put_pair(out: &mut Vec<u8>, field: u8, key: &str, value: &str) {
    let (key, value) = (key.as_bytes(), value.as_bytes());
    put_keyed(out, field, (bytes_bytes(key) + bytes_bytes(value)) as u64);
    put_bytes(out, long_key(1), key);
    put_bytes(out, long_key(2), value);
}

/// The envelope of every message (`im::WebSocketMessage`). The client's timestamp is not read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::wire) struct Envelope<'a> {
    pub command: i32,
    pub sequence: u32,
    pub body: &'a [u8],
}

/// `im::SendMessageRequest`, in the received bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::wire) struct SendRequest<'a> {
    pub client_msg_id: &'a str,
    pub conversation_id: &'a str,
    pub sender_id: &'a str,
    pub receiver_id: &'a str,
    pub group_id: &'a str,
    pub message_type: i32,
    pub content: &'a [u8],
    pub send_time: i64,
    /// The pairs in the order in which they came.
    pub extra: Vec<(CompactString, CompactString)>,
}

impl<'a> Envelope<'a> {
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        const COMMAND: u32 = varint_key(1) as u32;
        const SEQUENCE: u32 = varint_key(2) as u32;
        const BODY: u32 = long_key(3) as u32;
        const TIMESTAMP: u32 = varint_key(4) as u32;
        let mut envelope = Self::default();
        let mut fields = Fields(bytes);
        // Most clients write the fields in their order.
        if fields.skip_key(COMMAND) {
            envelope.command = fields.number()? as i32;
        }
        if fields.skip_key(SEQUENCE) {
            envelope.sequence = fields.number()? as u32;
        }
        if fields.skip_key(BODY) {
            envelope.body = fields.bytes()?;
        }
        while let Some(key) = fields.next()? {
            match key {
                COMMAND => envelope.command = fields.number()? as i32,
                SEQUENCE => envelope.sequence = fields.number()? as u32,
                BODY => envelope.body = fields.bytes()?,
                TIMESTAMP => drop(fields.number()?),
                unknown => fields.skip(unknown, |number| (1..=4).contains(&number))?,
            }
        }
        Some(envelope)
    }
}

impl<'a> SendRequest<'a> {
    /// Inlined, so that the request is not copied.
    #[inline]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        const CLIENT_MSG_ID: u32 = long_key(1) as u32;
        const CONVERSATION_ID: u32 = long_key(2) as u32;
        const SENDER_ID: u32 = long_key(3) as u32;
        const RECEIVER_ID: u32 = long_key(4) as u32;
        const GROUP_ID: u32 = long_key(5) as u32;
        const MESSAGE_TYPE: u32 = varint_key(6) as u32;
        const CONTENT: u32 = long_key(7) as u32;
        const SEND_TIME: u32 = varint_key(8) as u32;
        const EXTRA: u32 = long_key(10) as u32;
        let mut request = Self::default();
        let mut fields = Fields(bytes);
        // Most clients write the fields in their order, and leave some out.
        if fields.skip_key(CLIENT_MSG_ID) {
            request.client_msg_id = fields.text()?;
        }
        if fields.skip_key(RECEIVER_ID) {
            request.receiver_id = fields.text()?;
        }
        if fields.skip_key(MESSAGE_TYPE) {
            request.message_type = fields.number()? as i32;
        }
        if fields.skip_key(CONTENT) {
            request.content = fields.bytes()?;
        }
        while let Some(key) = fields.next()? {
            match key {
                CLIENT_MSG_ID => request.client_msg_id = fields.text()?,
                CONVERSATION_ID => request.conversation_id = fields.text()?,
                SENDER_ID => request.sender_id = fields.text()?,
                RECEIVER_ID => request.receiver_id = fields.text()?,
                GROUP_ID => request.group_id = fields.text()?,
                MESSAGE_TYPE => request.message_type = fields.number()? as i32,
                CONTENT => request.content = fields.bytes()?,
                SEND_TIME => request.send_time = fields.number()?.cast_signed(),
                EXTRA => request.extra.push(read_pair(fields.bytes()?)?),
                unknown => fields.skip(unknown, |number| matches!(number, 1..=8 | 10))?,
            }
        }
        Some(request)
    }
}

fn read_pair(bytes: &[u8]) -> Option<(CompactString, CompactString)> {
    const KEY: u32 = long_key(1) as u32;
    const VALUE: u32 = long_key(2) as u32;
    let (mut key, mut value) = ("", "");
    let mut fields = Fields(bytes);
    while let Some(field) = fields.next()? {
        match field {
            KEY => key = fields.text()?,
            VALUE => value = fields.text()?,
            unknown => fields.skip(unknown, |number| matches!(number, 1 | 2))?,
        }
    }
    Some((key.into(), value.into()))
}

/// The unread rest of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The key of the next field: its number and its wire type. The outer `None`: the bytes are malformed. The inner: the
    /// message has ended.
    #[inline]
    fn next(&mut self) -> Option<Option<u32>> {
        match self.0 {
            [] => Some(None),
            // Numbers up to 15.
            [key @ 0x08..0x80, rest @ ..] => {
                self.0 = rest;
                Some(Some(u32::from(*key)))
            }
            _ => {
                let (number, wire_type) = decode_key(&mut self.0).ok()?;
                Some(Some(number << WIRE_TYPE_BITS | wire_type as u32))
            }
        }
    }

    /// Skips the key of the next field if it is this one, below 128.
    #[inline]
    fn skip_key(&mut self, key: u32) -> bool {
        match self.0 {
            [first, rest @ ..] if u32::from(*first) == key => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    #[inline]
    fn number(&mut self) -> Option<u64> {
        match self.0 {
            [number @ ..0x80, rest @ ..] => {
                self.0 = rest;
                Some((*number).into())
            }
            // Lengths and commands.
            [low, high @ ..0x80, rest @ ..] => {
                self.0 = rest;
                Some(u64::from(*high) << 7 | u64::from(*low & 0x7f))
            }
            _ => self.long_number(),
        }
    }

    #[cold]
    fn long_number(&mut self) -> Option<u64> {
        decode_varint(&mut self.0).ok()
    }

    #[inline]
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        simdutf8::basic::from_utf8(self.bytes()?).ok()
    }

    /// Skips a field that the message does not have. A number that it has, with another wire type, is malformed.
    fn skip(&mut self, key: u32, has: impl Fn(u32) -> bool) -> Option<()> {
        let (number, wire_type) = (key >> WIRE_TYPE_BITS, WireType::try_from(u64::from(key) & WIRE_TYPES).ok()?);
        if has(number) {
            return None;
        }
        skip_field(wire_type, number, &mut self.0, DecodeContext::default()).ok()
    }
}

/// The lowest bits of a key are the wire type.
const WIRE_TYPE_BITS: u32 = 3;
const WIRE_TYPES: u64 = (1 << WIRE_TYPE_BITS) - 1;

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
