//! Ids and numbers, one type each.
//!
//! Text ids are checked once, where untrusted bytes become vocabulary; from then on the type is the proof. Numbers are
//! newtypes, so the compiler refuses a seq where a position is expected.

use super::short_text::ShortText;
use compact_str::CompactString;
use std::fmt;

/// The reason why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text has no byte.
    #[error("is empty")]
    Empty,
    /// The text has too many bytes.
    #[error("is longer than {bytes_max} bytes")]
    TooLong {
        /// The most bytes of such an id.
        bytes_max: usize,
    },
    /// The text contains a character of the Unicode category Cc.
    #[error("holds a control character")]
    ControlCharacter,
}

/// Whether a text contains a control character.
pub fn has_control_character(text: &str) -> bool {
    // Most texts are printable ASCII. Only the others are checked character by character.
    !is_printable_ascii(text.as_bytes()) && text.chars().any(char::is_control)
}

/// Whether all bytes are ASCII and none is a control character. Eight bytes are checked at once.
#[inline]
fn is_printable_ascii(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES * 0x80;
    // The high bit of a byte is set in the result if the byte is below 0x20, is 0x7f, or has its high bit set itself. A
    // borrow changes only the bytes above the one that borrows, which is not printable ASCII.
    let marks = |word: u64| word.wrapping_sub(ONES * 0x20) | (word ^ (ONES * 0x7f)).wrapping_sub(ONES) | word;
    let (words, rest) = bytes.as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| found | marks(u64::from_le_bytes(*word)));
    let rest = match bytes.last_chunk::<8>() {
        // Some of its bytes are checked twice.
        Some(last) => u64::from_le_bytes(*last),
        None => rest.iter().fold(ONES * 0x20, |word, byte| word << 8 | u64::from(*byte)),
    };
    (found | marks(rest)) & HIGHS == 0
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $bytes_max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl $name {
            /// The most bytes of UTF-8.
            pub const BYTES_MAX: usize = $bytes_max;

            /// Checks a text and takes a copy.
            ///
            /// # Errors
            ///
            /// The text is empty, has more than `BYTES_MAX` bytes, or contains a control character.
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

            /// The text of the id.
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
    /// The id of a user, as tokens name it: 1 to 64 bytes of UTF-8 without control characters (PROTOCOL 2.4).
    UserId(CompactString),
    64
);
text_id!(
    /// The id of a group: 1 to 64 bytes of UTF-8 without control characters (PROTOCOL 2.4).
    GroupId(CompactString),
    64
);
text_id!(
    /// The author's own id of a message, the key of the dedupe: 1 to 128 bytes (PROTOCOL 2.4). Most are UUIDs of 36
    /// letters, which are stored inline without an allocation.
    ClientMessageId(ShortText),
    128
);
text_id!(
    /// One user's own name for a conversation: 1 to 128 bytes (PROTOCOL 2.4).
    ConversationName(CompactString),
    128
);

impl ClientMessageId {
    /// Ids with this prefix are reserved for the server; a send with one is refused (PROTOCOL 2.4).
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
    /// The number of an entry in one user's inbox. The first entry is 1, and no number is left out. 0 means "before the
    /// first" (PROTOCOL 2.3).
    Seq(u64)
);
number!(
    /// The number of a message in its conversation, the same for all members. The first message is 1 (PROTOCOL 2.3).
    ConversationSeq(u64)
);
number!(
    /// The server's id of a message: never reused, ascending within one shard. A decimal string in both protocols.
    MessageId(u64)
);
number!(
    /// The number of an authenticated connection, never reused while the process lives.
    SessionId(u64)
);
number!(
    /// The number of a shard in its data directory, from 0.
    ShardId(u16)
);
number!(
    /// One of the 1,024 buckets of the hash of a user id. A shard owns a range of slots.
    Slot(u16)
);
number!(
    /// A wall-clock time: milliseconds since the Unix epoch.
    Millis(u64)
);
number!(
    /// The position of a record in one shard's log: the segment's number in the high 32 bits, the offset within the
    /// segment, in bytes, in the low 32.
    Position(u64)
);

impl Seq {
    /// The seq that follows.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Millis {
    /// This time and `duration_ms` milliseconds.
    pub const fn plus(self, duration_ms: u64) -> Self {
        Self(self.0.saturating_add(duration_ms))
    }

    /// Milliseconds from `earlier` to this time; 0 when `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Position {
    /// The position before the first record of any log. As a link it means "no record".
    pub const NONE: Self = Self(0);

    /// The position at `offset` bytes into a segment.
    pub fn new(segment: u32, offset: u32) -> Self {
        Self(u64::from(segment) << 32 | u64::from(offset))
    }

    /// The segment's number.
    pub fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Bytes from the beginning of the segment.
    pub fn offset(self) -> u32 {
        self.0 as u32
    }

    /// Whether this is `Position::NONE`.
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
    fn a_control_character_is_found_wherever_it_stands() {
        for length in 0..20 {
            assert!(!has_control_character(&"~".repeat(length)) && !has_control_character(&" ".repeat(length)));
            assert!(!has_control_character(&"\u{a0}".repeat(length)));
            for at in 0..length {
                for (mark, is_control) in [
                    ("\0", true),
                    ("\u{1f}", true),
                    ("\u{7f}", true),
                    ("\u{80}", true),
                    ("\u{9f}", true),
                    ("é", false),
                    ("\u{7e}", false),
                    ("\u{10ffff}", false),
                ] {
                    let text = ["x".repeat(at).as_str(), mark, &"x".repeat(length - 1 - at)].concat();
                    assert_eq!(has_control_character(&text), is_control, "{mark:?} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_position_keeps_segment_and_offset_and_sorts_by_both() {
        let position = Position::new(7, 4096);
        assert_eq!((position.segment(), position.offset()), (7, 4096));
        assert!(Position::new(1, u32::MAX) < Position::new(2, 0));
    }
}
