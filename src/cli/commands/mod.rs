//! Subcommands that consist of one file.

pub(super) mod audit;
pub(super) mod backup;
pub(super) mod check;
pub(super) mod completions;
pub(super) mod demo;
pub(super) mod drain;
pub(super) mod group;
pub(super) mod log_level;
pub(super) mod man;
pub(super) mod manager;
pub(super) mod reshard;
pub(super) mod restore;
pub(super) mod serve;
pub(super) mod take_over;
pub(super) mod token;
pub(super) mod trace;
pub(super) mod user;
pub(super) mod webhook;
