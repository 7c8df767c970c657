//! Requests to URLs that the operator has configured, signed as the Standard Webhooks specification says.
//!
//! Invariants: only https, or http to this machine; no redirect is followed; a name that resolves to an address that is
//! not public is refused, unless the operator allows it, at each connection and not only once.

pub(super) mod addresses;
pub(super) mod client;
pub(super) mod endpoint;
pub(super) mod pool;
pub(super) mod retry_after;
pub(super) mod signature;
