//! Keeps a log short: decides when a checkpoint is due, and which segments retention drops.
//!
//! Invariants: nothing is dropped that a start from either of the two newest checkpoints would read, that contains a
//! delivery whose confirmation is not in both of them, or that a repeated send could need; users keep their seqs, which
//! checkpoints contain.

use crate::log::{Record, Storage};
use crate::model::{Millis, Moment};
use crate::shard::core::state::RowTables;
use crate::shard::rows::conversation::ConversationTable;
use crate::shard::{Shard, State};

impl<S: Storage> Shard<S> {
    /// The last closed segment, if a checkpoint at its end is due. When segments are about to run out, one is due at
    /// the end of each: retention drops only what the two newest checkpoints cover, and thereby frees a full disk.
    pub fn checkpoint_due(&self) -> Option<u32> {
        if self.healing.is_some() {
            return None;
        }
        let segments = self.log.journal.segments();
        let through = self.log.journal.end().segment().checked_sub(1).filter(|last| *last >= segments.start)?;
        let covered = self.background.checkpoints.newest.unwrap_or(segments.start - 1);
        let uncovered = u64::from(through.saturating_sub(covered));
        let segment_bytes = self.log.journal.storage().bytes(through).len() as u64;
        let is_long = uncovered * segment_bytes >= self.settings.upkeep.checkpoint_bytes;
        (uncovered > 0 && (is_long || self.log.journal.storage().is_scarce())).then_some(through)
    }

    /// Counts and logs jumps of the wall clock: a start knows no other clock than the one that it finds.
    pub(in crate::shard) fn look_at_clock(&mut self, now: Moment) {
        if let Some(jumped_ms) = self.background.clock.look(now) {
            self.meters.stats.clock_jumps += 1;
            self.meters.stats.clock_jumped_ms = jumped_ms;
        }
        let Some(jumped_ms) = self.background.clock.untold_ms() else { return };
        let record = Record::Clock { time: now.wall, jumped_ms };
        if self.log.journal.has_room(record.encoded_bytes()) {
            let position = self.log.journal.append_lazily(&record);
            self.background.clock.told();
            self.state.tell_time(position.segment(), now.wall, jumped_ms);
        }
    }

    /// Drops expired segments: one in each tick, so that no turn drops many. Drops none while the wall clock is in
    /// doubt.
    pub(in crate::shard) fn retire(&mut self, now: Moment) {
        let segments = self.log.journal.segments();
        let (first, last) = (segments.start, segments.end - 1);
        if !self.background.clock.is_settled() {
            return;
        }
        // A log without any message is as old as it has been open.
        if self.state.segments.times.bound_of(last).is_none() {
            self.state.segments.times.count_from(last, now.wall);
        }
        if !self.may_drop(first) || !self.has_expired(now, first) {
            return;
        }
        self.log.journal.storage_mut().drop_first();
        self.state.forget_before(first + 1);
        self.meters.stats.dropped_segments += 1;
    }

    /// The older checkpoint begins after the last record of its segment, which is therefore still read; so are the
    /// messages of the jobs in it, and of the deliveries that are unconfirmed in it. What a checkpoint has is durable: a
    /// power cut may remove a confirmation that no checkpoint has, and a start refuses a log without a message that it
    /// must send again.
    fn may_drop(&self, segment: u32) -> bool {
        let done_in = self.state.segments.dependencies.done_in(segment);
        let is_covered = self.background.checkpoints.older.is_some_and(|older| segment < older && done_in <= older);
        let needed = [self.state.peers.outbound.oldest_unconfirmed(), self.state.groups.fan_out.oldest_record()];
        let is_needed = needed.into_iter().flatten().any(|record| record.segment() <= segment);
        is_covered && !is_needed
    }

    fn has_expired(&mut self, now: Moment, segment: u32) -> bool {
        let upkeep = self.settings.upkeep;
        // Entries of members for a group's message may be further on, among newer ones: without the message they would
        // end the inbox, so it stays as long as they do.
        let last = self.state.segments.dependencies.done_in(segment);
        let newest = (segment..=last).filter_map(|segment| self.state.segments.times.bound_of(segment)).max();
        // More may be written to the open segment: only what is closed can be said to be as old as it is now.
        let last_closed =
            self.state.segments.times.last_segment().min(self.log.journal.end().segment().saturating_sub(1));
        let age_ms = self.background.clock.segment_age_ms(now, segment, newest.unwrap_or_default(), last_closed);
        if age_ms < self.settings.limits.dedupe_window_ms {
            return false;
        }
        let segments = self.log.journal.segments();
        let log_bytes = segments.len() as u64 * self.log.journal.storage().bytes(segment).len() as u64;
        let is_old = upkeep.retention_ms > 0 && age_ms >= upkeep.retention_ms;
        is_old || upkeep.retention_bytes > 0 && log_bytes > upkeep.retention_bytes
    }
}

/// How much longer marks of messages are kept than the segment with the message: other shards received it later, and
/// may still return it.
const MARKS_LINGER_MS: u64 = 3_600_000;

impl State {
    /// Forgets everything that was known only for segments before this one.
    pub(in crate::shard) fn forget_before(&mut self, segment: u32) {
        let dropped = segment.checked_sub(1).and_then(|last| self.segments.times.newest_of(last));
        self.segments.times.forget_before(segment);
        self.segments.dependencies.forget_before(segment);
        // If a clock was ahead for a while, dates do not show which ids are left.
        let Some(newest) = dropped.filter(|newest| self.segments.times.are_behind(*newest)) else { return };
        // However late a message arrived here, its marks stay as long as the message: its id is no lower than its time.
        let oldest_left = self.segments.times.oldest_left().min(Millis(newest.0.saturating_sub(MARKS_LINGER_MS)));
        let oldest = ConversationTable::first_id_of(oldest_left);
        self.tables.revoked.forget_before(oldest);
        self.tables.consumed.forget_before(oldest);
        self.segments.marks_from = self.segments.marks_from.max(oldest);
    }

    /// Whether marks are left of messages that are in no log any more, or rows of what erased users have cleared.
    pub(in crate::shard) fn has_forgotten(&self) -> bool {
        let RowTables { revoked, consumed, cleared, .. } = &self.tables;
        revoked.has_forgotten() || consumed.has_forgotten() || cleared.has_forgotten()
    }

    /// Removes some of them.
    pub(in crate::shard) fn forget_some(&mut self) {
        let RowTables { revoked, consumed, cleared, .. } = &mut self.tables;
        let visited = revoked.forget_some() + consumed.forget_some() + cleared.forget_some();
        self.rows_visited.count(visited);
    }

    pub(in crate::shard) fn forget_rest(&mut self) {
        while self.has_forgotten() {
            self.forget_some();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::checkpoint::CHECKPOINT_VERSION;
    use crate::log::fixtures::{Chance, any_message};
    use crate::log::record::bytes::Reader;
    use crate::log::{Record, ThreadLinks};
    use crate::model::{Fact, Limits, Message, MessageId, Position, ShardId, UserId};
    use crate::shard::Windows;
    use crate::shard::rows::segment_times::SegmentTimes;
    use crate::shard::testing::fixtures;
    use std::sync::Arc;

    const HOUR_MS: u64 = 3_600_000;
    const TODAY: Millis = Millis(1_700_000_000_000);

    fn id_of(time: Millis) -> MessageId {
        ConversationTable::first_id_of(time)
    }

    /// A message of another shard's conversation, in segment `segment`.
    fn delivered(state: &mut State, segment: u32, number: u64, time: Millis, fact: Option<Fact>) {
        let message = (*any_message(&mut Chance::new(number))).clone();
        let message = Message { id: id_of(time), server_time: time, fact: fact.map(Arc::new), ..message };
        let record =
            Record::Delivered { source: ShardId(1), number, message: message.into(), links: ThreadLinks::new() };
        state.replay(Position::new(segment, 64), record, ShardId(0));
    }

    #[test]
    fn a_message_that_came_late_stays_revoked_and_consumed_for_as_long_as_its_record_stays() {
        let settings = fixtures::settings(0, 2, Windows::default(), Limits::default());
        let mut state = State::new(&settings);
        let user = UserId::new("ann").expect("well formed");
        let written = Millis(TODAY.0 - 5 * HOUR_MS);
        delivered(&mut state, 1, 1, TODAY, None);
        delivered(&mut state, 2, 2, written, None);
        let revoked = Fact::Revoked { message: id_of(written) };
        delivered(&mut state, 2, 3, TODAY, Some(revoked));
        state.tables.consumed.insert(&user, id_of(written));
        delivered(&mut state, 3, 4, TODAY.plus(9 * HOUR_MS), None);
        let is_known = |state: &State| {
            (state.tables.revoked.contains(id_of(written)), state.tables.consumed.contains(&user, id_of(written)))
        };
        state.forget_before(2);
        state.forget_rest();
        assert_eq!(is_known(&state), (true, true), "its record is in segment 2");
        let mut bytes = Vec::new();
        state.segments.times.put(&mut bytes);
        state.segments.times = SegmentTimes::read(CHECKPOINT_VERSION, &mut Reader::new(&bytes)).expect("as written");
        state.forget_before(2);
        state.forget_rest();
        assert_eq!(is_known(&state), (true, true), "a checkpoint knows as much");
        state.forget_before(3);
        state.forget_rest();
        assert_eq!(is_known(&state), (false, false), "marks of what is gone go too");
    }
}
