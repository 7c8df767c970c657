//! What keeps a log short: when a checkpoint is due, and which segments retention may drop.
//!
//! Invariants: nothing is dropped that a start from either of the two newest checkpoints would read, that a shard has
//! not confirmed as far as stable storage says, or that a repeated send could still ask for; users keep their seqs,
//! which checkpoints carry.

use crate::log::Storage;
use crate::log::record::bytes::{Put, Reader};
use crate::model::{Millis, Moment, Position};
use crate::shard::rows::conversation::ConversationTable;
use crate::shard::{Shard, State};
use std::collections::BTreeMap;

/// How a shard looks after its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// A checkpoint is due when so many bytes of closed segments are behind the newest one.
    pub checkpoint_bytes: u64,
    /// Segments whose messages are all older are dropped; 0: never.
    pub retention_ms: u64,
    /// The oldest segments are dropped until the log is no longer; 0: never.
    pub retention_bytes: u64,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self { checkpoint_bytes: 256 << 20, retention_ms: 0, retention_bytes: 0 }
    }
}

/// The two newest checkpoints, by the segment that each ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) struct RetainedCheckpoints {
    newest: Option<u32>,
    older: Option<u32>,
}

impl RetainedCheckpoints {
    pub fn add(&mut self, through: u32) {
        if self.newest.is_none_or(|newest| newest < through) {
            self.older = self.newest.replace(through);
        }
    }
}

/// Segments with records of what was done with in a later one, and the last such: a checkpoint that ends before that has
/// it under way, and a start from it reads the record.
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

    fn done_in(&self, segment: u32) -> u32 {
        self.0.get(&segment).copied().unwrap_or(segment)
    }

    fn forget_before(&mut self, segment: u32) {
        self.0 = self.0.split_off(&segment);
    }
}

/// The oldest segment is dropped once it is durable that nothing is owed from it.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct Leaving {
    /// The log says so before this.
    known_at: Position,
}

impl<S: Storage> Shard<S> {
    /// The last closed segment, if a checkpoint behind it is due. Where segments are about to run out, one is due behind
    /// each: retention goes by the two newest, and gives a full disk room again.
    pub fn checkpoint_due(&self) -> Option<u32> {
        if self.healing.is_some() {
            return None;
        }
        let segments = self.journal.segments();
        let through = self.journal.end().segment().checked_sub(1).filter(|last| *last >= segments.start)?;
        let covered = self.checkpoints.newest.unwrap_or(segments.start - 1);
        let uncovered = u64::from(through.saturating_sub(covered));
        let segment_bytes = self.journal.storage().bytes(through).len() as u64;
        let is_long = uncovered * segment_bytes >= self.settings.upkeep.checkpoint_bytes;
        (uncovered > 0 && (is_long || self.journal.storage().is_scarce())).then_some(through)
    }

    /// Tells whoever asks for the numbers that the wall clock has jumped.
    pub(in crate::shard) fn look_at_clock(&mut self, now: Moment) {
        if let Some(jumped_ms) = self.clock.look(now) {
            self.stats.clock_jumps += 1;
            self.stats.clock_jumped_ms = jumped_ms;
        }
    }

    /// Drops what has expired: one segment a tick, so that no turn drops many. Not while the wall clock is in doubt.
    pub(in crate::shard) fn retire(&mut self, now: Moment) {
        let first = self.journal.segments().start;
        if self.leaving.is_none() {
            if !self.clock.is_settled() || !self.may_drop(first) || !self.has_expired(now, first) {
                return;
            }
            self.leaving = Some(Leaving { known_at: self.journal.said() });
        }
        if !self.leaving.is_some_and(|leaving| self.would_be_known(leaving)) {
            return self.journal.want_durable();
        }
        self.leaving = None;
        self.journal.storage_mut().drop_first();
        self.state.forget_before(first + 1);
        self.stats.dropped_segments += 1;
    }

    /// Whether any start would know that nothing is owed from the segment: a power cut may take confirmations that are
    /// not durable, and a start refuses a log that lacks what it owes.
    fn would_be_known(&self, Leaving { known_at }: Leaving) -> bool {
        let is_in_older_checkpoint = self.checkpoints.older.is_some_and(|older| known_at.segment() < older);
        known_at <= self.journal.durable() || is_in_older_checkpoint
    }

    /// The older checkpoint begins behind the last record of its segment, so that one is still read; and so is what
    /// was under way when it was made.
    fn may_drop(&self, segment: u32) -> bool {
        let done_in = self.state.outlasted.done_in(segment);
        let is_covered = self.checkpoints.older.is_some_and(|older| segment < older && done_in <= older);
        let owed = [self.state.relay.oldest_unconfirmed(), self.state.fan_out.oldest_record()];
        let is_owed = owed.into_iter().flatten().any(|record| record.segment() <= segment);
        is_covered && !is_owed
    }

    fn has_expired(&mut self, now: Moment, segment: u32) -> bool {
        let upkeep = self.settings.upkeep;
        // Members' entries of a group's message may stand further on, among younger ones: without the message they end
        // the inbox, so it stays as long as those do.
        let last = self.state.outlasted.done_in(segment);
        let newest = (segment..=last).filter_map(|segment| self.state.ages.newest_of(segment)).max();
        let last_dated = self.state.ages.last_segment();
        let age_ms = self.clock.segment_age_ms(now, segment, newest.unwrap_or_default(), last_dated);
        if age_ms < self.settings.limits.dedupe_window_ms {
            return false;
        }
        let segments = self.journal.segments();
        let log_bytes = segments.len() as u64 * self.journal.storage().bytes(segment).len() as u64;
        let is_old = upkeep.retention_ms > 0 && age_ms >= upkeep.retention_ms;
        is_old || upkeep.retention_bytes > 0 && log_bytes > upkeep.retention_bytes
    }
}

/// Marks of messages are kept for so much longer than the segment in which their conversation has them: other shards
/// took them later.
const MARKS_LINGER_MS: u64 = 3_600_000;

impl State {
    /// Segments before this one are gone, and what was only known for their sake.
    pub(in crate::shard) fn forget_before(&mut self, segment: u32) {
        let dropped = segment.checked_sub(1).and_then(|last| self.ages.newest_of(last));
        self.ages.forget_before(segment);
        self.outlasted.forget_before(segment);
        // Where a clock was ahead for a while, dates do not say which ids are left.
        let Some(newest) = dropped.filter(|newest| self.ages.are_behind(*newest)) else { return };
        let oldest = ConversationTable::first_id_of(Millis(newest.0.saturating_sub(MARKS_LINGER_MS)));
        self.revoked.forget_before(oldest);
        self.consumed.forget_before(oldest);
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
