//! An application that follows the events of all logs from a cursor that it keeps, at its own pace: it is held against
//! what the logs say.
//!
//! It ends and goes on from the cursor that it kept last, now and then. Its chance is its own.

use crate::chance::Chance;
use crate::check::chronicle::Book;
use crate::world::{BEGIN, Core, World};
use mushan::log::{LogEnd, MemoryStorage, Segments, made_at};
use mushan::model::{Millis, Position, ShardId, UserId};
use mushan::server::Manifest;
use mushan::server::event::filter::EventFilter;
use mushan::server::event::log_event::LogEvent;
use mushan::server::follow::FollowError;
use mushan::server::follow::cursor::Cursor;
use mushan::server::follow::erased_users::ErasedUsers;
use mushan::server::follow::event_reader::{EventReader, EventVisitor, LogSet, Look, ReadFrom};
use mushan::server::follow::followed_log::FollowedLog;
use mushan::server::follow::log_follower::{CommittedEnd, ReadProgress};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What one event costs the budget of a look.
const EVENT_COST: usize = 100;

/// A log in memory, as a follower reads it.
struct MemoryLog<'a>(&'a MemoryStorage);

impl FollowedLog for MemoryLog<'_> {
    type Segments = MemoryStorage;

    fn oldest(&self) -> Result<u32, FollowError> {
        Ok(self.0.segments().start)
    }

    fn created(&self, shard: ShardId) -> Result<Option<Millis>, FollowError> {
        Ok(made_at(self.0, shard))
    }

    fn show(&mut self, _segment: u32, _end: Position) {}

    fn shown(&self) -> &MemoryStorage {
        self.0
    }

    fn apart(&self) -> Self {
        Self(self.0)
    }
}

/// How much of a log was told: whole records, and events of the next one.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    records: usize,
    events: usize,
}

pub struct Follower {
    chance: Chance,
    /// It looks once in so many steps.
    laziness: usize,
    manifest: Manifest,
    erased: Arc<ErasedUsers>,
    /// Whose words it is told no more.
    wordless: BTreeSet<String>,
    /// What it has kept: the cursor, and what comes before it in each log.
    kept: Option<(String, Vec<Progress>)>,
    /// Everything before these places was told.
    furthest: Vec<Position>,
    pub told: u64,
    pub ended: u64,
    pub expired: u64,
    pub superseded: u64,
}

impl Follower {
    pub fn new(seed: u64, shards: u16, segment_bytes: u32) -> Self {
        let mut chance = Chance::new(seed.rotate_left(17));
        let laziness = *chance.pick(&[20, 100, 400, 3_000]);
        let manifest = Manifest {
            format: Manifest::FORMAT,
            id: "sim".to_owned(),
            shards,
            segment_bytes,
            created: BEGIN.0,
            seed: 9,
            inbox_epoch: 1,
        };
        let erased = Arc::<ErasedUsers>::default();
        erased.learn(std::iter::empty().collect());
        let wordless = BTreeSet::new();
        let (kept, furthest) = (None, vec![Position::NONE; usize::from(shards)]);
        Self {
            chance,
            laziness,
            manifest,
            erased,
            wordless,
            kept,
            furthest,
            told: 0,
            ended: 0,
            expired: 0,
            superseded: 0,
        }
    }

    /// A reader from the cursor that was kept, or from the beginning, and what comes before it in each log.
    fn open<'a>(
        &mut self,
        cores: &'a [Core],
        books: &[Book],
        ends: &[CommittedEnd],
    ) -> (EventReader<MemoryLog<'a>>, Vec<Progress>) {
        let open = |from| {
            let logs = cores.iter().map(|core| MemoryLog(core.turn.shard().journal().storage())).collect();
            let logs = LogSet { logs, manifest: &self.manifest, ends };
            EventReader::over(logs, from, EventFilter::default(), self.erased.clone())
        };
        if let Some((cursor, progress)) = &self.kept {
            match open(ReadFrom::After(cursor.parse().expect("a cursor is read back"))) {
                Ok(reader) => return (reader, progress.clone()),
                Err(error) => assert!(matches!(error, FollowError::Superseded), "a log is not followed: {error}"),
            }
        }
        let reader = open(ReadFrom::Oldest).expect("it opens");
        let first = |(book, next): (&Book, &Position)| Progress { records: book.first_in(next.segment()), events: 0 };
        let progress = books.iter().zip(&reader.cursor().next).map(first).collect();
        self.superseded += u64::from(self.kept.is_some());
        (reader, progress)
    }

    /// All shards have erased the user.
    pub fn erase(&mut self, user: &str) {
        self.erased.insert(&UserId::new(user).expect("a user"));
        self.wordless.insert(user.to_owned());
    }

    /// Logs were opened, and found to end like this: nothing that was told is lost.
    pub fn expect_all_there(&self, found: &[LogEnd]) {
        for (told, end) in self.furthest.iter().zip(found) {
            assert!(*told <= end.position, "a follower was told what a crash took back: {told:?} of {end:?}");
        }
    }

    /// Logs have lost what was told: cursors are of other logs from now on.
    pub fn lose(&mut self) {
        self.manifest.inbox_epoch += 1;
        self.furthest.fill(Position::NONE);
    }
}

/// Holds each event against the record that it must be of.
struct Listener<'a> {
    books: &'a [Book],
    wordless: &'a BTreeSet<String>,
    /// The oldest segment of each log.
    oldest: Vec<u32>,
    progress: Vec<Progress>,
    heard: u64,
    /// The cursor is kept behind this event.
    keeps_at: u64,
    kept: Option<(String, Vec<Progress>)>,
}

impl Listener<'_> {
    /// Whatever has no event any more is passed over.
    fn pass_over(&mut self, shard: usize) {
        let (told, progress) = (&self.books[shard].told, &mut self.progress[shard]);
        while progress.events == 0
            && told.get(progress.records).is_some_and(|it| it.of.is_some_and(|of| of.segment() < self.oldest[shard]))
        {
            progress.records += 1;
        }
    }

    /// Nothing is left before the ends of the logs.
    fn expect_all_told(&mut self, ends: &[CommittedEnd]) {
        for (at, end) in ends.iter().enumerate() {
            self.pass_over(at);
            let left = self.books[at].told.get(self.progress[at].records);
            assert!(left.is_none_or(|left| left.at >= end.acknowledged), "a gap before the end: {left:?}");
        }
    }
}

impl EventVisitor for Listener<'_> {
    fn visit(&mut self, event: LogEvent<'_>, cursor: &str, shard: ShardId) -> usize {
        let at = usize::from(shard.0);
        self.pass_over(at);
        let place = cursor.parse::<Cursor>().expect("a cursor").next[at];
        let progress = &mut self.progress[at];
        let due = self.books[at].told.get(progress.records);
        let due = due.unwrap_or_else(|| panic!("{} at {place:?} is in no log", event.kind));
        progress.events += 1;
        let is_last = progress.events == due.events;
        let expected = if is_last { due.next } else { Cursor::within(due.at, progress.events) };
        assert_eq!(place, expected, "told {} of shard {at} in place of what is due: {due:?}", event.kind);
        if is_last {
            *progress = Progress { records: progress.records + 1, events: 0 };
        }
        self.heard += 1;
        if !self.wordless.is_empty() {
            expect_wordless(self.wordless, &event.line(cursor, shard.0));
        }
        if self.heard == self.keeps_at {
            self.kept = Some((cursor.to_owned(), self.progress.clone()));
        }
        EVENT_COST
    }
}

/// An event has no words of these users.
fn expect_wordless(users: &BTreeSet<String>, line: &str) {
    let event: serde_json::Value = serde_json::from_str(line).expect("an event is JSON");
    let message = &event["message"];
    let is_theirs = message["from"].as_str().is_some_and(|author| users.contains(author));
    assert!(!is_theirs || message["revoked"] == true && message["payload"].is_null(), "told of an erased user: {line}");
}

impl World {
    /// The follower looks for what is new, if it is about to.
    pub fn follow(&mut self) {
        if self.follower.kept.is_none() || self.follower.chance.one_in(self.follower.laziness) {
            let budget = self.follower.chance.between(1, 60) * EVENT_COST;
            self.look(budget);
        }
    }

    /// Everything that is left is told.
    pub fn follow_to_the_end(&mut self) {
        while self.look(100 * EVENT_COST) == ReadProgress::Budget {}
    }

    fn look(&mut self, budget: usize) -> ReadProgress {
        let Self { cores, chronicle, follower, ledger, .. } = self;
        let books = &chronicle.books[..];
        let ends: Vec<CommittedEnd> = cores.iter().map(end_of).collect();
        let oldest = cores.iter().map(|core| core.turn.shard().journal().segments().start).collect();
        let (mut reader, progress) = follower.open(cores, books, &ends);
        let keeps_at = if follower.chance.one_in(6) { 1 + follower.chance.below(8) as u64 } else { 0 };
        let wordless = follower.wordless.clone();
        let mut listener = Listener { books, wordless: &wordless, oldest, progress, heard: 0, keeps_at, kept: None };
        let look: Look = reader.look(&ends, budget, &mut listener);
        for failure in &look.failures {
            let FollowError::Expired { shard, oldest } = failure else { panic!("a log is not followed: {failure}") };
            let at = usize::from(shard.0);
            let next = reader.cursor().next[at];
            let is_so = ledger.may_drop && *oldest == listener.oldest[at] && next.segment() < *oldest;
            assert!(is_so, "{failure}: the cursor is {next:?}");
            reader.place_anew(*shard, None).expect("it is placed");
            listener.progress[at] = Progress { records: books[at].first_in(*oldest), events: 0 };
            follower.expired += 1;
        }
        if look.progress == ReadProgress::AtEnd && look.failures.is_empty() {
            listener.expect_all_told(&ends);
        }
        let reached = reader.cursor();
        for (furthest, next) in follower.furthest.iter_mut().zip(&reached.next) {
            *furthest = Cursor::split(*next).0.max(*furthest);
        }
        follower.told += listener.heard;
        // If it ends now, it is told once more of what came after the cursor that it keeps.
        follower.ended += u64::from(listener.kept.is_some());
        follower.kept = listener.kept.or_else(|| Some((reached.to_string(), listener.progress)));
        if look.failures.is_empty() { look.progress } else { ReadProgress::Budget }
    }
}

fn end_of(core: &Core) -> CommittedEnd {
    let shard = core.turn.shard();
    CommittedEnd { acknowledged: shard.acknowledged(), written: shard.journal().end() }
}
