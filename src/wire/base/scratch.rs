//! Memory in which the connections of one core decode, one after another, so that a message causes no allocation of its
//! own.
//!
//! Owned by the driver of the connections. Invariant: between two messages it contains nothing that is needed.

use crate::model::{Refusal, RefusalCounts};
use crate::wire::base::dialect::Dialect;
use bytes::{Bytes, BytesMut};
use simd_json::{Buffers, Tape};

/// Contents lie one after another in blocks of this many bytes. A block is freed when its last content is: a large
/// content therefore gets an allocation of its own.
const BLOCK_BYTES: usize = 16 << 10;
const SHARING_BYTES_MAX: usize = BLOCK_BYTES / 8;

/// Nodes of the parser's tape that are kept for the next text; the memory of a larger tape is freed.
const TAPE_NODES_MAX: usize = 4 << 10;

/// Decoding memory, and counts of the refusals that connections issued themselves.
#[derive(Default)]
pub struct Scratch {
    block: BytesMut,
    buffers: Buffers,
    tape: Vec<simd_json::Node<'static>>,
    /// What was refused without a shard.
    refusals: RefusalCounts,
    /// Messages of clients, by `Dialect`.
    received: [u64; Dialect::COUNT],
}

impl Scratch {
    /// The refusals that were issued without asking a shard.
    pub fn refusals(&self) -> &RefusalCounts {
        &self.refusals
    }

    /// Messages that were received, by protocol, in the order of `Encoding::NAMES`.
    pub fn received(&self) -> [u64; Dialect::COUNT] {
        self.received
    }

    #[inline]
    pub(in crate::wire) fn count_received(&mut self, dialect: Dialect) {
        self.received[dialect as usize] += 1;
    }

    pub(in crate::wire) fn count_refusal(&mut self, refusal: Refusal) {
        self.refusals.count(refusal);
    }

    pub(in crate::wire) fn count_malformed(&mut self) {
        self.refusals.count_malformed();
    }

    /// A copy of `content` that outlives the received bytes.
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

    /// Parses a JSON text in place. `rewind` takes the tape back.
    pub(in crate::wire) fn parse<'text>(&mut self, text: &'text mut [u8]) -> Option<Tape<'text>> {
        let mut tape = Tape(std::mem::take(&mut self.tape)).reset();
        simd_json::fill_tape(text, &mut self.buffers, &mut tape).ok()?;
        Some(tape)
    }

    /// Takes the tape of a text back.
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
