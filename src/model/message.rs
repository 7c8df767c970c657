//! A message with its position in its conversation, and an entry: the message at its position in one user's inbox.

use super::{
    ClientMessageId, ConversationName, ConversationSeq, Extra, Fact, GroupId, MessageContent, MessageId, Millis, Seq,
    UserId,
};
use compact_str::CompactString;
use std::sync::Arc;

/// The addressee of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// One user.
    User(UserId),
    /// All members of a group.
    Group(GroupId),
}

/// The identity of a conversation. A pair is kept sorted, so both members name the same conversation; a user may talk
/// to itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conversation {
    /// Two users, the smaller id first.
    Pair(UserId, UserId),
    /// A group.
    Group(GroupId),
}

impl Conversation {
    /// The conversation of two users, given in any order.
    pub fn pair(one: UserId, other: UserId) -> Self {
        if one <= other { Self::Pair(one, other) } else { Self::Pair(other, one) }
    }

    /// The conversation of `user` with a recipient.
    pub fn between(user: &UserId, recipient: &Recipient) -> Self {
        match recipient {
            Recipient::User(peer) => Self::pair(user.clone(), peer.clone()),
            Recipient::Group(group) => Self::Group(group.clone()),
        }
    }

    /// The name of a conversation for a user who gave it none (PROTOCOL 2.4): `single_<a>_<b>` or `group_<id>`.
    pub fn default_name(&self) -> CompactString {
        match self {
            Self::Pair(a, b) => compact_str::format_compact!("single_{a}_{b}"),
            Self::Group(id) => compact_str::format_compact!("group_{id}"),
        }
    }
}

/// The JSON-RPC protocol's header flags (PROTOCOL 3.10). The server delivers `red_dot` and `dup` unchanged and does not
/// interpret them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderFlags {
    /// The message is pushed to users who are online, and is not stored.
    pub no_persist: bool,
    /// Delivered unchanged.
    pub red_dot: bool,
    /// The first device of a user that acknowledges the message consumes it for all devices of that user.
    pub sync_once: bool,
    /// Delivered unchanged.
    pub dup: bool,
}

/// The JSON-RPC protocol's setting flags that are carried unchanged (PROTOCOL 3.11); `stream` is `Annotations::chunk`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettingFlags {
    /// The author wants read receipts. Delivered unchanged.
    pub receipt: bool,
    /// The message has a topic. Delivered unchanged.
    pub topic: bool,
}

/// The place of a message in a stream, where the message is one chunk of a stream (PROTOCOL 3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamChunk {
    /// The author's name for the stream, 1 to 128 bytes.
    pub stream: CompactString,
    /// The number of the chunk, from 1. It is 0 in a send: the author's shard assigns the number.
    pub number: u64,
    /// Whether the chunk is the first, a later one or the last.
    pub phase: ChunkPhase,
}

impl StreamChunk {
    /// The most bytes of a stream's name.
    pub const STREAM_BYTES_MAX: usize = 128;
}

/// The JSON-RPC protocol's streamFlag (PROTOCOL 3.11). In a send only `Last` has a meaning: it ends the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkPhase {
    /// The first chunk.
    First,
    /// A chunk between the first and the last.
    Next,
    /// The chunk that ends the stream.
    Last,
}

/// The attributes of a message that only the JSON-RPC protocol can set. Boxed in `Message`: most messages have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// Header flags (PROTOCOL 3.10).
    pub header: HeaderFlags,
    /// Setting flags (PROTOCOL 3.11).
    pub setting: SettingFlags,
    /// The topic by which `History` can select (PROTOCOL 3.11).
    pub topic: Option<CompactString>,
    /// The key that proves the message, delivered unchanged to sessions without a key of their own (PROTOCOL 3.13).
    pub message_key: Option<CompactString>,
    /// Seconds after `Message::server_time` at which the message expires; 0: never (PROTOCOL 3.12).
    pub expire_s: u32,
    /// The place in a stream, if the message is a chunk.
    pub chunk: Option<StreamChunk>,
    /// The operator's hook has replaced the content: it is not what the author sent under this client message id.
    pub is_replaced: bool,
}

/// A message with its position in its conversation. Immutable once constructed, therefore shared by `Arc` and never
/// copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The server's id of the message.
    pub id: MessageId,
    /// The conversation of the message.
    pub conversation: Conversation,
    /// The position in the conversation; 0 for a message that is not stored.
    pub conversation_seq: ConversationSeq,
    /// The user who sent the message.
    pub author: UserId,
    /// The author's id of the message.
    pub client_message_id: ClientMessageId,
    /// The author's own name for the conversation, where the author gave one.
    pub conversation_name: Option<ConversationName>,
    /// At least 1; 1 to 5 are defined by the binary protocol's specification (PROTOCOL 6.4).
    pub message_type: i32,
    /// The content, opaque to the server.
    pub content: MessageContent,
    /// The author's clock, delivered unchanged and not trusted.
    pub send_time: i64,
    /// The wall-clock time at which the conversation's owner accepted the message.
    pub server_time: Millis,
    /// Key-value pairs, delivered unchanged.
    pub extra: Extra,
    /// Attributes that only the JSON-RPC protocol can set.
    pub annotations: Option<Box<Annotations>>,
    /// Set where the entry is not a message that a user wrote but a fact (PROTOCOL 2.5). `author` is then the user who
    /// acted, and `conversation_seq` the conversation's newest seq at that time: a fact takes no conversation seq.
    pub fact: Option<Arc<Fact>>,
}

impl Message {
    /// The key in `extra` that marks a revoked message (PROTOCOL 2.5). A send with this key is refused.
    pub const REVOKED_KEY: &str = "revoked";

    /// Whether the message has expired at `now`, a wall-clock time (PROTOCOL 3.12).
    pub fn is_expired(&self, now: Millis) -> bool {
        let expire_s = self.annotations.as_ref().map_or(0, |annotations| annotations.expire_s);
        expire_s > 0 && now >= self.server_time.plus(u64::from(expire_s) * 1_000)
    }

    /// An estimate of the bytes of memory that the message occupies while it is under way.
    pub fn held_bytes(&self) -> usize {
        self.content.len() + self.extra.bytes() + self.fact.as_ref().map_or(0, |fact| fact.held_bytes())
    }

    /// The header flags; all false where the message has no annotations.
    pub fn header(&self) -> HeaderFlags {
        self.annotations.as_ref().map(|annotations| annotations.header).unwrap_or_default()
    }

    /// The message as its readers see it after a revocation (PROTOCOL 2.5): seq and ids stay, the content is empty.
    pub fn tombstone(&self) -> Self {
        let extra = Extra::new(vec![(Self::REVOKED_KEY.into(), "1".into())]);
        Self { content: MessageContent::new(), extra, ..self.clone() }
    }

    /// Whether the content is not the author's.
    pub fn is_replaced(&self) -> bool {
        self.annotations.as_ref().is_some_and(|annotations| annotations.is_replaced)
    }

    /// The other member of a two-person conversation, as `viewer` sees it; `None` for a group.
    pub fn peer_of(&self, viewer: &UserId) -> Option<&UserId> {
        match &self.conversation {
            Conversation::Pair(a, b) => Some(if a == viewer { b } else { a }),
            Conversation::Group(_) => None,
        }
    }

    /// The recipient that the author addressed.
    pub fn recipient(&self) -> Recipient {
        match &self.conversation {
            Conversation::Pair(a, b) => Recipient::User(if *a == self.author { b.clone() } else { a.clone() }),
            Conversation::Group(id) => Recipient::Group(id.clone()),
        }
    }
}

/// A message at its position in one user's inbox, as this user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The inbox seq; 0 for a message that is pushed and never stored, and for a page of history.
    pub seq: Seq,
    /// The message or the fact.
    pub message: Arc<Message>,
    /// The user's own name for the conversation, where the user gave one.
    pub name: Option<ConversationName>,
}

impl Entry {
    /// The name of the conversation for this user: its own, or the default (PROTOCOL 2.4).
    pub fn conversation_name(&self) -> CompactString {
        match &self.name {
            Some(name) => CompactString::new(name.as_str()),
            None => self.message.conversation.default_name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::user;

    #[test]
    fn both_sides_name_the_same_pair() {
        let pair = Conversation::pair(user("bob"), user("alice"));
        assert_eq!(pair, Conversation::pair(user("alice"), user("bob")));
        assert_eq!(pair.default_name(), "single_alice_bob");
    }
}
