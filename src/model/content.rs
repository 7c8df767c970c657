//! The content of a message.

use bytes::Bytes;
use std::ops::Deref;

/// Opaque bytes that belong to the author. Equal contents have equal bytes.
#[derive(Clone, Debug, Default)]
pub struct MessageContent {
    bytes: Bytes,
    is_json_object: bool,
}

impl MessageContent {
    /// No bytes.
    pub const fn new() -> Self {
        Self { bytes: Bytes::new(), is_json_object: false }
    }

    /// Bytes that the caller has found to be one JSON object in UTF-8, so that they are not parsed again.
    pub fn json_object(bytes: Bytes) -> Self {
        Self { bytes, is_json_object: true }
    }

    /// Whether the bytes are known to be a JSON object. `false` says nothing: other bytes have not been parsed.
    pub fn is_known_json_object(&self) -> bool {
        self.is_json_object
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl<T: Into<Bytes>> From<T> for MessageContent {
    fn from(bytes: T) -> Self {
        Self { bytes: bytes.into(), is_json_object: false }
    }
}

impl Eq for MessageContent {}

impl AsRef<[u8]> for MessageContent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for MessageContent {
    fn eq(&self, other: &T) -> bool {
        self.bytes == *other.as_ref()
    }
}

impl FromIterator<u8> for MessageContent {
    fn from_iter<T: IntoIterator<Item = u8>>(bytes: T) -> Self {
        Bytes::from_iter(bytes).into()
    }
}

impl Deref for MessageContent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
