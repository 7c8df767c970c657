//! Certificates that an authority issues by itself (ACME, RFC 8555): ordered, proven, stored, renewed.
//!
//! One thread, off the shards' cores. Invariants: a certificate that is in use stays in use until the next one is stored
//! whole; key and certificate are one file, replaced at once; the account's key and the certificate's are readable by the
//! server's user only.

mod order;
pub(super) mod renewal;
mod responder;
pub(super) mod store;
mod transport;
