//! A message as its conversation took it, and an entry: the same message at its place in one user's inbox.

use super::{ClientMessageId, ConversationName, ConversationSeq, Fact, GroupId, MessageId, Millis, Seq, UserId};
use bytes::Bytes;
use compact_str::CompactString;
use std::sync::Arc;

/// Whom a message is addressed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    User(UserId),
    Group(GroupId),
}

/// Where a message belongs. A pair is kept sorted, so that both sides name the same conversation; a user may talk to
/// itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conversation {
    Pair(UserId, UserId),
    Group(GroupId),
}

impl Conversation {
    pub fn pair(one: UserId, other: UserId) -> Self {
        if one <= other { Self::Pair(one, other) } else { Self::Pair(other, one) }
    }

    /// The conversation of `user` and whom it names.
    pub fn between(user: &UserId, recipient: &Recipient) -> Self {
        match recipient {
            Recipient::User(peer) => Self::pair(user.clone(), peer.clone()),
            Recipient::Group(group) => Self::Group(group.clone()),
        }
    }

    /// The name a conversation has for those who gave it none (PROTOCOL 2.4): `single_<a>_<b>` or `group_<id>`.
    pub fn default_name(&self) -> CompactString {
        match self {
            Self::Pair(a, b) => compact_str::format_compact!("single_{a}_{b}"),
            Self::Group(id) => compact_str::format_compact!("group_{id}"),
        }
    }
}

/// The binary protocol's `extra` map, sorted by key, keys unique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra(Vec<(CompactString, CompactString)>);

impl Extra {
    /// Of two values for one key the later wins, as in any protobuf map.
    pub fn new(mut pairs: Vec<(CompactString, CompactString)>) -> Self {
        if pairs.len() > 1 {
            pairs.reverse();
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
            pairs.dedup_by(|later, kept| later.0 == kept.0);
        }
        Self(pairs)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

/// The JSON-RPC protocol's header flags (PROTOCOL 3.10). `red_dot` and `dup` are carried and mean nothing to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderFlags {
    /// To whoever is online, never stored.
    pub no_persist: bool,
    pub red_dot: bool,
    /// The first device of a user that acknowledges it consumes it for all.
    pub sync_once: bool,
    pub dup: bool,
}

/// The JSON-RPC protocol's setting flags that are carried unchanged (PROTOCOL 3.11); `stream` is `Annotations::chunk`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettingFlags {
    pub receipt: bool,
    pub topic: bool,
}

/// A message that is one chunk of a stream (PROTOCOL 3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamChunk {
    /// The author's name for the stream, 1–128 bytes.
    pub stream: CompactString,
    /// From 1; 0 in a send, which the author's shard numbers.
    pub number: u64,
    pub phase: ChunkPhase,
}

impl StreamChunk {
    pub const STREAM_BYTES_MAX: usize = 128;
}

/// The JSON-RPC protocol's streamFlag. In a send only `Last` means anything: it ends the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkPhase {
    First,
    Next,
    Last,
}

/// The attributes of a message that only the JSON-RPC protocol can set. Boxed in `Message`: most messages have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    pub header: HeaderFlags,
    pub setting: SettingFlags,
    pub topic: Option<CompactString>,
    pub message_key: Option<CompactString>,
    /// Seconds after `server_time` from which it is not delivered or shown any more; 0: never (PROTOCOL 3.12).
    pub expire_s: u32,
    pub chunk: Option<StreamChunk>,
}

/// A message with its place in its conversation. Never changed once made, so it is shared, not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: MessageId,
    pub conversation: Conversation,
    pub conversation_seq: ConversationSeq,
    pub author: UserId,
    pub client_message_id: ClientMessageId,
    /// What the author calls the conversation, where it gave a name of its own.
    pub conversation_name: Option<ConversationName>,
    /// ≥ 1; 1–5 are defined by the binary protocol's specification.
    pub message_type: i32,
    pub content: Bytes,
    /// The author's clock, as it came; not trusted for anything.
    pub send_time: i64,
    pub server_time: Millis,
    pub extra: Extra,
    pub annotations: Option<Box<Annotations>>,
    /// Set where this entry is not a message that somebody wrote, but something that happened (PROTOCOL 2.5). Its
    /// `author` is who did it, its `conversation_seq` how far the conversation had got: it takes no place of its own.
    pub fact: Option<Arc<Fact>>,
}

impl Message {
    /// In the `extra` of what was taken back; no client may say it of a message.
    pub const REVOKED_KEY: &str = "revoked";

    /// Whether it is past its time (PROTOCOL 3.12).
    pub fn is_expired(&self, now: Millis) -> bool {
        let expire_s = self.annotations.as_ref().map_or(0, |annotations| annotations.expire_s);
        expire_s > 0 && now >= self.server_time.plus(u64::from(expire_s) * 1_000)
    }

    /// About how much memory it holds while it is on its way.
    pub fn held_bytes(&self) -> usize {
        self.content.len() + self.extra.bytes() + self.fact.as_ref().map_or(0, |fact| fact.held_bytes())
    }

    pub fn header(&self) -> HeaderFlags {
        self.annotations.as_ref().map(|annotations| annotations.header).unwrap_or_default()
    }

    /// What is left of it once it is revoked (PROTOCOL 2.5): seq and ids stay.
    pub fn tombstone(&self) -> Self {
        let extra = Extra::new(vec![(Self::REVOKED_KEY.into(), "1".into())]);
        Self { content: Bytes::new(), extra, ..self.clone() }
    }

    /// The other side of a two-person conversation, as `viewer` sees it; `None` for a group.
    pub fn peer_of(&self, viewer: &UserId) -> Option<&UserId> {
        match &self.conversation {
            Conversation::Pair(a, b) => Some(if a == viewer { b } else { a }),
            Conversation::Group(_) => None,
        }
    }

    /// Whom the author addressed.
    pub fn recipient(&self) -> Recipient {
        match &self.conversation {
            Conversation::Pair(a, b) => Recipient::User(if *a == self.author { b.clone() } else { a.clone() }),
            Conversation::Group(id) => Recipient::Group(id.clone()),
        }
    }
}

/// One message at its place in one inbox, as the inbox's user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// 0 for what is pushed and never stored.
    pub seq: Seq,
    pub message: Arc<Message>,
    /// What the user calls the conversation, where it gave a name of its own.
    pub name: Option<ConversationName>,
}

impl Entry {
    /// What the user calls the conversation (PROTOCOL 2.4).
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

    #[test]
    fn the_last_value_of_a_key_wins_in_extra() {
        let extra = Extra::new(vec![("k".into(), "old".into()), ("a".into(), "1".into()), ("k".into(), "new".into())]);
        assert_eq!(extra.iter().collect::<Vec<_>>(), [("a", "1"), ("k", "new")]);
    }
}
