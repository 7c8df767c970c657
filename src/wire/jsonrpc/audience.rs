//! Whom JSON is written for, and what a conversation is called to them (PROTOCOL 3.4).

use crate::model::{Conversation, UserId};
use crate::wire::base::dialect::Dialect;
use crate::wire::json::message_key::MessageKey;
use crate::wire::json::text::{member, string};

/// Whom JSON is written for.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Audience<'a> {
    pub dialect: Dialect,
    /// What it understands.
    pub version: u8,
    pub viewer: &'a UserId,
    /// Set where messages are to be proved.
    pub key: Option<&'a MessageKey>,
}

/// Appends the channel's id as this viewer knows it, then its type (PROTOCOL 3.4, 3.5).
pub(in crate::wire) fn channel_members(out: &mut Vec<u8>, conversation: &Conversation, viewer: &UserId) {
    let (id, kind) = channel(conversation, viewer);
    string(out, id);
    member(out, "channelType", kind.into());
}

/// The channel's id as this viewer knows it, and its type.
pub(in crate::wire) fn channel<'a>(conversation: &'a Conversation, viewer: &UserId) -> (&'a str, u8) {
    match conversation {
        Conversation::Pair(one, other) => (if one == viewer { other } else { one }.as_str(), 1),
        Conversation::Group(group) => (group.as_str(), 2),
    }
}
