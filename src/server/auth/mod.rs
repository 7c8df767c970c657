//! The keys that verify tokens.

pub(super) mod keyring;
pub(super) mod secret;
