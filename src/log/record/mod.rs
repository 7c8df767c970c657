//! Records: what they say (`kinds`) and their bytes.

pub(super) mod body;
pub(super) mod borrowed;
pub(crate) mod bytes;
pub(super) mod conversation;
pub(super) mod envelope;
pub(crate) mod fact;
pub(super) mod kinds;
pub(super) mod member_link;
pub(super) mod message;
pub(crate) mod profile;
pub(crate) mod push;
pub(super) mod snapshot;
