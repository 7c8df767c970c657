//! The numbers of rows: of users and of conversations.

/// A user's row, by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::shard) struct UserIndex(pub u32);

/// A conversation's row, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::shard) struct ConversationIndex(pub u32);

impl ConversationIndex {
    /// Numbers are below it, so that lists of them have two bits to spare. Their rows alone would be 64 GB.
    pub const COUNT_MAX: u32 = 1 << 30;
}
