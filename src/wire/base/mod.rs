//! Shared by both codecs and the WebSocket layer: buffers, frames, base64.

pub(super) mod base64;
pub(super) mod chunk;
pub(super) mod dialect;
pub(super) mod frame;
pub(super) mod scratch;
