//! The progress of a drain: sessions are asked to go one after the other, until nobody is left or the time is over.

use crate::model::Steady;

/// The shortest time between two steps.
const STEP_MS: u64 = 10;

pub struct Draining {
    began: Steady,
    length_ms: u64,
    /// Connections when it began, and those that were asked to go.
    connections: usize,
    asked: usize,
    /// This shard has told the others that it is empty.
    pub is_empty: bool,
}

impl Draining {
    pub fn new(now: Steady, length_ms: u64, connections: usize) -> Self {
        Self { began: now, length_ms: length_ms.max(1), connections, asked: 0, is_empty: false }
    }

    pub fn is_over(&self, now: Steady) -> bool {
        self.began.until(now) >= self.length_ms
    }

    /// How many connections are to be asked now: evenly over the time.
    pub fn take_due(&mut self, now: Steady) -> usize {
        let passed_ms = self.began.until(now).min(self.length_ms);
        let wanted = (self.connections as u128 * u128::from(passed_ms) / u128::from(self.length_ms)) as usize;
        let due = wanted.saturating_sub(self.asked);
        self.asked += due;
        due
    }

    /// When the next step is due.
    pub fn due(&self, now: Steady) -> Steady {
        let between_ms = self.length_ms / (self.connections as u64 + 1);
        now.plus(between_ms.clamp(STEP_MS, self.length_ms.max(STEP_MS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_asked_once_and_evenly() {
        let began = Steady::default().plus(5_000);
        let mut draining = Draining::new(began, 1_000, 50);
        let asked: Vec<usize> = (1..=10).map(|step| draining.take_due(began.plus(step * 100))).collect();
        assert_eq!(asked, [5; 10]);
        assert!(!draining.is_over(began.plus(999)) && draining.is_over(began.plus(1_000)));
        assert_eq!(draining.take_due(began.plus(9_000)), 0);
    }

    #[test]
    fn a_drain_of_nobody_is_over_in_its_time_and_divides_by_no_zero() {
        let mut draining = Draining::new(Steady::default(), 0, 0);
        assert_eq!(draining.take_due(Steady::default().plus(1)), 0);
        assert!(draining.is_over(Steady::default().plus(1)));
    }
}
