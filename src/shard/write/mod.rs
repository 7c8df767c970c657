//! Verbs that write, and the way of their records to all readers.

pub(super) mod admit;
pub(super) mod ask_hook;
pub(super) mod charge;
pub(super) mod commit;
pub(super) mod deliver;
pub(super) mod directory;
#[cfg(test)]
pub(super) mod directory_tests;
pub(super) mod durable;
pub(super) mod fingerprint_of_send;
pub(super) mod mark_read;
#[cfg(test)]
pub(super) mod ordered_tests;
pub(super) mod receipt;
#[cfg(test)]
pub(super) mod receipt_tests;
pub(super) mod request;
pub(super) mod revoke;
#[cfg(test)]
pub(super) mod revoke_tests;
pub(super) mod send;
pub(super) mod stream;
#[cfg(test)]
pub(super) mod stream_tests;
pub(super) mod transient;
