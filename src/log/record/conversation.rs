//! The bytes of a conversation's name inside a record (docs/FORMAT.md).

use crate::log::record::bytes::text;
use crate::log::record::bytes::{Put, Reader};
use crate::model::{Conversation, GroupId, UserId};

pub(in crate::log) fn conversation_bytes(conversation: &Conversation) -> usize {
    conversation_ids(conversation).map(|id| 1 + id.len()).iter().sum()
}

/// A pair's two ids; for a group "" and its id.
fn conversation_ids(conversation: &Conversation) -> [&str; 2] {
    match conversation {
        Conversation::Pair(a, b) => [a.as_str(), b.as_str()],
        Conversation::Group(id) => ["", id.as_str()],
    }
}

pub(in crate::log) fn put_conversation(conversation: &Conversation, out: &mut impl Put) {
    conversation_ids(conversation).into_iter().for_each(|id| out.put_short(id.as_bytes()));
}

pub(in crate::log) fn read_conversation(reader: &mut Reader<'_>) -> Option<Conversation> {
    let (first, second) = (text(reader.short()?)?, text(reader.short()?)?);
    if first.is_empty() {
        return Some(Conversation::Group(GroupId::new(second).ok()?));
    }
    let conversation = Conversation::pair(UserId::new(first).ok()?, UserId::new(second).ok()?);
    // A pair is written sorted; anything else is not what `encode` writes.
    (conversation_ids(&conversation) == [first, second]).then_some(conversation)
}
