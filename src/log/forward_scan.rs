//! Reads a log forwards from any record, for readers of records to which no link leads.
//!
//! Invariant: every record returned has its CRC right. An unreadable record hides the rest of its segment, because the
//! start of the next record is unknown.

use super::segment::SEGMENT_HEADER_BYTES;
use super::{Record, Segments, View};
use crate::model::Position;

/// An iterator over records, in order, from one position on.
pub struct Onward<'a, S> {
    view: View<'a, S>,
    /// The position of the next record, unless it is in a later segment.
    next: Position,
}

impl<'a, S: Segments> View<'a, S> {
    /// The records from `from` on, where a record must begin; `Position::NONE`: all records.
    pub fn onward(self, from: Position) -> Onward<'a, S> {
        let first = Position::new(self.segments().start, SEGMENT_HEADER_BYTES as u32);
        Onward { view: self, next: from.max(first) }
    }

    /// The position from which to read in order to meet every record for which `number_of` returns more than `after`.
    /// Such numbers ascend along the log; for other records `number_of` returns `None`.
    pub fn before_numbers_above(self, after: u64, number_of: impl Fn(&Record) -> Option<u64>) -> Position {
        for segment in self.segments().rev() {
            let begin = Position::new(segment, SEGMENT_HEADER_BYTES as u32);
            let mut here = self.onward(begin).take_while(|(position, _)| position.segment() == segment);
            if here.find_map(|(_, record)| number_of(&record)).is_some_and(|first| first <= after) {
                return begin;
            }
        }
        Position::NONE
    }
}

impl<S: Segments> Onward<'_, S> {
    /// The position of the record that comes next.
    pub fn position(&self) -> Position {
        self.next
    }
}

impl<S: Segments> Iterator for Onward<'_, S> {
    type Item = (Position, Record);

    fn next(&mut self) -> Option<Self::Item> {
        while self.view.segments().contains(&self.next.segment()) && self.next < self.view.end() {
            let position = self.next;
            let record = self.view.read(position).ok();
            let bytes = record.as_ref().map(Record::encoded_bytes);
            match (record, bytes) {
                (Some(record), Some(bytes)) => {
                    self.next = Position(position.0 + bytes as u64);
                    return Some((position, record));
                }
                _ => self.next = Position::new(position.segment() + 1, SEGMENT_HEADER_BYTES as u32),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::fixtures;
    use crate::log::{MemoryStorage, ReadMode};
    use crate::model::ShardId;

    const SEGMENT_BYTES: u32 = 1 << 10;

    fn number_of(record: &Record) -> Option<u64> {
        match record {
            Record::Confirmed { through, .. } => Some(*through),
            _ => None,
        }
    }

    #[test]
    fn records_are_met_from_anywhere_on_to_the_end() {
        let (mut journal, _) = fixtures::open(MemoryStorage::new(SEGMENT_BYTES, 40)).expect("a new log");
        let mut written = Vec::new();
        for through in 1..=100 {
            let record = Record::Confirmed { target: ShardId(1), through };
            written.push((journal.append(&record), through));
            journal.append(&Record::Issued { message: crate::model::MessageId(through) });
            journal.seal();
        }
        assert!(journal.end().segment() > 4);
        let view = journal.view(ReadMode::Unbounded);
        let numbered = |from| view.onward(from).filter_map(|(at, record)| Some((at, number_of(&record)?)));
        assert_eq!(numbered(Position::NONE).collect::<Vec<_>>(), written);
        for after in 0..=101 {
            let from = view.before_numbers_above(after, number_of);
            let met: Vec<u64> = numbered(from).map(|(_, number)| number).collect();
            assert!(met.ends_with(&(after + 1..=100).collect::<Vec<_>>()), "{after}: {met:?}");
            assert!(after == 0 || met.len() as u64 <= 100 - after.min(100) + 30, "no further back than a segment");
        }
        let (middle, _) = written[50];
        assert_eq!(numbered(middle).collect::<Vec<_>>(), written[50..]);
    }

    #[test]
    fn what_cannot_be_read_hides_the_rest_of_its_segment_and_no_more() {
        let (mut journal, _) = fixtures::open(MemoryStorage::new(SEGMENT_BYTES, 40)).expect("a new log");
        let record = |through| Record::Confirmed { target: ShardId(1), through };
        let written: Vec<_> = (1..=60).map(|through| journal.append(&record(through))).collect();
        let broken = written[5];
        journal.storage_mut().flip(Position(broken.0 + 24), 1);
        let first_behind = written.iter().position(|at| at.segment() > broken.segment()).expect("more segments");
        let met: Vec<Position> = journal.view(ReadMode::Unbounded).onward(Position::NONE).map(|(at, _)| at).collect();
        let expected = written[..5].iter().chain(&written[first_behind..]);
        assert!(expected.copied().eq(met.into_iter().filter(|at| written.contains(at))));
    }
}
