//! F3, the operator's side: an HTTP API on its own thread, which sends orders to the shards.
//!
//! One control thread (tokio, axum) with channels to every shard. Invariants: a shard never waits for it; its resources
//! are bounded (connections, bodies, orders under way, times); every request but `GET /healthz` and those for the
//! pages of the console needs a token or a login of the console (`MetricsAccess` may open the metrics); tokens and bodies are never logged. `proto/admin.openapi.json` is the
//! contract.

// clippy.toml bans clocks, files and sockets for the floors below the edge; this floor is allowed to use them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod api;
mod base;
mod console;
mod document;
mod events;
mod messages;
mod overview;
mod people;
mod routes;
mod table;
mod thread;
mod watch;
mod webhooks;

#[cfg(test)]
mod thread_tests;

pub use base::token::{Address, AddressFile, AdminToken};
pub use thread::serve;
pub use webhooks::backoff::pause_after;
