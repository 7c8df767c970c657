//! A user's name for a conversation, as the binary protocol writes it (PROTOCOL 2.4).

use crate::model::{Conversation, ConversationName};

/// A user's name for a conversation: its own, or the server's default.
pub(in crate::wire) enum Name<'a> {
    Own(&'a ConversationName),
    Filled(&'a Conversation),
}

impl<'a> Name<'a> {
    pub fn of(conversation: &'a Conversation, name: Option<&'a ConversationName>) -> Self {
        name.map_or(Self::Filled(conversation), Self::Own)
    }

    pub fn parts(&self) -> [&[u8]; 4] {
        match self {
            Self::Own(name) => [name.as_str().as_bytes(), &[], &[], &[]],
            Self::Filled(Conversation::Pair(a, b)) => [b"single_", a.as_str().as_bytes(), b"_", b.as_str().as_bytes()],
            Self::Filled(Conversation::Group(id)) => [b"group_", id.as_str().as_bytes(), &[], &[]],
        }
    }
}

/// What one user calls a conversation.
pub(in crate::wire) fn name_of(conversation: &Conversation, name: Option<&ConversationName>) -> String {
    name.map_or_else(|| conversation.default_name().into(), ConversationName::to_string)
}
