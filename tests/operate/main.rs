//! What an operator does with a server and its directories: the HTTP API and the command line.

// clippy.toml's bans keep the floors pure; a test lives in the world.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod audit;
mod away;
mod backend;
mod browsers;
mod chat;
mod console;
mod devices;
mod directories;
mod events;
mod hook;
mod log_tools;
mod packages;
mod people;
mod programs;
mod reading;
mod secured;
mod tune;
mod watch;
mod webhooks;
