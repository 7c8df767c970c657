//! What both codecs and the socket layer share: buffers, frames, numbers.

pub(super) mod base64;
pub(super) mod chunk;
pub(super) mod dialect;
pub(super) mod frame;
pub(super) mod scratch;
