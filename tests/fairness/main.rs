//! While one user does its worst at default limits, other people's sends are answered soon, and nothing that it asks
//! for holds a shard up for long. One attacker is one file here.
//!
//! What an input costs the shard is held against its budget strictly (`Cost::BUDGET`, by the server's own metrics).
//! Times are printed, and held against a bound with a factor to spare, because a test's machine may be busy:
//! `MUSHAN_FAIRNESS_FACTOR=1 cargo test --release --test fairness -- --nocapture` holds them against the bound itself.

// clippy.toml's bans keep the floors pure; a test lives in the world.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../common/mod.rs"]
mod common;

mod big_group;
mod bursts;
mod byte_flood;
mod hidden_sync;
mod mark_flood;
mod names;
mod no_persist;
mod poison;
mod random_ids;
mod stage;
mod watchers;
