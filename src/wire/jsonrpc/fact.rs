//! Facts in JSON: the members that notifications and elements of `sync` share, and the content of a group change in
//! both protocols (PROTOCOL 2.5, 3.16).

use crate::model::{Entry, Fact};
use crate::wire::base::dialect::Dialect;
use crate::wire::common::cleared::cleared_members;
use crate::wire::common::group_change::{group_members, joining_members};
use crate::wire::json::text::{array, member, name, quoted_decimal, text, text_member};
use crate::wire::jsonrpc::audience::{Audience, channel_members};

/// The method of a fact's notification, which is also the `type` of its element in `sync`.
pub(in crate::wire) fn method(fact: &Fact) -> &'static str {
    match fact {
        Fact::Revoked { .. } => "revoked",
        Fact::Read { .. } => "receipt",
        Fact::Group(_) | Fact::Joining { .. } => "group",
        Fact::Cleared { .. } => "cleared",
    }
}

/// Appends the members of a fact to the end of its object; `opening` precedes the first one.
pub(in crate::wire) fn push_fact(
    out: &mut Vec<u8>,
    audience: &Audience<'_>,
    entry: &Entry,
    fact: &Fact,
    opening: &str,
) {
    let by = &*entry.message;
    text(out, opening);
    text(out, r#""entryId":"#);
    quoted_decimal(out, by.id.0);
    if audience.dialect == Dialect::JsonRpc {
        member(out, "inboxSeq", entry.seq.0);
    }
    name(out, "channelId");
    channel_members(out, &by.conversation, audience.viewer);
    match fact {
        Fact::Revoked { message } => {
            name(out, "messageId");
            quoted_decimal(out, message.0);
            text_member(out, "revokedBy", by.author.as_str());
            member(out, "revokedTime", by.server_time.0);
        }
        Fact::Read { told: _, messages } => {
            name(out, "messageIds");
            array(out, messages, |out, message| quoted_decimal(out, message.id.0));
            text_member(out, "userId", by.author.as_str());
            member(out, "readTime", by.server_time.0);
        }
        Fact::Group(change) => {
            text(out, ",");
            group_members(out, audience.viewer, by, change);
        }
        Fact::Joining { asker, step } => {
            text(out, ",");
            joining_members(out, by, asker, step);
        }
        Fact::Cleared { user: _, through, extent } => {
            text(out, ",");
            cleared_members(out, by, *through, *extent);
        }
    }
    text(out, "}");
}
