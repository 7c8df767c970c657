//! The real process on real sockets: how it starts, whom it lets in, what it tells whom, how it stops.

// clippy.toml's bans keep the floors pure; a test lives in the world.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../common/mod.rs"]
mod common;

mod acme;
mod admission;
mod bursts;
mod clock;
mod cold;
mod cores;
mod demo;
mod devices;
mod diagnostics;
mod drain;
mod epoch;
mod examples;
mod first_start;
mod issuers;
mod limits;
mod proxies;
mod sdk;
mod server;
mod tls;
mod tokens;
