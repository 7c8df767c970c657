//! Disks and processes that fail: full disks, failing devices, kills under load, rot.

// clippy.toml's bans keep the floors pure; a test lives in the world.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../common/mod.rs"]
mod common;

mod crash;
mod failing;
mod founding;
mod full;
mod rot;
