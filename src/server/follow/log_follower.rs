//! One follower's place in one shard's log.
//!
//! Owned by one follower and used on a thread that may wait for a disk.

use crate::log::{Damage, ReadMode, Record, SEGMENT_HEADER_BYTES, Segments, View};
use crate::model::{Message, Millis, Position, ShardId};
use crate::server::follow::FollowError;
use crate::server::follow::followed_log::{FollowedLog, LogFiles};
use std::collections::VecDeque;
use std::sync::Arc;

/// The bytes of the shortest record; a segment's rest is zero from the first such place without a record.
const RECORD_BYTES_MIN: usize = 16;
/// Messages of groups that are kept while their members' records are read.
const FANNED_MESSAGES_MAX: usize = 8;

pub struct LogFollower<L = LogFiles> {
    shard: ShardId,
    log: L,
    /// The place of the next record.
    next: Position,
    /// Whether `next` was reached by reading, so that a record begins there or a segment ends.
    is_proven: bool,
    /// The messages of `Record::Fanned` that were read last, the newest at the end.
    fanned: VecDeque<(Position, Arc<Message>)>,
}

/// One record of a log.
pub struct FollowedRecord {
    pub at: Position,
    /// The place behind it.
    pub next: Position,
    pub record: Record,
    /// The message of `Record::Fanned` with a member who was away, unless retention has dropped it.
    pub fanned: Option<Arc<Message>>,
}

/// What a shard publishes of its log's end, for every follower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommittedEnd {
    /// Records that begin before this position are acknowledged.
    pub acknowledged: Position,
    /// All bytes before this position are written, those of every acknowledged record among them.
    pub written: Position,
}

/// How far a read came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadProgress {
    /// Everything that is committed has been read.
    AtEnd,
    /// There is more.
    Budget,
}

impl<L: FollowedLog> LogFollower<L> {
    /// A follower of this shard's log from `next` on.
    pub fn new(log: L, shard: ShardId, next: Position) -> Self {
        Self { shard, log, next, is_proven: false, fanned: VecDeque::new() }
    }

    /// The first record that retention has left.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn oldest(&self) -> Result<Position, FollowError> {
        self.log.oldest().map(first_of)
    }

    /// When this log was created: a log that takes its place was created at another time. `None`: it has no record yet.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn created(&self) -> Result<Option<Millis>, FollowError> {
        self.log.created(self.shard)
    }

    /// The place of the next record: what a cursor says.
    pub fn next(&self) -> Position {
        self.next
    }

    /// Goes on at another place.
    pub fn place(&mut self, next: Position) {
        self.next = next;
        self.is_proven = false;
    }

    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Reads the records that are acknowledged until `visit` has returned a sum of `budget`.
    /// `visit` returns what the record costs.
    ///
    /// # Errors
    ///
    /// The follower cannot go on; what `visit` was given before that holds.
    pub fn read(
        &mut self,
        end: CommittedEnd,
        budget: usize,
        visit: &mut dyn FnMut(FollowedRecord) -> usize,
    ) -> Result<ReadProgress, FollowError> {
        let mut spent = 0;
        if self.next > end.written {
            return Err(FollowError::NotInLog { shard: self.shard, end: end.written });
        }
        let number = self.next.segment();
        if self.log.shown().segments().contains(&number) {
            self.log.show(number, end.written);
        }
        while self.next < end.acknowledged {
            if spent >= budget {
                return Ok(ReadProgress::Budget);
            }
            let Some((record, bytes)) = self.record(end.written)? else {
                self.next = first_of(self.next.segment() + 1);
                continue;
            };
            let fanned = self.fanned_message(&record, end.written)?;
            let (at, next) = (self.next, Position(self.next.0 + bytes as u64));
            self.next = next;
            self.is_proven = true;
            spent += visit(FollowedRecord { at, next, record, fanned }).max(1);
        }
        Ok(ReadProgress::AtEnd)
    }

    /// The record at `next` and its bytes; `None` where the segment ends.
    fn record(&mut self, written: Position) -> Result<Option<(Record, usize)>, FollowError> {
        let (next, number) = (self.next, self.next.segment());
        if !self.log.shown().segments().contains(&number) {
            self.expect_left()?;
            self.log.show(number, written);
        }
        if let Ok(record) = View::new(self.log.shown(), written, ReadMode::Unbounded).read(next) {
            let bytes = record.encoded_bytes();
            return Ok(Some((record, bytes)));
        }
        self.expect_left()?;
        // Nothing is written any more to a segment after which another one was begun.
        if number < written.segment() && self.is_blank() {
            return Ok(None);
        }
        Err(match self.is_proven {
            true => FollowError::Damaged { shard: self.shard, source: Damage { position: next } },
            false => FollowError::NotInLog { shard: self.shard, end: written },
        })
    }

    /// The message that a record has put into inboxes of members who were away.
    fn fanned_message(&mut self, record: &Record, written: Position) -> Result<Option<Arc<Message>>, FollowError> {
        let Record::Fanned { of, links } = record else { return Ok(None) };
        if !links.iter().any(|member| member.link.is_away) {
            return Ok(None);
        }
        if let Some((_, message)) = self.fanned.iter().find(|(position, _)| position == of) {
            return Ok(Some(message.clone()));
        }
        let number = of.segment();
        let read = match self.log.shown().segments().contains(&number) {
            true => View::new(self.log.shown(), written, ReadMode::Unbounded).read(*of),
            false => {
                let mut earlier = self.log.apart();
                earlier.show(number, written);
                View::new(earlier.shown(), written, ReadMode::Unbounded).read(*of)
            }
        };
        let Some(message) = read.ok().and_then(|record| Some(record.message()?.0.clone())) else {
            return match number < self.log.oldest()? {
                true => Ok(None),
                false => Err(FollowError::Damaged { shard: self.shard, source: Damage { position: *of } }),
            };
        };
        if self.fanned.len() == FANNED_MESSAGES_MAX {
            self.fanned.pop_front();
        }
        self.fanned.push_back((*of, message.clone()));
        Ok(Some(message))
    }

    /// Whether retention has left the segment of `next`.
    fn expect_left(&self) -> Result<(), FollowError> {
        let oldest = self.log.oldest()?;
        match self.next.segment() < oldest {
            true => Err(FollowError::Expired { shard: self.shard, oldest }),
            false => Ok(()),
        }
    }

    /// Whether no record was ever written at `next`.
    fn is_blank(&self) -> bool {
        let (number, offset) = (self.next.segment(), self.next.offset() as usize);
        let segments = self.log.shown();
        if !segments.is_readable(number, offset..offset + RECORD_BYTES_MIN) {
            return false;
        }
        let rest = segments.bytes(number).get(offset..).unwrap_or_default();
        rest.len() < RECORD_BYTES_MIN || rest[..RECORD_BYTES_MIN].iter().all(|byte| *byte == 0)
    }
}

fn first_of(segment: u32) -> Position {
    Position::new(segment, SEGMENT_HEADER_BYTES as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Journal, MemoryStorage};
    use crate::server::data::directory::shard_path;
    use tempfile::TempDir;

    const SEGMENT_BYTES: u32 = 4_096;
    const NOW: Millis = Millis(1_700_000_000_000);

    /// A log of some segments in files, and where each of its numbered records stands.
    struct Written {
        home: TempDir,
        journal: Journal<MemoryStorage>,
        places: Vec<Position>,
    }

    impl Written {
        fn new(records: u64) -> Self {
            let home = tempfile::tempdir().expect("a directory");
            std::fs::create_dir(shard_path(home.path(), ShardId(0))).expect("made");
            let storage = MemoryStorage::new(SEGMENT_BYTES, 64);
            let (journal, _) = Journal::open(storage, ShardId(0), NOW, None, |_, _| ()).expect("a new log");
            let mut written = Self { home, journal, places: Vec::new() };
            (1..=records).for_each(|number| written.append(number));
            written
        }

        fn append(&mut self, through: u64) {
            self.places.push(self.journal.append(&Record::Confirmed { target: ShardId(1), through }));
            self.store();
        }

        fn store(&self) {
            let directory = shard_path(self.home.path(), ShardId(0));
            for number in self.journal.segments() {
                let path = crate::server::disk::segment::path(&directory, number);
                std::fs::write(path, self.journal.storage().bytes(number)).expect("written");
            }
        }

        fn follower(&self, next: Position) -> LogFollower {
            LogFollower::new(LogFiles::new(self.home.path(), ShardId(0), SEGMENT_BYTES), ShardId(0), next)
        }

        fn end(&self) -> CommittedEnd {
            CommittedEnd { acknowledged: self.journal.end(), written: self.journal.end() }
        }
    }

    /// The numbers that a follower meets, and how its reading ended.
    fn met(
        follower: &mut LogFollower,
        end: CommittedEnd,
        budget: usize,
    ) -> (Vec<u64>, Result<ReadProgress, FollowError>) {
        let mut numbers = Vec::new();
        let progress = follower.read(end, budget, &mut |followed| {
            if let Record::Confirmed { through, .. } = followed.record {
                numbers.push(through);
            }
            1
        });
        (numbers, progress)
    }

    #[test]
    fn records_are_met_once_and_in_order_over_segments_in_pieces_of_any_size() {
        let mut written = Written::new(300);
        assert!(written.journal.end().segment() >= 3);
        for budget in [1, 7, 1_000] {
            let mut follower = written.follower(written.follower(Position::NONE).oldest().expect("listed"));
            let mut all = Vec::new();
            loop {
                let (numbers, progress) = met(&mut follower, written.end(), budget);
                all.extend(numbers);
                match progress.expect("it goes on") {
                    ReadProgress::AtEnd => break,
                    ReadProgress::Budget => follower = written.follower(follower.next()),
                }
            }
            assert!(all.iter().copied().eq(1..=300), "{budget}");
        }
        let mut follower = written.follower(written.end().written);
        assert!(met(&mut follower, written.end(), 9).0.is_empty());
        (301..=450).for_each(|number| written.append(number));
        assert!(met(&mut follower, written.end(), 1_000).0.into_iter().eq(301..=450), "what came behind it");
    }

    #[test]
    fn nothing_is_read_that_is_not_acknowledged() {
        let written = Written::new(20);
        let acknowledged = Position(written.places[9].0 + 1);
        let mut follower = written.follower(written.follower(Position::NONE).oldest().expect("listed"));
        let (numbers, progress) = met(&mut follower, CommittedEnd { acknowledged, ..written.end() }, 1_000);
        assert!(numbers.into_iter().eq(1..=10) && matches!(progress, Ok(ReadProgress::AtEnd)));
        assert_eq!(met(&mut follower, written.end(), 1_000).0.len(), 10);
    }

    #[test]
    fn a_cursor_that_is_no_record_is_told_from_damage_and_from_what_retention_dropped() {
        let written = Written::new(300);
        let ended = |next: Position| met(&mut written.follower(next), written.end(), 1_000).1;
        for next in [
            Position(written.places[3].0 + 8),
            Position(written.places[3].0 + 1),
            Position(written.end().written.0 + 64),
            Position::new(written.end().written.segment() + 5, 64),
            Position::new(1, 8),
        ] {
            assert!(matches!(ended(next), Err(FollowError::NotInLog { .. })), "{next:?}");
        }
        let directory = shard_path(written.home.path(), ShardId(0));
        std::fs::remove_file(crate::server::disk::segment::path(&directory, 1)).expect("removed");
        assert!(matches!(ended(written.places[0]), Err(FollowError::Expired { oldest: 2, .. })));

        let broken = written.places[200];
        let path = crate::server::disk::segment::path(&directory, broken.segment());
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[broken.offset() as usize + 20] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        let (numbers, progress) = met(&mut written.follower(written.places[190]), written.end(), 1_000);
        assert!(numbers.into_iter().eq(191..=200), "what stands before it is told");
        let Err(FollowError::Damaged { source, .. }) = progress else { panic!("{progress:?}") };
        assert_eq!(source.position, broken);
    }
}
