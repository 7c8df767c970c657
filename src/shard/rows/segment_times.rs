//! When the newest message of each segment was taken: retention goes by it.

use crate::log::record::bytes::{Put, Reader};
use crate::model::Millis;
use std::collections::VecDeque;

/// A row per segment that is left and has been written to: 8 bytes for each 64 MiB of log.
#[derive(Debug, Default)]
pub(in crate::shard) struct SegmentTimes {
    first: u32,
    newest: VecDeque<Millis>,
}

impl SegmentTimes {
    /// A message of `time` stands in `segment`; segments come in order.
    pub fn note(&mut self, segment: u32, time: Millis) {
        if self.newest.is_empty() {
            self.first = segment;
        }
        let at = segment.saturating_sub(self.first) as usize;
        // A segment without any message is as old as the one before it.
        let before = self.newest.back().copied().unwrap_or_default();
        while self.newest.len() <= at {
            self.newest.push_back(before);
        }
        self.newest[at] = self.newest[at].max(time);
    }

    /// The newest message of `segment`, or of one before it where it has none; `None` when nothing is known of it.
    pub fn newest_of(&self, segment: u32) -> Option<Millis> {
        self.newest.get(segment.checked_sub(self.first)? as usize).copied()
    }

    /// The newest date of all.
    pub fn newest(&self) -> Option<Millis> {
        self.newest.iter().copied().max()
    }

    /// The last segment that has a message.
    pub fn last_segment(&self) -> u32 {
        (self.first + self.newest.len() as u32).saturating_sub(1)
    }

    /// No segment is older than one before it, whatever a clock that was set back dated it with: the oldest that is left
    /// takes over the date of those before it.
    pub fn forget_before(&mut self, segment: u32) {
        while self.first < segment
            && let Some(forgotten) = self.newest.pop_front()
        {
            self.first += 1;
            if let Some(next) = self.newest.front_mut() {
                *next = forgotten.max(*next);
            }
        }
    }

    /// Whether every segment's newest message is dated behind this, or with it.
    pub fn are_behind(&self, date: Millis) -> bool {
        self.newest.iter().all(|newest| *newest >= date)
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.first);
        out.put_u32(u32::try_from(self.newest.len()).expect("segments are numbered in 32 bits"));
        self.newest.iter().for_each(|time| out.put_u64(time.0));
    }

    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let first = reader.u32()?;
        let count = reader.u32()?;
        let newest = (0..count).map(|_| reader.u64().map(Millis)).collect::<Option<_>>()?;
        Some(Self { first, newest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_as_old_as_its_newest_message() {
        let mut ages = SegmentTimes::default();
        for (segment, time) in [(3, 10), (3, 30), (3, 20), (6, 40)] {
            ages.note(segment, Millis(time));
        }
        let known =
            |ages: &SegmentTimes| (2..8).map(|segment| ages.newest_of(segment).map(|time| time.0)).collect::<Vec<_>>();
        assert_eq!(known(&ages), [None, Some(30), Some(30), Some(30), Some(40), None]);
        ages.forget_before(5);
        assert_eq!(known(&ages), [None, None, None, Some(30), Some(40), None]);
    }
}
