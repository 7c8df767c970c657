//! Bytes and text: base64, and the content of text messages; and how a stream's chunk travels.

use crate::model::{Message, StreamChunk};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The content of a text message. The object is what clients of JSON-RPC expect as `payload`, and clients of the binary
/// protocol get the same bytes.
pub fn text_content(text: &str) -> Bytes {
    let content = serde_json::json!({ "type": 1, "content": text });
    content.to_string().into()
}

/// The text of a message: the member `content` of an object, otherwise the content itself.
pub fn text_of(message: &Message) -> String {
    #[derive(Deserialize)]
    struct Text {
        content: String,
    }
    let text = serde_json::from_slice::<Text>(&message.content).map(|text| text.content);
    text.unwrap_or_else(|_| String::from_utf8_lossy(&message.content).into_owned())
}

/// The text, if the bytes are a JSON object.
pub(crate) fn object_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok();
    is_object.then_some(text)
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn from_base64(text: &str) -> Option<Bytes> {
    STANDARD.decode(text).ok().map(Bytes::from)
}

/// Bytes in a store's JSON.
pub(crate) mod base64_bytes {
    use bytes::Bytes;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::to_base64(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::from_base64(&text).ok_or_else(|| D::Error::custom("content is not base64"))
    }
}

/// The keys of a chunk in `extra`, which both protocols carry, so that either may read the other's streams.
const STREAM: &str = "stream";
const STREAM_CHUNK: &str = "stream-chunk";
const STREAM_END: &str = "stream-end";

pub(crate) fn extra_of(extra: &BTreeMap<String, String>, stream: Option<&StreamChunk>) -> BTreeMap<String, String> {
    let mut all = extra.clone();
    if let Some(StreamChunk { no, chunk, is_last }) = stream {
        all.insert(STREAM.to_owned(), no.clone());
        all.insert(STREAM_CHUNK.to_owned(), chunk.to_string());
        if *is_last {
            all.insert(STREAM_END.to_owned(), "1".to_owned());
        }
    }
    all
}

pub(crate) fn stream_of(extra: &BTreeMap<String, String>) -> Option<StreamChunk> {
    let chunk = extra.get(STREAM_CHUNK)?.parse().ok().filter(|chunk| *chunk > 0)?;
    let is_last = extra.get(STREAM_END).is_some_and(|end| end == "1");
    Some(StreamChunk { no: extra.get(STREAM)?.clone(), chunk, is_last })
}
