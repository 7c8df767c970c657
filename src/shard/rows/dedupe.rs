//! The client message ids that an author has used recently, and the records with the replies that they got (PROTOCOL
//! 2.4).
//!
//! Lives on the author's shard. A row has 24 bytes; the message and its reply are read back from the log. Rows are in
//! two generations, each as long as the window, so the window is always complete; an expired generation is freed in
//! parts. During a replay windows are measured by the dates of messages, as far as these show elapsed time; afterwards
//! by elapsed time, whatever the wall clock shows.

use crate::log::record::bytes::{Put, Reader};
use crate::model::{Millis, Moment, Position, Steady};
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::table::hash_table::Table;

type DedupeGeneration = Table<Position>;

/// Parts of a generation that one turn frees.
const PARTS_A_TURN_MAX: usize = 16;
/// The most elapsed time that the dates of two consecutive messages prove: a larger difference may mean that nobody
/// wrote or that the clock was set. So a clock that is set ahead and back does not shorten a window.
const STEP_MS_MAX: i64 = 10_000;

pub(in crate::shard) struct Dedupe {
    window_ms: u64,
    current: DedupeGeneration,
    previous: DedupeGeneration,
    /// Expired: nothing is searched in it any more.
    retired: DedupeGeneration,
    /// The age of the current generation by the dates in the log, and the last of these dates.
    passed_ms: u64,
    latest: Option<Millis>,
    /// When the current generation ends; `None` while the log is read.
    ends: Option<Steady>,
}

impl Dedupe {
    pub fn new(window_ms: u64) -> Self {
        Self {
            window_ms,
            current: DedupeGeneration::default(),
            previous: DedupeGeneration::default(),
            retired: DedupeGeneration::default(),
            passed_ms: 0,
            latest: None,
            ends: None,
        }
    }

    /// For a checkpoint: how old the current generation is, then the rows of both.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.passed_ms);
        for generation in [&self.current, &self.previous] {
            generation.put(out, |record, out| out.put_u64(record.0));
        }
    }

    pub fn read(window_ms: u64, reader: &mut Reader<'_>) -> Option<Self> {
        let passed_ms = reader.u64()?.min(window_ms);
        let mut generation = || DedupeGeneration::read(reader, |reader| reader.u64().map(Position));
        Some(Self {
            window_ms,
            current: generation()?,
            previous: generation()?,
            retired: DedupeGeneration::default(),
            passed_ms,
            latest: None,
            ends: None,
        })
    }

    /// The record of the message that has this key. It may be older than the window: the record's time decides.
    #[inline]
    pub fn find(&self, key: Fingerprint) -> Option<Position> {
        self.current.find(key).or_else(|| self.previous.find(key))
    }

    /// A message dated `time` has this key. Records come in the order of the log.
    pub fn remember(&mut self, key: Fingerprint, record: Position, time: Millis) {
        if self.ends.is_none() {
            self.pass(time);
        }
        self.current.insert(key, record);
    }

    /// The log has been read: from now on windows are measured by elapsed time. A clock that cannot be trusted does not
    /// show how long nobody has written.
    pub fn wake(&mut self, now: Moment, trusts_dates: bool) {
        let silent_ms = self.latest.filter(|_| trusts_dates).map_or(0, |latest| now.wall.since(latest));
        let left_ms = self.window_ms.saturating_sub(self.passed_ms).saturating_sub(silent_ms);
        self.ends = Some(now.steady.plus(left_ms));
    }

    /// The message at `record`, which had this key, is too old to be repeated. A newer one of the same key stays.
    pub fn forget(&mut self, key: Fingerprint, record: Position) {
        for generation in [&mut self.current, &mut self.previous] {
            if generation.find(key) == Some(record) {
                generation.remove(key);
            }
        }
    }

    /// Forgets what is older than two windows at the most, and never what is younger than one. Before each input: what
    /// an input remembers belongs to a generation that has not ended.
    pub fn rotate(&mut self, now: Steady) {
        match self.ends {
            Some(ends) if ends <= now || self.is_empty() => {
                if ends <= now {
                    self.turn_over(now.since(ends) >= self.window_ms);
                }
                self.ends = Some(now.plus(self.window_ms));
            }
            _ => {}
        }
    }

    /// The replay has reached a message of this date.
    fn pass(&mut self, time: Millis) {
        let step_ms = time.0.cast_signed().saturating_sub(self.latest.unwrap_or(time).0.cast_signed());
        self.latest = Some(time);
        self.passed_ms = self.passed_ms.saturating_add_signed(step_ms.clamp(-STEP_MS_MAX, STEP_MS_MAX));
        if self.passed_ms >= self.window_ms {
            self.turn_over(false);
            self.passed_ms = 0;
        }
    }

    fn turn_over(&mut self, is_all_old: bool) {
        let current = std::mem::take(&mut self.current);
        let (previous, over) =
            if is_all_old { (DedupeGeneration::default(), current) } else { (current, DedupeGeneration::default()) };
        // The rest of the retired generation is freed at once: it has had a whole window to be freed in parts.
        let before = std::mem::replace(&mut self.previous, previous);
        self.retired = if is_all_old { over } else { before };
    }

    /// Frees some parts of the retired generation; returns whether more are left.
    pub fn drop_some(&mut self) -> bool {
        self.retired.drop_some(PARTS_A_TURN_MAX)
    }

    pub fn len(&self) -> usize {
        self.current.len() + self.previous.len()
    }

    fn is_empty(&self) -> bool {
        self.current.is_empty() && self.previous.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClientMessageId, UserId};
    use crate::shard::table::fingerprint::Fingerprints;

    fn key(id: &str) -> Fingerprint {
        let author = UserId::new("alice").expect("well formed");
        Fingerprints::new(7).of_client_message(&author, &ClientMessageId::new(id).expect("well formed"))
    }

    #[test]
    fn a_row_is_kept_for_a_whole_window_and_gone_after_two() {
        let mut dedupe = Dedupe::new(1_000);
        dedupe.remember(key("early"), Position(1), Millis(0));
        dedupe.remember(key("late"), Position(2), Millis(999));
        let at = |steady: u64| Moment { wall: Millis(steady), steady: Steady(7_000 + steady) };
        dedupe.wake(at(999), true);
        dedupe.rotate(at(1_998).steady);
        assert_eq!(dedupe.find(key("late")), Some(Position(2)), "999 ms old");
        dedupe.rotate(at(2_998).steady);
        assert_eq!((dedupe.find(key("early")), dedupe.find(key("late"))), (None, None));
        assert_eq!(dedupe.len(), 0);
    }

    #[test]
    fn a_generation_that_is_over_is_given_back_a_part_at_a_time_and_found_no_more() {
        let mut dedupe = Dedupe::new(1_000);
        (0..5_000).for_each(|id: u32| dedupe.remember(key(&id.to_string()), Position(1), Millis(0)));
        dedupe.wake(Moment::told(Millis(0)), true);
        dedupe.rotate(Steady(1_000));
        dedupe.rotate(Steady(2_000));
        assert_eq!((dedupe.len(), dedupe.find(key("7"))), (0, None));
        let steps = (1..).take_while(|_| dedupe.drop_some()).count();
        assert!((10..=300).contains(&steps), "{steps} steps");
    }

    #[test]
    fn a_clock_that_was_ahead_in_the_log_forgets_nothing_for_longer_and_nothing_too_early() {
        let mut dedupe = Dedupe::new(1_000);
        for (position, time) in [(1, 90_000), (2, 10_000), (3, 10_400)] {
            dedupe.remember(key(&position.to_string()), Position(position), Millis(time));
        }
        assert_eq!(dedupe.find(key("3")), Some(Position(3)));
        dedupe.remember(key("4"), Position(4), Millis(11_000));
        dedupe.remember(key("5"), Position(5), Millis(12_000));
        assert_eq!((dedupe.find(key("1")), dedupe.find(key("4"))), (None, Some(Position(4))), "windows go on");
        dedupe.wake(Moment { wall: Millis(5), steady: Steady(1) }, false);
        dedupe.rotate(Steady(1_000));
        assert_eq!(dedupe.find(key("5")), Some(Position(5)), "a whole window by elapsed time");
        dedupe.rotate(Steady(2_001));
        dedupe.rotate(Steady(3_001));
        assert_eq!(dedupe.len(), 0, "and no longer than two");
    }

    #[test]
    fn a_clock_that_was_set_ahead_again_and_again_in_the_log_forgets_nothing_that_is_young() {
        let hour_ms = 3_600_000;
        let mut dedupe = Dedupe::new(hour_ms);
        for n in 0..50 {
            let ahead_ms = if n % 2 == 0 { 0 } else { 30 * 24 * hour_ms };
            dedupe.remember(key(&n.to_string()), Position(n), Millis(ahead_ms + n));
        }
        dedupe.wake(Moment { wall: Millis(50), steady: Steady(1) }, true);
        assert_eq!(dedupe.find(key("0")), Some(Position(0)), "50 ms old");
        dedupe.rotate(Steady(2 * hour_ms));
        dedupe.rotate(Steady(4 * hour_ms));
        assert_eq!(dedupe.len(), 0);
    }

    #[test]
    fn a_long_silence_forgets_both_generations() {
        let mut dedupe = Dedupe::new(1_000);
        dedupe.remember(key("one"), Position(1), Millis(0));
        dedupe.wake(Moment::told(Millis(0)), true);
        dedupe.rotate(Steady(50_000));
        assert_eq!(dedupe.len(), 0);
    }
}
