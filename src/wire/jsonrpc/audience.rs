//! The reader for whom JSON is written, and a conversation's channel as that reader sees it (PROTOCOL 3.4).

use crate::model::{Conversation, UserId};
use crate::wire::base::dialect::Dialect;
use crate::wire::json::message_key::MessageKey;
use crate::wire::json::text::{member, string};

/// The reader for whom JSON is written.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Audience<'a> {
    pub dialect: Dialect,
    /// The client's version, from `connect`.
    pub version: u8,
    pub viewer: &'a UserId,
    /// The key that proves the session's messages, if the client gave one.
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
