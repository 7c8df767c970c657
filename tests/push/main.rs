//! `mushan push` with a real server, against push services on this machine.

// clippy.toml's bans keep the floors pure; a test lives in the world.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../common/mod.rs"]
mod common;

mod kills;
mod secured;
mod services;
mod waking;
mod words;
