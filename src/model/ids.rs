//! The names and numbers that everything else is told apart by.
//!
//! Text ids are checked once, where untrusted bytes become vocabulary; from then on the type is the proof. Numbers are
//! newtypes so that a seq is never taken for a position.

use super::short_text::ShortText;
use compact_str::CompactString;
use std::fmt;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("is empty")]
    Empty,
    #[error("is longer than {bytes_max} bytes")]
    TooLong { bytes_max: usize },
    #[error("holds a control character")]
    ControlCharacter,
}

/// Of those beyond ASCII it takes a look at each character.
pub fn has_control_character(text: &str) -> bool {
    // To the end in any case: without a way out of the loop many bytes are looked at at once.
    let has_one = |bytes: &[u8]| bytes.iter().fold(false, |found, byte| found | byte.is_ascii_control());
    if text.is_ascii() { has_one(text.as_bytes()) } else { text.chars().any(char::is_control) }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $bytes_max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl $name {
            pub const BYTES_MAX: usize = $bytes_max;

            pub fn new(text: &str) -> Result<Self, IdError> {
                if text.is_empty() {
                    return Err(IdError::Empty);
                }
                if text.len() > Self::BYTES_MAX {
                    return Err(IdError::TooLong { bytes_max: Self::BYTES_MAX });
                }
                if has_control_character(text) {
                    return Err(IdError::ControlCharacter);
                }
                Ok(Self(text.into()))
            }

            #[inline]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), out)
            }
        }
    };
}

text_id!(
    /// A user, as tokens name it. PROTOCOL 2.4: 1–64 bytes of UTF-8 without control characters.
    UserId(CompactString),
    64
);
text_id!(
    /// A group, as clients address it. Same rules as a user id.
    GroupId(CompactString),
    64
);
text_id!(
    /// The client's own id of a message, the key of the dedupe (PROTOCOL 2.4: 1–128 bytes). Most are UUIDs, 36 letters,
    /// which need no memory of their own here.
    ClientMessageId(ShortText),
    128
);
text_id!(
    /// What one user calls a conversation (PROTOCOL 2.4: at most 128 bytes).
    ConversationName(CompactString),
    128
);

impl ClientMessageId {
    /// Ids that begin so are the server's own: no client may use one.
    pub const SERVER_PREFIX: &str = "stream-end-";
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }
    };
}

number!(
    /// A place in one user's inbox. The first entry is 1; there are no holes. 0 means "before the first".
    Seq(u64)
);
number!(
    /// A place in one conversation, the same for all its members. The first message is 1.
    ConversationSeq(u64)
);
number!(
    /// The server's id of a message: unique for ever, ascending within one shard. A decimal string on both wires.
    MessageId(u64)
);
number!(
    /// One authenticated connection, never reused while the process lives.
    SessionId(u64)
);
number!(
    /// One shard of a data directory, 0-based.
    ShardId(u16)
);
number!(
    /// One of the 1,024 parts that users are hashed into; a shard owns a range of them.
    Slot(u16)
);
number!(
    /// Milliseconds since the Unix epoch.
    Millis(u64)
);
number!(
    /// A place in one shard's log: segment number in the high 32 bits, byte offset within it in the low 32.
    Position(u64)
);

impl Seq {
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Millis {
    pub const fn plus(self, duration_ms: u64) -> Self {
        Self(self.0.saturating_add(duration_ms))
    }

    /// How long ago `earlier` was, in milliseconds; 0 when it is in the future.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Position {
    /// Before the first record of any log; as a link it means "there is none".
    pub const NONE: Self = Self(0);

    pub fn new(segment: u32, offset: u32) -> Self {
        Self(u64::from(segment) << 32 | u64::from(offset))
    }

    pub fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub fn offset(self) -> u32 {
        self.0 as u32
    }

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_refused_for_what_is_wrong_with_it() {
        assert_eq!(UserId::new(""), Err(IdError::Empty));
        assert_eq!(UserId::new(&"x".repeat(65)), Err(IdError::TooLong { bytes_max: 64 }));
        assert_eq!(UserId::new("a\nb"), Err(IdError::ControlCharacter));
        assert_eq!(UserId::new("\u{7f}"), Err(IdError::ControlCharacter));
        assert_eq!(UserId::new("\u{85}"), Err(IdError::ControlCharacter));
        assert_eq!(UserId::new("小明").expect("well formed").as_str(), "小明");
    }

    #[test]
    fn a_position_keeps_segment_and_offset_and_sorts_by_both() {
        let position = Position::new(7, 4096);
        assert_eq!((position.segment(), position.offset()), (7, 4096));
        assert!(Position::new(1, u32::MAX) < Position::new(2, 0));
    }
}
