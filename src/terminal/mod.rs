//! F3, shared parts of the commands: failures, progress, configuration flags, connections to a server, output.

// This floor may use files, sockets and clocks, which clippy.toml bans below.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub(crate) mod admin_client;
pub(crate) mod arguments;
pub(crate) mod date;
pub(crate) mod failure;
pub(crate) mod minter;
pub(crate) mod print;
pub(crate) mod progress;
pub(crate) mod run_id;
pub(crate) mod server_url;
pub(crate) mod sources;
pub(crate) mod tls_client;

/// The text before the address on the first line of stdout.
pub(crate) const LISTENING_ON: &str = "listening on ";
