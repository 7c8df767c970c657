//! The events of all logs from a cursor on: what an event stream and a webhook read from.
//!
//! Owned by one stream or webhook and used on a thread that may wait for a disk. Invariant: the cursor of an event stands
//! behind it, so whoever goes on from the last cursor that it has handled misses nothing and gets nothing twice.

use crate::model::{Position, ShardId};
use crate::server::Manifest;
use crate::server::event::filter::EventFilter;
use crate::server::event::log_event::LogEvent;
use crate::server::follow::FollowError;
use crate::server::follow::cursor::{Cursor, LogsId};
use crate::server::follow::erased_users::ErasedUsers;
use crate::server::follow::followed_log::{FollowedLog, LogFiles};
use crate::server::follow::log_follower::{CommittedEnd, FollowedRecord, LogFollower, ReadProgress};
use std::path::Path;
use std::sync::Arc;

/// What a record costs that has no event for this reader.
const PASSED_OVER_BYTES: usize = 64;

pub struct EventReader<L = LogFiles> {
    followers: Vec<LogFollower<L>>,
    cursor: Cursor,
    filter: EventFilter,
    erased: Arc<ErasedUsers>,
    /// Events of each log's next record that come before the cursor.
    told: Vec<usize>,
    /// The shard at which the next look begins, so that one busy shard leaves room for the others.
    turn: usize,
}

/// The logs of all shards of one data directory.
pub struct LogSet<'a, L> {
    pub logs: Vec<L>,
    pub manifest: &'a Manifest,
    /// How far each log was committed when the reader is opened.
    pub ends: &'a [CommittedEnd],
}

/// Where a reader begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// With everything that retention has left.
    Oldest,
    /// With what is written to the logs from now on.
    Now,
    After(Cursor),
}

/// What a reader is told of each event, and how much it may cost.
pub trait EventVisitor {
    /// Takes an event, with the cursor behind it. Returns what the event costs.
    fn visit(&mut self, event: LogEvent<'_>, cursor: &str, shard: ShardId) -> usize;
}

/// How far a look at the logs came. What was visited holds, also where some log cannot be followed on.
#[derive(Debug)]
pub struct Look {
    pub progress: ReadProgress,
    /// The logs that failed; the others were read.
    pub failures: Vec<FollowError>,
}

impl EventReader {
    /// # Errors
    ///
    /// The data directory cannot be read, or a cursor is of other logs.
    pub fn open(
        data_dir: &Path,
        ends: &[CommittedEnd],
        from: ReadFrom,
        filter: EventFilter,
        erased: Arc<ErasedUsers>,
    ) -> Result<Self, FollowError> {
        let manifest = Manifest::load(data_dir).map_err(|error| FollowError::Manifest(error.to_string()))?;
        let manifest = manifest.ok_or_else(|| FollowError::Manifest("there is none".to_owned()))?;
        let files = |(shard, _end)| LogFiles::new(data_dir, ShardId(shard), manifest.segment_bytes);
        let logs = (0..).zip(ends).map(files).collect();
        Self::over(LogSet { logs, manifest: &manifest, ends }, from, filter, erased)
    }
}

impl<L: FollowedLog> EventReader<L> {
    /// A reader of these logs, which are those of the manifest's data directory.
    ///
    /// # Errors
    ///
    /// A log cannot be read, or a cursor is of other logs.
    pub fn over(
        LogSet { logs, manifest, ends }: LogSet<'_, L>,
        from: ReadFrom,
        filter: EventFilter,
        erased: Arc<ErasedUsers>,
    ) -> Result<Self, FollowError> {
        let follower = |(shard, log)| LogFollower::new(log, ShardId(shard), Position::NONE);
        let mut followers: Vec<LogFollower<L>> = (0..).zip(logs).map(follower).collect();
        let created = followers.iter().map(LogFollower::created).collect::<Result<Vec<_>, _>>()?;
        let logs = LogsId::of(manifest, &created);
        let next: Vec<Position> = match from {
            ReadFrom::Now => ends.iter().map(|end| end.written).collect(),
            ReadFrom::Oldest => followers.iter().map(LogFollower::oldest).collect::<Result<_, _>>()?,
            ReadFrom::After(cursor) if cursor.logs == logs && cursor.next.len() == ends.len() => cursor.next,
            ReadFrom::After(_) => return Err(FollowError::Superseded),
        };
        let (begin, told): (Vec<_>, Vec<_>) = next.iter().copied().map(Cursor::split).unzip();
        followers.iter_mut().zip(begin).for_each(|(follower, begin)| follower.place(begin));
        Ok(Self { followers, cursor: Cursor { logs, next }, filter, erased, told, turn: 0 })
    }

    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Goes on in one shard's log at another place than its cursor's, which cannot be followed any more.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn place_anew(&mut self, shard: ShardId, next: Option<Position>) -> Result<(), FollowError> {
        let follower = &mut self.followers[usize::from(shard.0)];
        let next = next.map_or_else(|| follower.oldest(), Ok)?;
        follower.place(next);
        self.told[usize::from(shard.0)] = 0;
        self.cursor.set(shard, next);
        Ok(())
    }

    /// Reads what is committed until the events and the records that were passed over have cost `budget`.
    pub fn look(&mut self, ends: &[CommittedEnd], budget: usize, visitor: &mut dyn EventVisitor) -> Look {
        let mut look = Look { progress: ReadProgress::AtEnd, failures: Vec::new() };
        let Self { followers, cursor, filter, erased, told, turn } = self;
        let (shards, mut left) = (followers.len(), budget);
        let first = *turn;
        for index in (0..shards).map(|step| (first + step) % shards) {
            if left == 0 {
                look.progress = ReadProgress::Budget;
                break;
            }
            let follower = &mut followers[index];
            let shard = follower.shard();
            let mut spent = 0;
            let mut before = std::mem::take(&mut told[index]);
            let mut visit = |followed: FollowedRecord| {
                let FollowedRecord { at, next, record, fanned } = followed;
                let record = erased.without_their_words(record);
                let fanned = fanned.map(|message| erased.without_words_of(message));
                let events = LogEvent::of(&record, fanned.as_deref());
                let (count, skipped) = (events.len(), std::mem::take(&mut before));
                let mut cost = 0;
                for (number, mut event) in (1..).zip(events).skip(skipped) {
                    cursor.set(shard, if number < count { Cursor::within(at, number) } else { next });
                    if filter.wants(&mut event) {
                        cost += visitor.visit(event, &cursor.to_string(), shard);
                    }
                }
                cursor.set(shard, next);
                let cost = if cost == 0 { PASSED_OVER_BYTES } else { cost };
                spent += cost;
                cost
            };
            match follower.read(ends[index], left, &mut visit) {
                Ok(ReadProgress::AtEnd) => {}
                Ok(ReadProgress::Budget) => {
                    look.progress = ReadProgress::Budget;
                    *turn = (index + 1) % shards;
                }
                Err(error) => look.failures.push(error),
            }
            told[index] = before;
            if before == 0 {
                cursor.set(shard, follower.next());
            }
            left = left.saturating_sub(spent);
        }
        look
    }
}

#[cfg(test)]
#[path = "event_reader_tests.rs"]
mod tests;
