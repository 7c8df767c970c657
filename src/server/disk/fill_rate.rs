//! How many spare segments a log needs: as many as are filled while one is allocated, and one more.

use std::time::{Duration, Instant};

/// More spares would take memory and disk for a rate that the disk cannot sustain anyway.
pub const SPARES_MAX: usize = 4;

#[derive(Debug)]
pub struct FillRate {
    /// When the newest segment was begun.
    begun: Option<Instant>,
    wanted: usize,
}

impl FillRate {
    pub fn new() -> Self {
        Self { begun: None, wanted: 1 }
    }

    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Records that a spare was taken whose allocation took `took`. The estimate doubles that time, because the log's
    /// own syncs slow down the next allocation.
    pub fn take(&mut self, now: Instant, took: Duration) {
        let Some(begun) = self.begun.replace(now) else { return };
        let filled_in = now.duration_since(begun).max(Duration::from_millis(1));
        let filled_meanwhile = (2 * took).as_micros().div_ceil(filled_in.as_micros());
        self.wanted = usize::try_from(filled_meanwhile).unwrap_or(SPARES_MAX).clamp(1, SPARES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of spares wanted by a log that fills a segment in `filled_in_ms` where allocating one takes
    /// `took_ms`.
    fn wanted(filled_in_ms: u64, took_ms: u64) -> usize {
        let (mut pace, start) = (FillRate::new(), Instant::now());
        for round in 0..2 {
            pace.take(start + Duration::from_millis(round * filled_in_ms), Duration::from_millis(took_ms));
        }
        pace.wanted()
    }

    #[test]
    fn a_log_has_as_many_spares_as_it_fills_while_one_is_made() {
        assert_eq!(FillRate::new().wanted(), 1, "nothing is known yet");
        assert_eq!(wanted(60_000, 500), 1, "a quiet log has one");
        assert_eq!(wanted(800, 600), 2);
        assert_eq!(wanted(800, 1_000), 3);
        assert_eq!(wanted(0, 5_000), SPARES_MAX);
    }

    #[test]
    fn a_log_that_grows_quiet_wants_few_again() {
        let (mut pace, start) = (FillRate::new(), Instant::now());
        for at_ms in [0, 100, 200, 90_000] {
            pace.take(start + Duration::from_millis(at_ms), Duration::from_millis(400));
        }
        assert_eq!(pace.wanted(), 1);
    }
}
