//! What both codecs say to the connection about a message.

pub(super) mod exchange;
pub(super) mod group_change;
pub(super) mod incoming;
