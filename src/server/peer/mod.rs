//! Who is at the other end of a connection, when proxies stand between: PROXY headers, and what HTTP headers say.
//!
//! Values only. Invariant: nothing that a connection says of its origin counts unless its sender is on a list of the
//! configuration.

pub(super) mod client;
pub(super) mod forwarded;
pub(super) mod places;
pub(super) mod proxies;
pub(super) mod proxy_header;
pub(super) mod rates;
