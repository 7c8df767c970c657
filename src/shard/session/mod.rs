//! Sessions, and what concerns one user alone: opening, acknowledging, presence, profiles, devices, cleared conversations.

pub(super) mod accounts;
pub(super) mod ack;
pub(super) mod clear;
#[cfg(test)]
pub(super) mod clear_tests;
pub(super) mod erasure;
pub(super) mod listing;
pub(super) mod log_presence;
pub(super) mod open;
pub(super) mod presence;
#[cfg(test)]
pub(super) mod presence_tests;
pub(super) mod profile;
pub(super) mod push_devices;
#[cfg(test)]
pub(super) mod tests;
