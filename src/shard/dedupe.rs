//! Which client message ids an author has used lately, and where the log has the answer that each got (PROTOCOL 2.4).
//!
//! Lives on the author's shard. A row is 24 bytes; the message and its answer are read back from the log. Rows are kept
//! in two generations, each as long as the window, so that the window is always whole; one that is over gives back its
//! memory a part at a time.

use super::fingerprint::Fingerprint;
use super::table::Table;
use crate::log::bytes::{Put, Reader};
use crate::model::{Millis, Position};

type Generation = Table<Position>;

/// Parts of a generation that one tick gives back.
const PARTS_A_TURN_MAX: usize = 16;

pub(super) struct Dedupe {
    window_ms: u64,
    current: Generation,
    previous: Generation,
    /// Over, and not found in any more.
    retired: Generation,
    /// When the current generation began; `None` until the first row.
    began: Option<Millis>,
}

impl Dedupe {
    pub fn new(window_ms: u64) -> Self {
        Self {
            window_ms,
            current: Generation::default(),
            previous: Generation::default(),
            retired: Generation::default(),
            began: None,
        }
    }

    /// For a checkpoint: when the current generation began (0: not yet), then the rows of both.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.began.map_or(0, |began| began.0));
        for generation in [&self.current, &self.previous] {
            generation.put(out, |record, out| out.put_u64(record.0));
        }
    }

    pub fn read(window_ms: u64, reader: &mut Reader<'_>) -> Option<Self> {
        let began = Some(Millis(reader.u64()?)).filter(|began| began.0 > 0);
        let mut generation = || Generation::read(reader, |reader| reader.u64().map(Position));
        Some(Self { window_ms, current: generation()?, previous: generation()?, retired: Generation::default(), began })
    }

    /// The record of the message that has this key. It may be older than the window: the record's time decides.
    pub fn find(&self, key: Fingerprint) -> Option<Position> {
        self.current.find(key).or_else(|| self.previous.find(key))
    }

    /// A message taken at `time` has this key. Times come in the order of the log.
    pub fn remember(&mut self, key: Fingerprint, record: Position, time: Millis) {
        self.rotate(time);
        self.began.get_or_insert(time);
        self.current.insert(key, record);
    }

    /// The message at `record`, which had this key, is too old to be repeated. A newer one of the same key stays.
    pub fn forget(&mut self, key: Fingerprint, record: Position) {
        for generation in [&mut self.current, &mut self.previous] {
            if generation.find(key) == Some(record) {
                generation.remove(key);
            }
        }
    }

    /// Forgets what is older than two windows at the most, and never what is younger than one.
    pub fn rotate(&mut self, now: Millis) {
        let Some(began) = self.began else { return };
        let age_ms = now.since(began);
        if age_ms < self.window_ms {
            return;
        }
        let current = std::mem::take(&mut self.current);
        let is_over = age_ms >= 2 * self.window_ms;
        let (previous, over) =
            if is_over { (Generation::default(), current) } else { (current, Generation::default()) };
        // What has not been given back by now, a window later, goes at once: it is little, or the window is.
        let before = std::mem::replace(&mut self.previous, previous);
        self.retired = if is_over { over } else { before };
        self.began = Some(now);
    }

    /// A turn's share of what forgetting takes; whether there is more.
    pub fn drop_some(&mut self) -> bool {
        self.retired.drop_some(PARTS_A_TURN_MAX)
    }

    pub fn len(&self) -> usize {
        self.current.len() + self.previous.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint::Fingerprints;
    use super::*;
    use crate::model::{ClientMessageId, UserId};

    fn key(id: &str) -> Fingerprint {
        let author = UserId::new("alice").expect("well formed");
        Fingerprints::new(7).of_client_message(&author, &ClientMessageId::new(id).expect("well formed"))
    }

    #[test]
    fn a_row_is_kept_for_a_whole_window_and_gone_after_two() {
        let mut dedupe = Dedupe::new(1_000);
        dedupe.remember(key("early"), Position(1), Millis(0));
        dedupe.remember(key("late"), Position(2), Millis(999));
        dedupe.rotate(Millis(1_998));
        assert_eq!(dedupe.find(key("late")), Some(Position(2)), "999 ms old");
        dedupe.rotate(Millis(2_998));
        assert_eq!((dedupe.find(key("early")), dedupe.find(key("late"))), (None, None));
        assert_eq!(dedupe.len(), 0);
    }

    #[test]
    fn a_generation_that_is_over_is_given_back_a_part_at_a_time_and_found_no_more() {
        let mut dedupe = Dedupe::new(1_000);
        (0..5_000).for_each(|id: u32| dedupe.remember(key(&id.to_string()), Position(1), Millis(0)));
        dedupe.rotate(Millis(1_000));
        dedupe.rotate(Millis(2_000));
        assert_eq!((dedupe.len(), dedupe.find(key("7"))), (0, None));
        let steps = (1..).take_while(|_| dedupe.drop_some()).count();
        assert!((10..=300).contains(&steps), "{steps} steps");
    }

    #[test]
    fn a_long_silence_forgets_both_generations() {
        let mut dedupe = Dedupe::new(1_000);
        dedupe.remember(key("one"), Position(1), Millis(0));
        dedupe.rotate(Millis(50_000));
        assert_eq!(dedupe.len(), 0);
    }
}
