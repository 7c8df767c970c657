//! The content of the entry that says that its user has cleared a conversation: JSON in both protocols (PROTOCOL 2.10).

use crate::model::{ClearExtent, ConversationSeq, Message};
use crate::wire::json::text::{member, string, text};

/// Appends it as a JSON object.
pub(in crate::wire) fn push_cleared_object(
    out: &mut Vec<u8>,
    by: &Message,
    through: ConversationSeq,
    extent: ClearExtent,
) {
    text(out, "{");
    cleared_members(out, by, through, extent);
    text(out, "}");
}

/// Appends the members of the JSON object.
pub(in crate::wire) fn cleared_members(out: &mut Vec<u8>, by: &Message, through: ConversationSeq, extent: ClearExtent) {
    text(out, r#""change":"#);
    string(
        out,
        match extent {
            ClearExtent::History => "historyCleared",
            ClearExtent::Conversation => "conversationDeleted",
        },
    );
    member(out, "through", through.0);
    member(out, "time", by.server_time.0);
}
