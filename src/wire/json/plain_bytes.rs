//! Finds where the plain part of a JSON string ends, a word or a block of bytes at a time.
//!
//! Invariant: the result is what a look at each byte would give.

/// The number of bytes before the first quote, backslash or control character. Most strings of a request end within
/// the first word; a body is long.
#[inline(always)]
pub(in crate::wire) fn plain_bytes(text: &[u8]) -> usize {
    let Some(first) = text.first_chunk() else {
        return text.iter().position(is_mark).unwrap_or(text.len());
    };
    match marks(first) {
        0 => plain_bytes_of_long(text),
        marks => first_of(marks),
    }
}

/// Of a text whose first eight bytes are plain.
#[inline(never)]
fn plain_bytes_of_long(text: &[u8]) -> usize {
    let mut at = WORD;
    while let Some(block) = text[at..].first_chunk()
        && !has_mark(block)
    {
        at += BLOCK;
    }
    while let Some(word) = text[at..].first_chunk() {
        match marks(word) {
            0 => at += WORD,
            marks => return at + first_of(marks),
        }
    }
    // The last word overlaps bytes that are known to be plain.
    let last = text.len() - WORD;
    match text[last..].first_chunk().map_or(0, marks) {
        0 => text.len(),
        marks => last + first_of(marks),
    }
}

const WORD: usize = 8;
const BLOCK: usize = 16;

fn is_mark(byte: &u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

/// Without a branch, so that the compiler looks at the whole block at once.
#[inline]
fn has_mark(block: &[u8; BLOCK]) -> bool {
    let mark = |byte: &u8| u8::from(*byte == b'"') | u8::from(*byte == b'\\') | u8::from(*byte < 0x20);
    block.iter().fold(0, |marks, byte| marks | mark(byte)) != 0
}

/// The lowest bit that is set belongs to the first quote, backslash or control character of a word.
#[inline]
fn marks(word: &[u8; WORD]) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES * 0x80;
    let word = u64::from_le_bytes(*word);
    // With this bit turned round, quote and control characters are what is at most 0x20. A byte borrows only from
    // those above it, and only when it is a mark itself.
    let quote_or_control = (word ^ (ONES * 2)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & HIGHS
}

fn first_of(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::plain_bytes;

    #[test]
    fn every_position_of_a_mark_in_a_text_of_any_length_is_found() {
        for length in 0..72 {
            assert_eq!(plain_bytes(&vec![0x20; length]), length);
            assert_eq!(plain_bytes(&vec![0xe5; length]), length);
            for (at, mark) in (0..length).flat_map(|at| [b'"', b'\\', 0, 0x1f].map(|mark| (at, mark))) {
                let mut text = vec![0xe5_u8; length];
                text[at..].fill(mark);
                assert_eq!(plain_bytes(&text), at, "{mark} at {at} of {length}");
            }
        }
    }
}
