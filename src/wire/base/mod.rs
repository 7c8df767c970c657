//! What both codecs and the socket layer share: buffers, frames, numbers.

pub(super) mod chunk;
pub(super) mod frame;
pub(super) mod scratch;
