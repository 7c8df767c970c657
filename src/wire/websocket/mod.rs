//! RFC 6455 without a socket: the handshake and the frames.

pub(super) mod framer;
pub(super) mod handshake;
pub(super) mod http_refusal;
pub(super) mod pages;
pub(super) mod policy;
pub(super) mod upgrade;
