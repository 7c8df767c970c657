//! The dates of the oldest and the newest message of each segment, by which retention goes, and how dates proceed from
//! message to message, by which a start judges its clock.

use crate::log::checkpoint::CHECKPOINT_VERSION_OLDEST;
use crate::log::record::bytes::{Put, Reader};
use crate::model::Millis;
use crate::shard::table::trusted_clock::JUMP_MS;
use std::collections::VecDeque;

/// Consecutive dates further apart than this mean that the clock was set, or that nobody wrote.
const APART_MS: u64 = 86_400_000;
/// After dates have been steady for this long, they are not compared with earlier ones any more.
const LONG_MS: u64 = 30 * APART_MS;

/// A row for each remaining segment that has been written to: 16 bytes per segment.
#[derive(Debug, Default)]
pub(in crate::shard) struct SegmentTimes {
    first: u32,
    newest: VecDeque<Millis>,
    /// One for each of `newest`; `NONE` for a segment without a message.
    oldest: VecDeque<Millis>,
    course: Course,
    offset: ClockOffset,
}

/// How far the wall clock is from what it would show if nobody had set it, as far as the log says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ClockOffset {
    /// Less than 0: it was set back. 0: it is right, or it is not known to be wrong.
    ahead_ms: i64,
    /// Where the log was when the clock was set back. Dates from there on show no more than that a message is older
    /// than what the clock shows now.
    behind_since: u32,
    /// What the clock showed last. Messages do not show it: in a conversation dates never go back.
    shown: Millis,
}

impl ClockOffset {
    /// Returns the segments whose dates are too early, once the clock is set ahead again, and the time that they
    /// count as written at.
    fn jump(&mut self, segment: u32, time: Millis, jumped_ms: i64) -> Option<(u32, Millis)> {
        self.shown = time;
        let was_behind = self.ahead_ms < 0;
        self.set_ahead(segment, self.ahead_ms.saturating_add(jumped_ms));
        // It may have been set too far ahead.
        let trusted = Millis(time.0.saturating_sub(self.ahead_ms.max(0).unsigned_abs()));
        (was_behind && jumped_ms > 0).then_some((self.behind_since, trusted))
    }

    /// Another process began at `time`, and writes to `segment`. Meanwhile the clock may have been set right, or back.
    fn begin(&mut self, segment: u32, time: Millis) -> Option<(u32, Millis)> {
        let passed_ms = match self.shown.0 {
            0 => 0,
            shown => time.0.cast_signed().saturating_sub(shown.cast_signed()),
        };
        let (was_behind, ahead_ms) = (self.ahead_ms < 0, self.ahead_ms);
        self.shown = time;
        if was_behind && passed_ms.saturating_add_unsigned(JUMP_MS) >= -ahead_ms {
            self.ahead_ms = 0;
            return Some((self.behind_since, time));
        }
        if passed_ms < -JUMP_MS.cast_signed() {
            // Nobody knows how long the server was away: it was set back by so much at least.
            self.set_ahead(segment, ahead_ms.saturating_add(passed_ms).min(0));
        }
        None
    }

    fn set_ahead(&mut self, segment: u32, ahead_ms: i64) {
        let was_behind = self.ahead_ms < 0;
        self.ahead_ms = if ahead_ms.unsigned_abs() <= JUMP_MS { 0 } else { ahead_ms };
        if !was_behind && self.ahead_ms < 0 {
            self.behind_since = segment;
        }
    }
}

/// Two records say of no more elapsed time than this, whatever their times are. While somebody is here, the log tells
/// the time more often.
const STEP_MS_MAX: u64 = 60_000;
/// The clock was never set, as far as the log shows.
const NEVER_MS: u64 = u64::MAX;

/// The course of the dates, in the order of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Course {
    /// The date of the last message; 0: there is none.
    latest: Millis,
    /// The first date since which dates have been steady.
    since: Millis,
    /// The earliest date around the jumps before that; 0: there was none.
    lowest: Millis,
    /// Elapsed time, as far as records show it, since they have shown that the clock was set.
    since_set_ms: u64,
    /// The time that a record has told last.
    told: Millis,
}

impl Default for Course {
    fn default() -> Self {
        let none = Millis(0);
        Self { latest: none, since: none, lowest: none, since_set_ms: NEVER_MS, told: none }
    }
}

impl Course {
    /// A record says that it was `time`. Times that go back say that the clock was set; times far apart may say so.
    fn tell(&mut self, time: Millis) {
        let Self { told, .. } = *self;
        if told.0 != 0 {
            let is_set = told.since(time) > JUMP_MS || time.since(told) > APART_MS;
            let passed_ms = self.since_set_ms.saturating_add(time.since(told).min(STEP_MS_MAX));
            self.since_set_ms = if is_set { 0 } else { passed_ms };
        }
        self.told = time;
    }

    fn note(&mut self, time: Millis) {
        let Self { latest, since, lowest, .. } = *self;
        if latest.0 == 0 {
            self.since = time;
        } else if time.0.abs_diff(latest.0) > APART_MS {
            let is_first = lowest.0 == 0 || latest.since(since) >= LONG_MS;
            self.lowest = if is_first { latest.min(time) } else { lowest.min(latest).min(time) };
            self.since = time;
        }
        self.latest = time;
    }
}

const NONE: Millis = Millis(u64::MAX);

impl SegmentTimes {
    /// `segment` contains a message with the date `time`; segments come in order.
    #[inline]
    pub fn note(&mut self, segment: u32, time: Millis) {
        self.course.note(time);
        let at = self.reach(segment);
        self.newest[at] = self.newest[at].max(time);
        self.oldest[at] = self.oldest[at].min(time);
    }

    /// The row of `segment`, which is there from now on.
    fn reach(&mut self, segment: u32) -> usize {
        if self.newest.is_empty() {
            self.first = segment;
        }
        let at = segment.saturating_sub(self.first) as usize;
        // A segment without any message is as old as the one before it.
        let before = self.newest.back().copied().unwrap_or_default();
        while self.newest.len() <= at {
            self.newest.push_back(before);
            self.oldest.push_back(NONE);
        }
        at
    }

    /// `segment` and those behind it were still written to at `time`, whatever their dates say.
    pub fn count_from(&mut self, segment: u32, time: Millis) {
        let at = self.reach(segment);
        self.newest.range_mut(at..).for_each(|newest| *newest = time.max(*newest));
    }

    /// The clock showed this time.
    pub fn show(&mut self, time: Millis) {
        self.offset.shown = time;
        self.tell(time);
        // A clock that has been steady for so long is right.
        if self.course.since_set_ms >= LONG_MS {
            self.offset.ahead_ms = 0;
        }
    }

    /// A record that was written at `time` says so: a message that this shard ordered, or none. What another shard
    /// ordered may have come late.
    pub fn tell(&mut self, time: Millis) {
        self.course.tell(time);
    }

    /// While the log was written to in `segment`, the clock was set ahead by `jumped_ms`, to this time.
    pub fn note_jump(&mut self, segment: u32, time: Millis, jumped_ms: i64) {
        self.course.told = time;
        self.course.since_set_ms = 0;
        if let Some((since, trusted)) = self.offset.jump(segment, time, jumped_ms) {
            self.count_from(since, trusted);
        }
    }

    /// Another process began at this time, and writes to `segment`.
    pub fn begin_run(&mut self, segment: u32, time: Millis) {
        if let Some((since, corrected)) = self.offset.begin(segment, time) {
            self.count_from(since, corrected);
        }
        self.tell(time);
    }

    /// Whether the clock was set less than `doubted_ms` before the last message, so that dates do not show how old
    /// messages are.
    pub fn are_doubtful(&self, doubted_ms: u64) -> bool {
        self.course.since_set_ms < doubted_ms
    }

    /// No message of `segment` is dated later; where it has none, and none before it has, the first one behind it.
    /// `None`: there is no message at all.
    pub fn bound_of(&self, segment: u32) -> Option<Millis> {
        self.newest_of(segment).or(self.newest.front().copied())
    }

    /// The newest message of `segment`, or of one before it where it has none; `None` when nothing is known of it.
    pub fn newest_of(&self, segment: u32) -> Option<Millis> {
        self.newest.get(segment.checked_sub(self.first)? as usize).copied()
    }

    /// The newest date of all.
    pub fn newest(&self) -> Option<Millis> {
        self.newest.iter().copied().max()
    }

    /// The newest date that a start can trust: if dates have not been steady for `steady_ms`, the earliest one around
    /// the last jumps.
    pub fn believable(&self, steady_ms: u64) -> Option<Millis> {
        let Course { latest, since, lowest, .. } = self.course;
        let is_steady = lowest.0 == 0 || latest.since(since) >= steady_ms;
        self.newest().map(|newest| if is_steady { newest } else { newest.min(lowest) })
    }

    /// The last segment that has a message.
    pub fn last_segment(&self) -> u32 {
        (self.first + self.newest.len() as u32).saturating_sub(1)
    }

    /// No remaining message was accepted earlier.
    pub fn oldest_left(&self) -> Millis {
        self.oldest.iter().copied().min().unwrap_or(NONE)
    }

    /// Forgets the segments before `segment`. A segment counts as at least as new as the ones before it, even if the
    /// clock was set back: the oldest remaining one takes over the newest date of those.
    pub fn forget_before(&mut self, segment: u32) {
        while self.first < segment
            && let Some(forgotten) = self.newest.pop_front()
        {
            self.oldest.pop_front();
            self.first += 1;
            if let Some(next) = self.newest.front_mut() {
                *next = forgotten.max(*next);
            }
        }
    }

    /// Whether no segment's newest message has an earlier date than this.
    pub fn are_behind(&self, date: Millis) -> bool {
        self.newest.iter().all(|newest| *newest >= date)
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.first);
        out.put_u32(u32::try_from(self.newest.len()).expect("segments are numbered in 32 bits"));
        for (newest, oldest) in self.newest.iter().zip(&self.oldest) {
            out.put_u64(newest.0);
            out.put_u64(oldest.0);
        }
    }

    pub fn read(version: u16, reader: &mut Reader<'_>) -> Option<Self> {
        let first = reader.u32()?;
        let count = reader.u32()?;
        let (mut newest, mut oldest) = (VecDeque::new(), VecDeque::new());
        for _segment in 0..count {
            newest.push_back(Millis(reader.u64()?));
            // An unknown date may be any.
            let any = version <= CHECKPOINT_VERSION_OLDEST;
            oldest.push_back(if any { Millis(0) } else { Millis(reader.u64()?) });
        }
        Some(Self { first, newest, oldest, ..Self::default() })
    }

    /// At the end of a checkpoint. One of an earlier server ends before it.
    pub fn put_course(&self, out: &mut Vec<u8>) {
        let Course { latest, since, lowest, since_set_ms, told } = self.course;
        [latest.0, since.0, lowest.0, since_set_ms, told.0].into_iter().for_each(|value| out.put_u64(value));
    }

    pub fn put_offset(&self, out: &mut Vec<u8>) {
        out.put_u64(self.offset.ahead_ms.cast_unsigned());
        out.put_u32(self.offset.behind_since);
        out.put_u64(self.offset.shown.0);
    }

    pub fn read_offset(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let (ahead_ms, behind_since) = (reader.u64()?.cast_signed(), reader.u32()?);
        self.offset = ClockOffset { ahead_ms, behind_since, shown: Millis(reader.u64()?) };
        Some(())
    }

    pub fn read_course(&mut self, version: u16, reader: &mut Reader<'_>) -> Option<()> {
        let mut time = || reader.u64().map(Millis);
        let (latest, since, lowest) = (time()?, time()?, time()?);
        let is_old = version <= CHECKPOINT_VERSION_OLDEST;
        let (since_set_ms, told) = if is_old { (NEVER_MS, latest) } else { (time()?.0, time()?) };
        self.course = Course { latest, since, lowest, since_set_ms, told };
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::checkpoint::CHECKPOINT_VERSION;

    #[test]
    fn a_start_believes_no_date_from_behind_a_leap_until_dates_have_gone_on_for_long() {
        let (day_ms, steady_ms) = (APART_MS, 2 * APART_MS);
        let mut ages = SegmentTimes::default();
        assert_eq!(ages.believable(steady_ms), None);
        for time in [1, 5, 5 + day_ms] {
            ages.note(1, Millis(time));
        }
        assert_eq!(ages.believable(steady_ms), Some(Millis(5 + day_ms)), "nobody wrote for a day");
        let ahead = 40 * day_ms;
        ages.note(1, Millis(ahead));
        ages.note(2, Millis(ahead + day_ms));
        let mut read = read_back(&ages);
        assert_eq!(read.believable(steady_ms), Some(Millis(5 + day_ms)), "a start later on knows it too");
        read.note(2, Millis(ahead + steady_ms));
        assert_eq!(read.believable(steady_ms), Some(Millis(ahead + steady_ms)));
        read.note(3, Millis(7 * day_ms));
        assert_eq!(read.believable(steady_ms), Some(Millis(5 + day_ms)), "back, and none of them has gone on for long");
    }

    fn read_back(times: &SegmentTimes) -> SegmentTimes {
        let mut out = Vec::new();
        times.put(&mut out);
        times.put_course(&mut out);
        let mut reader = Reader::new(&out);
        let mut read = SegmentTimes::read(CHECKPOINT_VERSION, &mut reader).expect("as written");
        read.read_course(CHECKPOINT_VERSION, &mut reader).expect("as written");
        read
    }

    #[test]
    fn dates_are_doubtful_until_as_much_time_has_passed_as_records_show() {
        let (doubted_ms, begin) = (7_200_000, Millis(APART_MS));
        let mut told = SegmentTimes::default();
        told.tell(begin);
        told.tell(begin.plus(5_000));
        told.note(1, Millis(begin.0 - 20_000));
        assert!(!told.are_doubtful(doubted_ms));
        told.note_jump(1, begin.plus(40_000), 30_000);
        let mut read = read_back(&told);
        read.tell(begin.plus(50 * APART_MS));
        assert!(read.are_doubtful(doubted_ms), "far ahead, and no time has passed");
        let mut now = begin.plus(50 * APART_MS);
        for _minute in 0..121 {
            now = now.plus(60_000);
            read.tell(now);
        }
        assert!(!read.are_doubtful(doubted_ms), "nothing is remembered that is older");
        read.tell(Millis(now.0 - 20_000));
        assert!(read_back(&read).are_doubtful(doubted_ms), "nobody tells, and dates went back");
    }

    #[test]
    fn a_segment_is_as_old_as_its_newest_message() {
        let mut ages = SegmentTimes::default();
        for (segment, time) in [(3, 10), (3, 30), (3, 20), (6, 40)] {
            ages.note(segment, Millis(time));
        }
        let known =
            |ages: &SegmentTimes| (2..8).map(|segment| ages.newest_of(segment).map(|time| time.0)).collect::<Vec<_>>();
        assert_eq!(known(&ages), [None, Some(30), Some(30), Some(30), Some(40), None]);
        assert_eq!(ages.oldest_left(), Millis(10));
        ages.forget_before(5);
        assert_eq!(ages.oldest_left(), Millis(40));
        assert_eq!(known(&ages), [None, None, None, Some(30), Some(40), None]);
    }
}
