//! TLS as a layer of a connection: certificates and their settings, and the state of one connection.
//!
//! rustls without its buffers. Invariant: nothing here touches a socket, so a connection takes its TLS state along when
//! it moves to another core.

pub(super) mod challenges;
pub(super) mod identity;
pub(super) mod record_layer;
#[cfg(test)]
mod tests;
pub(super) mod watch;
