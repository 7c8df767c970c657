//! Memory that one core's connections decode with, one after the other, so that a message allocates nothing of its own.
//!
//! Owned by whoever feeds the connections. Invariant: between two messages there is nothing in it that anybody misses.

use crate::model::{Refusal, RefusalCounts};
use bytes::{Bytes, BytesMut};
use simd_json::{Buffers, Tape};

/// Contents stand one behind the other in blocks of this size. A block lives as long as one of them: a content that is
/// larger than a part of it has memory of its own.
const BLOCK_BYTES: usize = 16 << 10;
const SHARING_BYTES_MAX: usize = BLOCK_BYTES / 8;

/// Kept for the next text; what a larger one needed is given back.
const TAPE_NODES_MAX: usize = 4 << 10;

#[derive(Default)]
pub struct Scratch {
    block: BytesMut,
    buffers: Buffers,
    tape: Vec<simd_json::Node<'static>>,
    /// What was refused without a shard.
    refusals: RefusalCounts,
}

impl Scratch {
    /// What the connections that decode with it have refused by themselves.
    pub fn refusals(&self) -> &RefusalCounts {
        &self.refusals
    }

    pub(in crate::wire) fn count_refusal(&mut self, refusal: Refusal) {
        self.refusals.count(refusal);
    }

    pub(in crate::wire) fn count_malformed(&mut self) {
        self.refusals.count_malformed();
    }

    /// A copy of `content` that outlives the bytes it was received in.
    pub(in crate::wire) fn keep(&mut self, content: &[u8]) -> Bytes {
        if content.len() > SHARING_BYTES_MAX {
            return Bytes::copy_from_slice(content);
        }
        if self.block.capacity() < content.len() {
            // Takes the same block again when nobody holds a content of it any more.
            self.block.reserve(BLOCK_BYTES);
        }
        self.block.extend_from_slice(content);
        self.block.split().freeze()
    }

    /// Parses a text in place. Give the tape back with `rewind`.
    pub(in crate::wire) fn parse<'text>(&mut self, text: &'text mut [u8]) -> Option<Tape<'text>> {
        let mut tape = Tape(std::mem::take(&mut self.tape)).reset();
        simd_json::fill_tape(text, &mut self.buffers, &mut tape).ok()?;
        Some(tape)
    }

    /// The text has been read.
    pub(in crate::wire) fn rewind(&mut self, tape: Tape<'_>) {
        let tape: Tape<'static> = tape.reset();
        if tape.0.capacity() <= TAPE_NODES_MAX {
            self.tape = tape.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_stay_as_they_were_whatever_follows_them() {
        let mut scratch = Scratch::default();
        let content = |number: usize| vec![number as u8; number * 37 % (SHARING_BYTES_MAX + 100)];
        let kept: Vec<Bytes> = (0..200).map(|number| scratch.keep(&content(number))).collect();
        assert!(kept.iter().enumerate().all(|(number, kept)| *kept == content(number)));
    }

    #[test]
    fn a_tape_is_used_again_and_a_broken_text_leaves_nothing_behind() {
        let mut scratch = Scratch::default();
        for _ in 0..3 {
            let mut text = br#"{"a":[1,2,3]}"#.to_vec();
            let tape = scratch.parse(&mut text).expect("sound");
            assert_eq!(tape.0.len(), 6);
            scratch.rewind(tape);
            assert!(scratch.parse(&mut b"{\"a\":".to_vec()).is_none());
        }
    }
}
