//! Encodes facts for the binary protocol: as pushes of their own, and as the content of an inbox entry (PROTOCOL 2.5).

use crate::model::{ConversationName, Fact, Message, MessageId, ReadMessage, UserId};
use crate::wire::common::{cleared, group_change};
use crate::wire::protobuf::im;
use crate::wire::protobuf::name::name_of;
use bytes::Bytes;
use prost::Message as _;

/// `by` is the inbox entry of the revocation: its author, time and conversation.
pub(in crate::wire) fn revoked(
    by: &Message,
    name: Option<&ConversationName>,
    message: MessageId,
) -> im::RevokeMessagePush {
    im::RevokeMessagePush {
        message_id: message.to_string(),
        conversation_id: name_of(&by.conversation, name),
        revoked_by: by.author.to_string(),
        revoked_time: by.server_time.0.cast_signed(),
    }
}

pub(in crate::wire) fn read(
    by: &Message,
    name: Option<&ConversationName>,
    messages: &[ReadMessage],
) -> im::ReadReceiptPush {
    im::ReadReceiptPush {
        message_ids: messages.iter().map(|message| message.id.to_string()).collect(),
        conversation_id: name_of(&by.conversation, name),
        user_id: by.author.to_string(),
        read_time: by.server_time.0.cast_signed(),
    }
}

/// The content of the entry.
pub(in crate::wire) fn content(viewer: &UserId, by: &Message, name: Option<&ConversationName>, fact: &Fact) -> Bytes {
    match fact {
        Fact::Revoked { message } => revoked(by, name, *message).encode_to_vec().into(),
        Fact::Read { told: _, messages } => read(by, name, messages).encode_to_vec().into(),
        Fact::Group(change) => {
            let mut content = Vec::new();
            group_change::push_group_object(&mut content, viewer, by, change);
            content.into()
        }
        Fact::Joining { asker, step } => {
            let mut content = Vec::new();
            group_change::push_joining_object(&mut content, by, asker, step);
            content.into()
        }
        Fact::Cleared { user: _, through, extent } => {
            let mut content = Vec::new();
            cleared::push_cleared_object(&mut content, by, *through, *extent);
            content.into()
        }
    }
}
