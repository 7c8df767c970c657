//! F3, what commands share: failures, progress, sources of settings, connections to a server, words for the user.

// It talks to people, files and sockets.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub(crate) mod admin_client;
pub(crate) mod arguments;
pub(crate) mod date;
pub(crate) mod failure;
pub(crate) mod minter;
pub(crate) mod print;
pub(crate) mod progress;
pub(crate) mod run_id;
pub(crate) mod sources;
pub(crate) mod tcp_client;

/// Before the address, on the first line of stdout.
pub(crate) const LISTENING_ON: &str = "listening on ";
