//! Upper bounds of the encoded bytes of an entry, computed without encoding it.
//!
//! Invariant: no protocol of a size class writes more bytes for an entry than `entry_bytes` returns, whatever the texts
//! contain.

use super::{Annotations, Conversation, Fact, GroupChange, Message, Profile};

/// The size class of a session's protocol: all that the shard, which fills pages, must know of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizing {
    /// Texts are written byte for byte (the binary protocol).
    Verbatim,
    /// A control character takes six bytes, a quote or a backslash two, and content that is not JSON is written in
    /// base64 (the JSON-RPC protocol).
    Escaped,
}

/// The space for entries in a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Encoded bytes.
    pub bytes_max: usize,
    /// The size class in which the bytes are counted.
    pub sizing: Sizing,
}

/// The names of a message's members, its numbers, and what a user calls the conversation.
const FIXED_VERBATIM_BYTES: usize = 250;
const FIXED_ESCAPED_BYTES: usize = 430;
/// The names of what only annotated messages have, and their numbers.
const ANNOTATIONS_BYTES: usize = 180;
/// The key and the lengths of one pair of `extra`.
const PAIR_BYTES: usize = 12;
/// A user's conversation in a list, beside its name and its last message.
const ROW_BYTES: usize = 340;
/// A message id in a receipt.
const READ_BYTES: usize = 24;
/// A revocation contains its user, time, conversation and message.
const REVOKED_BYTES: usize = 240;
/// A change of a group contains its users, time, group and role.
const CHANGE_BYTES: usize = 460;
/// The most members that the notification of one change names.
const NAMED_MAX: usize = 50;
const ID_BYTES_MAX: usize = 64;
/// A tombstone's bytes in place of content and `extra`.
const TOMBSTONE_BYTES: usize = 40;

impl Sizing {
    /// The most encoded bytes of an entry with this message.
    pub fn entry_bytes(self, message: &Message) -> usize {
        let names = self.conversation_bytes(&message.conversation)
            + self.text_bytes(message.author.as_str())
            + self.text_bytes(message.client_message_id.as_str());
        let extra: usize = message.extra.iter().map(|(key, value)| self.pair_bytes(key, value)).sum();
        let fact = message.fact.as_deref().map_or(0, |fact| self.fact_bytes(fact));
        let said = self.content_bytes(message.content.len()) + extra + self.annotation_bytes(message);
        self.fixed_bytes() + names + fact + said.max(TOMBSTONE_BYTES)
    }

    /// The most encoded bytes of a row in a list of conversations, with its last message.
    pub fn row_bytes(self, conversation: &Conversation, last: Option<&Message>) -> usize {
        ROW_BYTES + self.conversation_bytes(conversation) + last.map_or(0, |message| self.entry_bytes(message))
    }

    fn fixed_bytes(self) -> usize {
        match self {
            Self::Verbatim => FIXED_VERBATIM_BYTES,
            Self::Escaped => FIXED_ESCAPED_BYTES,
        }
    }

    fn text_bytes(self, text: &str) -> usize {
        match self {
            Self::Verbatim => text.len(),
            Self::Escaped => escaped_bytes(text),
        }
    }

    fn pair_bytes(self, key: &str, value: &str) -> usize {
        PAIR_BYTES + self.text_bytes(key) + self.text_bytes(value)
    }

    fn content_bytes(self, length: usize) -> usize {
        match self {
            Self::Verbatim => length,
            Self::Escaped => length.div_ceil(3) * 4,
        }
    }

    fn conversation_bytes(self, conversation: &Conversation) -> usize {
        match conversation {
            Conversation::Pair(one, other) => self.text_bytes(one.as_str()) + self.text_bytes(other.as_str()),
            Conversation::Group(group) => self.text_bytes(group.as_str()),
        }
    }

    fn annotation_bytes(self, message: &Message) -> usize {
        let (Self::Escaped, Some(annotations)) = (self, message.annotations.as_deref()) else { return 0 };
        let Annotations { topic, message_key, chunk, .. } = annotations;
        let texts = [topic.as_deref(), message_key.as_deref(), chunk.as_ref().map(|chunk| chunk.stream.as_str())];
        ANNOTATIONS_BYTES + texts.into_iter().flatten().map(|text| self.text_bytes(text)).sum::<usize>()
    }

    /// In either class: a group's change is content in JSON where others have fields for it.
    fn fact_bytes(self, fact: &Fact) -> usize {
        let named = |users: &[super::UserId]| match users.len() {
            ..=NAMED_MAX => users.iter().map(|user| escaped_bytes(user.as_str()) + 3).sum(),
            _ => NAMED_MAX * (2 * ID_BYTES_MAX + 3),
        };
        match fact {
            Fact::Revoked { .. } | Fact::Cleared { .. } => REVOKED_BYTES,
            Fact::Read { messages, .. } => REVOKED_BYTES + messages.len() * READ_BYTES,
            Fact::Joining { asker, .. } => CHANGE_BYTES + 2 * escaped_bytes(asker.as_str()) + 2 * ID_BYTES_MAX,
            Fact::Group(GroupChange::Profiled(profile)) => CHANGE_BYTES + profile_bytes(&profile.about),
            Fact::Group(change) => {
                let owner = match change {
                    GroupChange::Created { owner, .. } => escaped_bytes(owner.as_str()),
                    _ => 0,
                };
                CHANGE_BYTES + owner + named(change.members())
            }
        }
    }
}

impl Room {
    /// For readers on the server itself.
    pub const UNBOUNDED: Self = Self { bytes_max: usize::MAX, sizing: Sizing::Verbatim };

    /// The room that `bytes` leave.
    pub fn less(self, bytes: usize) -> Self {
        Self { bytes_max: self.bytes_max.saturating_sub(bytes), ..self }
    }
}

/// A profile in JSON, beside the names of its members.
fn profile_bytes(Profile { name, avatar, attributes }: &Profile) -> usize {
    let pairs = attributes.iter().map(|(key, value)| PAIR_BYTES + escaped_bytes(key) + escaped_bytes(value));
    escaped_bytes(name) + escaped_bytes(avatar) + pairs.sum::<usize>()
}

/// What `text` takes between the quotes of a JSON string.
fn escaped_bytes(text: &str) -> usize {
    let bytes_of = |byte: u8| match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    text.bytes().map(bytes_of).sum()
}
