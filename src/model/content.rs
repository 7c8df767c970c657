//! The content of a message, and its `extra`.

use bytes::Bytes;
use compact_str::CompactString;
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

/// The binary protocol's `extra` map, sorted by key, keys unique (PROTOCOL 6.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra(Vec<(CompactString, CompactString)>);

impl Extra {
    /// A map of these pairs. Of two values for one key the later wins, as in any protobuf map.
    pub fn new(mut pairs: Vec<(CompactString, CompactString)>) -> Self {
        if pairs.len() > 1 {
            pairs.reverse();
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
            pairs.dedup_by(|later, kept| later.0 == kept.0);
        }
        Self(pairs)
    }

    /// The pairs, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether the map has no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of all keys and values together.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_key_wins_in_extra() {
        let extra = Extra::new(vec![("k".into(), "old".into()), ("a".into(), "1".into()), ("k".into(), "new".into())]);
        assert_eq!(extra.iter().collect::<Vec<_>>(), [("a", "1"), ("k", "new")]);
    }
}
