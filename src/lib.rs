//! mushan: an instant-messaging server for one Linux machine, thread-per-core over io_uring.
//!
//! Floors only look down (docs/ARCHITECTURE.md): `model` (F0) < `wire`, `log` (F1) < `shard` (F2) < `server` < `admin`
//! < `terminal` < `bench` < `cli` (F3). `terminal` has what the tools share: arguments, printing, clients of a running
//! server; `bench` is the load generator. Below F3 there is no async, no socket, no file, no clock, no randomness and
//! no global; `tests/floors` reads the imports and checks it.

pub mod log;
pub mod model;
pub mod shard;
pub mod wire;

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "bench")]
pub mod bench;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
#[cfg_attr(not(feature = "bench"), allow(dead_code, reason = "some of what the tools share only the benches use"))]
mod terminal;
