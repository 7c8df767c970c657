//! A tail in 24 bytes, for the millions of threads that are idle.
//!
//! Owned by the rows of inboxes and conversations. Invariant: packing loses nothing. Threads of fewer than 64² entries
//! have only the shortest skip; longer threads keep a boxed tail.

use super::index::RADIX;
use super::{Tail, ThreadLink};
use crate::model::{Position, Seq};

/// Seqs that are multiples of it are what skips lead to.
const SHORT_SKIP: u32 = RADIX as u32;
const LONG_SKIP: u32 = SHORT_SKIP * SHORT_SKIP;

/// A `Tail` in 24 bytes.
#[derive(Debug)]
pub struct PackedTail(Form);

#[derive(Debug)]
enum Form {
    Short { seq: u32, last: Position, skip: Position },
    Long(Box<Tail>),
}

impl Form {
    fn of(tail: Tail) -> Self {
        match (u32::try_from(tail.seq.0), tail.skips) {
            (Ok(seq), [skip, Position::NONE, Position::NONE]) => Self::Short { seq, last: tail.last, skip },
            _ => Self::Long(Box::new(tail)),
        }
    }
}

impl Default for PackedTail {
    fn default() -> Self {
        Tail::default().into()
    }
}

impl From<Tail> for PackedTail {
    fn from(tail: Tail) -> Self {
        Self(Form::of(tail))
    }
}

impl PackedTail {
    /// The unpacked tail.
    #[inline]
    pub fn tail(&self) -> Tail {
        match &self.0 {
            Form::Short { seq, last, skip } => {
                Tail { seq: Seq((*seq).into()), last: *last, skips: [*skip, Position::NONE, Position::NONE] }
            }
            Form::Long(tail) => **tail,
        }
    }

    /// The seq of the newest entry; 0: there is none.
    #[inline]
    pub fn seq(&self) -> Seq {
        match &self.0 {
            Form::Short { seq, .. } => Seq((*seq).into()),
            Form::Long(tail) => tail.seq,
        }
    }

    /// Records that the entry with `link` has been appended at `position`.
    #[inline]
    pub fn advance(&mut self, link: ThreadLink, position: Position) {
        if let Form::Short { seq, last, skip } = &mut self.0
            && let Ok(next) = u32::try_from(link.seq.0)
            && !next.is_multiple_of(LONG_SKIP)
        {
            (*seq, *last) = (next, position);
            if next.is_multiple_of(SHORT_SKIP) {
                *skip = position;
            }
            return;
        }
        self.change(|tail| tail.advance(link, position));
    }

    /// Makes the next entry's seq larger than `seq`, whatever is missing before it.
    pub fn skip_to(&mut self, seq: Seq) {
        self.change(|tail| tail.skip_to(seq));
    }

    #[inline]
    fn change(&mut self, change: impl FnOnce(&mut Tail)) {
        match &mut self.0 {
            Form::Short { .. } => {
                let mut tail = self.tail();
                change(&mut tail);
                self.0 = Form::of(tail);
            }
            Form::Long(tail) => change(tail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Side;

    #[test]
    fn a_packed_tail_goes_the_way_of_a_tail() {
        assert_eq!(size_of::<PackedTail>(), 24);
        let (mut plain, mut packed) = (Tail::default(), PackedTail::default());
        for step in 1..10_000_u32 {
            let link = plain.next_link(Side::Author);
            plain.advance(link, Position::new(step, 64));
            packed.advance(link, Position::new(step, 64));
            assert_eq!((packed.tail(), packed.seq()), (plain, plain.seq));
        }
        for seq in [5, 20_000, u64::from(u32::MAX) + 1, u64::MAX] {
            let mut short = PackedTail::from(Tail { seq: Seq(7), ..Tail::default() });
            [&mut packed, &mut short].into_iter().for_each(|tail| tail.skip_to(Seq(seq)));
            plain.skip_to(Seq(seq));
            assert_eq!((packed.tail(), short.seq()), (plain, Seq(seq.max(7))));
        }
    }
}
