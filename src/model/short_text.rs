//! A text that needs no allocation up to the length of a UUID in braces.

use arrayvec::ArrayString;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// Chosen so that a `ShortText` has 48 bytes.
const INLINE_BYTES_MAX: usize = 40;

/// Texts compare, sort and hash by their characters, inline or boxed.
#[derive(Clone)]
pub enum ShortText {
    Inline(ArrayString<INLINE_BYTES_MAX>),
    Boxed(Box<str>),
}

impl From<&str> for ShortText {
    fn from(text: &str) -> Self {
        ArrayString::from(text).map_or_else(|_| Self::Boxed(text.into()), Self::Inline)
    }
}

impl Deref for ShortText {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        match self {
            Self::Inline(text) => text,
            Self::Boxed(text) => text,
        }
    }
}

impl PartialEq for ShortText {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for ShortText {}

impl PartialOrd for ShortText {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShortText {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for ShortText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_the_same_wherever_it_stands() {
        assert_eq!(size_of::<ShortText>(), 48);
        for length in [0, 1, 39, 40, 41, 128] {
            let (text, longer) = ("x".repeat(length), "x".repeat(length + 1));
            let short = ShortText::from(text.as_str());
            assert_eq!((&*short, matches!(short, ShortText::Inline(_))), (text.as_str(), length <= 40));
            assert!(short.clone() == short && short < ShortText::from(longer.as_str()));
        }
    }
}
