//! The keys that prove tokens.

pub(super) mod keyring;
pub(super) mod secret;
