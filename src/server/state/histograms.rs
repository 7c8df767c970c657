//! A shard's histograms, and the measurement of how long messages take from their arrival to their acknowledgement.
//!
//! Owned by one reactor, which publishes copies. Invariant: nothing is measured for each message. A turn has one reading
//! of the clock; the messages that it wrote share it, and so do those that a sync acknowledges.

use crate::model::{Histogram, Position};
use crate::server::base::clock::micros;
use std::collections::VecDeque;
use std::time::Duration;

/// What one shard has measured since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardHistograms {
    /// Turns that had work, in microseconds.
    pub turn_us: Histogram,
    /// Syncs of the log, in microseconds.
    pub sync_us: Histogram,
    /// Records that somebody waited for, in each sync.
    pub sync_records: Histogram,
    /// From the beginning of the turn that accepted messages to the end of the one that acknowledged them, in
    /// microseconds.
    pub commit_us: Histogram,
    /// The same of messages of other shards' conversations: from their arrival here to the end of the turn that pushed
    /// them.
    pub delivery_us: Histogram,
    /// From the beginning of the turn that sent a batch to this shard to that of the turn that took it, in microseconds.
    pub lane_us: Histogram,
    /// Bytes queued for a connection, each seen once in a sweep.
    pub outbox_bytes: Histogram,
    /// From the acceptance of messages to their pushes to sessions of this shard, in milliseconds.
    pub push_ms: Histogram,
}

impl ShardHistograms {
    pub fn add(&mut self, other: &Self) {
        for (sum, added) in [
            (&mut self.turn_us, &other.turn_us),
            (&mut self.sync_us, &other.sync_us),
            (&mut self.sync_records, &other.sync_records),
            (&mut self.commit_us, &other.commit_us),
            (&mut self.delivery_us, &other.delivery_us),
            (&mut self.lane_us, &other.lane_us),
            (&mut self.outbox_bytes, &other.outbox_bytes),
            (&mut self.push_ms, &other.push_ms),
        ] {
            sum.add(added);
        }
    }
}

/// Messages that are written and not acknowledged, by the turns that wrote them, oldest first.
#[derive(Debug, Default)]
pub struct UnacknowledgedTurns {
    turns: VecDeque<WrittenTurn>,
    /// Messages accepted and messages taken of other shards, as of the last turn.
    written: (u64, u64),
}

#[derive(Clone, Copy, Debug)]
struct WrittenTurn {
    /// When it began.
    at: Duration,
    /// The end of the log after it.
    end: Position,
    accepted: u64,
    taken: u64,
}

impl UnacknowledgedTurns {
    /// Notes what a turn that began at `at` has written: `written` are the shard's messages since the start.
    #[inline]
    pub fn wrote(&mut self, at: Duration, end: Position, written: (u64, u64)) {
        if written == self.written {
            return;
        }
        let (accepted, taken) = (written.0 - self.written.0, written.1 - self.written.1);
        self.written = written;
        self.turns.push_back(WrittenTurn { at, end, accepted, taken });
    }

    /// Measures what is acknowledged by now.
    #[inline]
    pub fn acknowledged(&mut self, now: Duration, through: Position, into: &mut ShardHistograms) {
        while let Some(turn) = self.turns.front().filter(|turn| turn.end <= through) {
            let took_us = micros(now.saturating_sub(turn.at));
            into.commit_us.note_many(took_us, turn.accepted);
            into.delivery_us.note_many(took_us, turn.taken);
            self.turns.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn messages_wait_from_their_own_turn_to_the_sync_that_covers_them() {
        let (mut waiting, mut measured) = (UnacknowledgedTurns::default(), ShardHistograms::default());
        waiting.wrote(at(100), Position::new(1, 64), (3, 0));
        waiting.wrote(at(200), Position::new(1, 64), (3, 0));
        waiting.wrote(at(300), Position::new(1, 128), (4, 2));
        waiting.acknowledged(at(400), Position::new(1, 32), &mut measured);
        assert_eq!(measured, ShardHistograms::default(), "nothing is acknowledged");
        waiting.acknowledged(at(1_100), Position::new(1, 64), &mut measured);
        assert_eq!((measured.commit_us.count(), measured.commit_us.sum()), (3, 3 * 1_000));
        waiting.acknowledged(at(2_300), Position::new(2, 0), &mut measured);
        assert_eq!((measured.commit_us.count(), measured.commit_us.sum()), (4, 3 * 1_000 + 2_000));
        assert_eq!((measured.delivery_us.count(), measured.delivery_us.sum()), (2, 2 * 2_000));
        assert!(waiting.turns.is_empty());
    }
}
