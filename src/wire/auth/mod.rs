//! Who a client is: tokens and the public keys that prove them.

pub(super) mod public_key;
pub mod token;
pub(super) mod token_fault;
