//! docs/OPERATIONS.md, tried: its commands are run as they stand there, and each fault of its table is done to a real server,
//! which shows what the document says until what the document says to do is done.

// clippy.toml's bans keep the floors pure; a test lives in the world.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../common/mod.rs"]
mod common;

mod certificate;
mod clock;
mod commands;
mod damage;
mod document;
mod files;
mod flood;
mod lost_host;
mod receiver;
mod slow_disk;
mod take_over;
