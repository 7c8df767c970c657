//! The wall clock as far as it can be trusted, for decisions that must not follow a jump: retention, and the age of a
//! repeated send.
//!
//! A jump is a difference of more than `JUMP_MS` between the elapsed times of the two clocks. After one, settled time
//! proceeds by the steady clock, until the wall clock is back where it was or has been steady for `settles_ms`.
//! Invariant: by settled time nothing is older than by the steady clock, as long as both have been read.

use crate::model::{Limits, Millis, Moment, Steady};

/// More than slewing changes a clock in a second, and more than a leap second.
pub(in crate::shard) const JUMP_MS: u64 = 10_000;
/// A clock that is this much ahead of the newest message at a start may be right, if nobody wrote. It is trusted once
/// it has been steady.
const SILENCE_MS: u64 = 86_400_000;
/// The time that an operator has to react to the alarm.
const SETTLES_MS: u64 = 86_400_000;

#[derive(Debug)]
pub(in crate::shard) struct SettledClock {
    /// How far the wall clock is ahead of the steady clock: the trusted value, and the value that was read last.
    believed_ms: i64,
    latest_ms: i64,
    /// The wall clock differs from the trusted value, and has been steady since then.
    doubted_since: Option<Steady>,
    /// Sum of the jumps that the log does not tell yet.
    untold_ms: i64,
    /// The newest jump: dates near it are not reliable.
    jumped_at: Option<Steady>,
    settles_ms: u64,
    dates_doubted_ms: u64,
    /// The dates of segments up to this one are not reliable: they count as written at this time.
    undated: Option<(u32, Millis)>,
}

impl SettledClock {
    /// How long a clock must be steady to be trusted. After two windows all sends that a client may repeat are
    /// forgotten: then no date from before a jump is used any more.
    pub fn settles_ms(limits: &Limits) -> u64 {
        SETTLES_MS.max(limits.dedupe_window_ms.saturating_mul(2))
    }

    /// `newest` is the newest date that can be trusted.
    pub fn start(now: Moment, newest: Option<Millis>, limits: &Limits) -> Self {
        let latest_ms = ahead_ms(now);
        let settles_ms = Self::settles_ms(limits);
        let newest = newest.unwrap_or(now.wall);
        let is_plausible = now.wall.since(newest) <= SILENCE_MS && newest.since(now.wall) <= JUMP_MS;
        let believed_ms = if is_plausible { latest_ms } else { ahead_ms(Moment { wall: newest, ..now }) };
        let doubted_since = (!is_plausible).then_some(now.steady);
        let dates_doubted_ms = limits.dedupe_window_ms.saturating_mul(2);
        let (jumped_at, undated) = (doubted_since, None);
        let untold_ms = 0;
        Self { believed_ms, latest_ms, doubted_since, untold_ms, jumped_at, settles_ms, dates_doubted_ms, undated }
    }

    /// The log shows that the clock was set before the start, so that dates are not reliable.
    pub fn doubt_dates(&mut self, now: Moment) {
        self.jumped_at = Some(now.steady);
    }

    /// For this long after a jump dates do not show how old a message is.
    pub fn dates_doubted_ms(&self) -> u64 {
        self.dates_doubted_ms
    }

    /// Whether dates show how old a message is.
    pub fn trusts_dates(&self, now: Moment) -> bool {
        self.jumped_at.is_none_or(|at| now.steady.since(at) >= self.dates_doubted_ms)
    }

    /// Reads both clocks; to be called before they are used. Returns how far the wall clock has jumped since the last
    /// call, if it has.
    pub fn look(&mut self, now: Moment) -> Option<i64> {
        let ahead_ms = ahead_ms(now);
        let jumped_ms = ahead_ms.saturating_sub(self.latest_ms);
        let has_jumped = jumped_ms.unsigned_abs() > JUMP_MS;
        self.latest_ms = ahead_ms;
        if has_jumped {
            self.doubted_since = Some(now.steady);
            self.jumped_at = Some(now.steady);
            self.untold_ms = self.untold_ms.saturating_add(jumped_ms);
        }
        let is_back = has_jumped && ahead_ms.abs_diff(self.believed_ms) <= JUMP_MS;
        let has_settled = self.doubted_since.is_none_or(|since| now.steady.since(since) >= self.settles_ms);
        if is_back || has_settled {
            self.believed_ms = ahead_ms;
            self.doubted_since = None;
        }
        has_jumped.then_some(jumped_ms)
    }

    /// How far the clock has been set ahead since the log told of a jump, if it has.
    #[inline]
    pub fn untold_ms(&self) -> Option<i64> {
        (self.untold_ms != 0).then_some(self.untold_ms)
    }

    /// The log tells it now.
    pub fn told(&mut self) {
        self.untold_ms = 0;
    }

    pub fn is_settled(&self) -> bool {
        self.doubted_since.is_none()
    }

    /// The age of something with this date: never more than either clock shows.
    pub fn age_ms(&self, now: Moment, date: Millis) -> u64 {
        let believed = now.steady.0.cast_signed().saturating_add(self.believed_ms);
        Millis(u64::try_from(believed).unwrap_or_default()).min(now.wall).since(date)
    }

    /// Whether a message is too old to be repeated by a client, by its date. Within two windows of a jump dates do not
    /// show this: then all that is still remembered may be repeated, which is never older than two windows.
    pub fn is_older(&self, now: Moment, date: Millis, window_ms: u64) -> bool {
        self.trusts_dates(now) && self.age_ms(now, date) >= window_ms
    }

    /// The age of a segment whose newest message has this date; `last_closed` is the newest segment that has a message
    /// and will have no more. A segment with a date in the future was written with a clock that was ahead: its age is
    /// the time since this server saw it.
    pub fn segment_age_ms(&mut self, now: Moment, segment: u32, newest: Millis, last_closed: u32) -> u64 {
        let is_undated = self.undated.is_some_and(|(through, _)| segment <= through);
        if newest > now.wall && !is_undated {
            self.undated = Some((last_closed, now.wall));
        }
        let counted_from = self.undated.filter(|(through, _)| segment <= *through).map_or(newest, |(_, from)| from);
        self.age_ms(now, counted_from)
    }
}

fn ahead_ms(now: Moment) -> i64 {
    let [wall, steady] = [now.wall.0, now.steady.0].map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
    wall.saturating_sub(steady)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const DAY_MS: u64 = 24 * HOUR_MS;
    const NOW: Moment = Moment { wall: Millis(1_700_000_000_000), steady: Steady(5_000) };

    fn clock() -> SettledClock {
        SettledClock::start(NOW, Some(NOW.wall), &Limits::default())
    }

    fn set(now: Moment, by_ms: i64) -> Moment {
        Moment { wall: Millis(now.wall.0.saturating_add_signed(by_ms)), ..now }
    }

    #[test]
    fn a_clock_that_goes_on_steadily_or_is_slewed_is_believed() {
        let mut clock = clock();
        let mut now = NOW;
        for _second in 0..1_000 {
            now = set(now.plus(1_000), 5);
            assert_eq!((clock.look(now), clock.is_settled()), (None, true));
        }
        assert_eq!(clock.age_ms(now, NOW.wall), 1_005_000);
    }

    #[test]
    fn a_jump_and_its_correction_change_no_age() {
        for by_ms in [30 * DAY_MS.cast_signed(), -30 * DAY_MS.cast_signed()] {
            let mut clock = clock();
            let jumped = set(NOW.plus(1_000), by_ms);
            assert_eq!(clock.age_ms(jumped, NOW.wall), if by_ms > 0 { 1_000 } else { 0 }, "not even between two looks");
            assert_eq!((clock.look(jumped), clock.is_settled()), (Some(by_ms), false));
            assert_eq!(clock.look(jumped.plus(1_000)), None, "told once");
            let back = NOW.plus(3_000);
            assert_eq!((clock.look(back), clock.is_settled()), (Some(-by_ms), true));
            assert_eq!(clock.age_ms(back, NOW.wall), 3_000);
        }
    }

    #[test]
    fn a_jump_that_stays_is_believed_when_it_has_stayed_for_a_day_and_for_two_dedupe_windows() {
        let short = Limits { dedupe_window_ms: HOUR_MS, ..Limits::default() };
        let long = Limits { dedupe_window_ms: 7 * DAY_MS, ..Limits::default() };
        assert_eq!(SettledClock::start(NOW, None, &long).settles_ms, 14 * DAY_MS);
        let mut clock = SettledClock::start(NOW, Some(NOW.wall), &short);
        let jumped = set(NOW, 30 * DAY_MS.cast_signed());
        clock.look(jumped);
        clock.look(jumped.plus(DAY_MS - 1));
        assert!(!clock.is_settled());
        assert_eq!(clock.age_ms(jumped.plus(DAY_MS - 1), NOW.wall), DAY_MS - 1);
        clock.look(jumped.plus(DAY_MS));
        assert!(clock.is_settled());
        assert_eq!(clock.age_ms(jumped.plus(DAY_MS), NOW.wall), 31 * DAY_MS);
    }

    #[test]
    fn a_start_long_after_the_newest_message_or_before_it_is_doubted() {
        let settled = |newest: Option<Millis>| SettledClock::start(NOW, newest, &Limits::default()).is_settled();
        assert!(settled(None) && settled(Some(NOW.wall)) && settled(Some(Millis(NOW.wall.0 - DAY_MS))));
        assert!(!settled(Some(Millis(NOW.wall.0 - DAY_MS - 1))) && !settled(Some(NOW.wall.plus(JUMP_MS + 1))));
    }

    #[test]
    fn a_segment_dated_in_the_future_is_as_old_as_it_has_been_known() {
        let mut clock = clock();
        let ahead = NOW.wall.plus(90 * DAY_MS);
        assert_eq!(clock.segment_age_ms(NOW, 3, ahead, 5), 0);
        assert_eq!(clock.segment_age_ms(NOW.plus(HOUR_MS), 3, ahead, 6), HOUR_MS);
        assert_eq!(clock.segment_age_ms(NOW.plus(HOUR_MS), 5, ahead, 6), HOUR_MS);
        assert_eq!(clock.segment_age_ms(NOW.plus(HOUR_MS), 6, ahead, 6), 0, "it came later");
    }
}
