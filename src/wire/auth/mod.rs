//! Authentication: tokens, and the public keys that verify them.

pub(super) mod public_key;
pub mod token;
pub(super) mod token_fault;
