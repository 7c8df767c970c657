//! Shared by both codecs: the interface to the connection, and content that both encode alike.

pub(super) mod cleared;
pub(super) mod devices;
pub(super) mod exchange;
pub(super) mod group_change;
pub(super) mod groups;
pub(super) mod incoming;
