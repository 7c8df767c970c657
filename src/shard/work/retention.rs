//! The data by which retention decides: the operator's settings, the existing checkpoints, and dependencies between
//! segments.

use crate::log::record::bytes::{Put, Reader};
use std::collections::BTreeMap;

/// When checkpoints are made and what retention drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// Bytes of closed segments after the newest checkpoint at which another one is due.
    pub checkpoint_bytes: u64,
    /// Segments whose messages are all older are dropped; 0: never.
    pub retention_ms: u64,
    /// The oldest segments are dropped while the log has more bytes; 0: never.
    pub retention_bytes: u64,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self { checkpoint_bytes: 256 << 20, retention_ms: 0, retention_bytes: 0 }
    }
}

/// The two newest checkpoints, by the segment at whose end each is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) struct RetainedCheckpoints {
    pub newest: Option<u32>,
    pub older: Option<u32>,
}

impl RetainedCheckpoints {
    pub fn add(&mut self, through: u32) {
        if self.newest.is_none_or(|newest| newest < through) {
            self.older = self.newest.replace(through);
        }
    }
}

/// For each segment with records of work that ended in a later segment: the latest such segment. A checkpoint older
/// than that lists the work as pending, so a start from it reads the first segment, which must not be dropped.
#[derive(Debug, Default)]
pub(in crate::shard) struct SegmentDependencies(BTreeMap<u32, u32>);

impl SegmentDependencies {
    pub fn note(&mut self, segment: u32, done_in: u32) {
        if segment < done_in {
            let last = self.0.entry(segment).or_default();
            *last = done_in.max(*last);
        }
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.0.len()).expect("segments are numbered in 32 bits"));
        for (segment, done_in) in &self.0 {
            out.put_u32(*segment);
            out.put_u32(*done_in);
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let row = |reader: &mut Reader<'_>| Some((reader.u32()?, reader.u32()?));
        (0..reader.u32()?).map(|_| row(reader)).collect::<Option<_>>().map(Self)
    }

    pub fn done_in(&self, segment: u32) -> u32 {
        self.0.get(&segment).copied().unwrap_or(segment)
    }

    pub fn forget_before(&mut self, segment: u32) {
        self.0 = self.0.split_off(&segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_newest_checkpoints_are_kept() {
        let mut kept = RetainedCheckpoints::default();
        for (through, newest, older) in [(3, 3, None), (5, 5, Some(3)), (5, 5, Some(3)), (9, 9, Some(5))] {
            kept.add(through);
            assert_eq!(kept, RetainedCheckpoints { newest: Some(newest), older });
        }
    }
}
