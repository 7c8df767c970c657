//! Every row of both specifications, shown on the real process between clients of both protocols whose users live on
//! different shards, online and offline. docs/SPECIFICATION.md says which test proves which row.

// clippy.toml's bans keep the floors pure; a test lives in the world.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../common/mod.rs"]
mod common;

mod accounts;
mod annotations;
mod clearing;
mod connect;
mod durability;
mod facts;
mod group_requests;
mod groups;
mod lists;
mod messages;
mod names;
mod presence;
mod refusals;
mod sessions;
mod specification;
mod streams;
mod sync;
mod world;
