//! F3, the operator's side: an HTTP API on a thread of its own, a peer of the shards that speaks their vocabulary.
//!
//! One control thread (tokio, axum) with lanes to every shard. Invariants: a shard never waits for it; what it holds is
//! bounded (connections, bodies, orders under way, times); every request but `GET /healthz` needs the admin token
//! (`MetricsAccess` may open the metrics); tokens and bodies are never logged. `proto/admin.openapi.json` is the
//! contract.

// The bans of clippy.toml keep the floors below the edge; here is where the world is allowed in.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod api;
mod caller;
mod connections;
mod error;
mod groups;
mod health;
mod intake;
mod metrics;
mod orders;
mod process;
mod routes;
mod thread;
mod token;
mod users;

#[cfg(test)]
mod thread_tests;

pub use thread::serve;
pub use token::{Address, AddressFile, AdminToken};
