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
}

/// A search of a log, in steps of some records, for the records with a number above a given one. The numbers ascend
/// along the log.
#[derive(Clone, Copy, Debug)]
pub struct LogScan {
    after: u64,
    /// The segment whose first number is read next: from the newest one back to one that begins early enough.
    back_in: Option<u32>,
    next: Position,
}

fn beginning_of(segment: u32) -> Position {
    Position::new(segment, SEGMENT_HEADER_BYTES as u32)
}

impl LogScan {
    /// A search for numbers above `after` in a log whose newest segment is `newest`.
    pub fn new(after: u64, newest_segment: u32) -> Self {
        Self { after, back_in: Some(newest_segment), next: beginning_of(newest_segment) }
    }

    /// Continues until `take` or `is_enough` stops it. Returns whether the end of the log is reached. For records
    /// without such a number `number_of` returns `None`.
    pub fn go_on<S: Segments>(
        &mut self,
        view: View<'_, S>,
        number_of: impl Fn(&Record) -> Option<u64>,
        is_enough: impl Fn() -> bool,
        mut take: impl FnMut(u64, Position, Record) -> bool,
    ) -> bool {
        while !is_enough() {
            let mut onward = view.onward(self.next);
            let found = onward.next();
            self.next = onward.position();
            match (self.back_in, found) {
                (None, None) => return true,
                (None, Some((position, record))) => {
                    let number = number_of(&record).filter(|number| *number > self.after);
                    if number.is_some_and(|number| take(number, position, record)) {
                        return false;
                    }
                }
                (Some(segment), found) => {
                    let here = found.filter(|(position, _)| position.segment() == segment);
                    match here.map(|(_, record)| number_of(&record)) {
                        Some(None) => {}
                        Some(Some(first)) if first <= self.after => self.read_on_from(beginning_of(segment)),
                        _ => self.look_before(segment, view.segments().start),
                    }
                }
            }
        }
        false
    }

    fn read_on_from(&mut self, position: Position) {
        (self.back_in, self.next) = (None, position);
    }

    fn look_before(&mut self, segment: u32, oldest: u32) {
        match segment.checked_sub(1).filter(|before| *before >= oldest) {
            Some(before) => (self.back_in, self.next) = (Some(before), beginning_of(before)),
            None => self.read_on_from(Position::NONE),
        }
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
        let (middle, _) = written[50];
        assert_eq!(numbered(middle).collect::<Vec<_>>(), written[50..]);
        for after in 0..=101 {
            let mut scan = LogScan::new(after, journal.end().segment());
            let (mut met, mut is_ended) = (Vec::new(), false);
            for step in 0.. {
                let read = std::cell::Cell::new(0);
                let is_enough = || read.replace(read.get() + 1) == 20;
                is_ended |= scan.go_on(view, number_of, is_enough, |number, position, _| {
                    met.push((position, number));
                    met.len() % 7 == 0
                });
                if is_ended {
                    assert!(met.len() <= 20 * (step + 1), "a part at a time");
                    break;
                }
            }
            assert_eq!(met, written.iter().copied().filter(|(_, through)| *through > after).collect::<Vec<_>>());
        }
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
