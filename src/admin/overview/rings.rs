//! The history of the overview: each second of ten minutes, and each quarter of a minute of six hours.
//!
//! Invariant: memory is bounded, by the number of points and of shards; a restart forgets all of it.

use crate::admin::overview::point::OverviewPoint;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, watch};

/// Viewers of the live numbers at a time.
const VIEWERS_MAX: usize = 32;

pub struct HistoryRing {
    pub step_ms: u64,
    points: VecDeque<OverviewPoint>,
    points_max: usize,
}

impl HistoryRing {
    fn new(step_ms: u64, points_max: usize) -> Self {
        Self { step_ms, points: VecDeque::new(), points_max }
    }

    fn push(&mut self, point: OverviewPoint) {
        if self.points.len() == self.points_max {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// Oldest first.
    pub fn points(&self) -> &VecDeque<OverviewPoint> {
        &self.points
    }
}

pub struct OverviewRings {
    pub seconds: HistoryRing,
    pub quarters: HistoryRing,
    /// Points since the last one of `quarters`.
    unfolded: Vec<OverviewPoint>,
}

/// Points that become one of the longer history.
const FOLDED: usize = 15;

impl Default for OverviewRings {
    fn default() -> Self {
        Self {
            seconds: HistoryRing::new(1_000, 600),
            quarters: HistoryRing::new(FOLDED as u64 * 1_000, 1_440),
            unfolded: Vec::new(),
        }
    }
}

impl OverviewRings {
    /// Adds the point of a second.
    pub fn push(&mut self, point: OverviewPoint) {
        self.unfolded.push(OverviewPoint { turns_us: Box::default(), ..point.clone() });
        self.seconds.push(point);
        if self.unfolded.len() >= FOLDED {
            let folded = OverviewPoint::folded(&self.unfolded);
            folded.into_iter().for_each(|point| self.quarters.push(point));
            self.unfolded.clear();
        }
    }
}

/// What the sampler gives, and what requests read.
pub struct OverviewState {
    rings: Mutex<OverviewRings>,
    /// The newest numbers, as JSON.
    pub live: watch::Sender<Arc<str>>,
    /// A place for each viewer.
    pub viewers: Arc<Semaphore>,
}

impl Default for OverviewState {
    fn default() -> Self {
        let viewers = Arc::new(Semaphore::new(VIEWERS_MAX));
        Self { rings: Mutex::default(), live: watch::Sender::new(Arc::from("")), viewers }
    }
}

impl OverviewState {
    pub fn rings(&self) -> MutexGuard<'_, OverviewRings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::overview::point::{METRICS, NOTHING};

    #[test]
    fn both_histories_are_bounded_and_the_longer_one_is_made_of_the_shorter() {
        let mut rings = OverviewRings::default();
        for second in 0..30_000 {
            let turns_us = vec![1.0; 2].into_boxed_slice();
            rings.push(OverviewPoint { at: second * 1_000, values: [NOTHING; METRICS.len()], turns_us });
        }
        assert_eq!((rings.seconds.points().len(), rings.quarters.points().len()), (600, 1_440));
        assert_eq!(rings.seconds.points().front().map(|point| point.at), Some((30_000 - 600) * 1_000));
        assert_eq!(rings.quarters.points().back().map(|point| point.at), Some(29_999 * 1_000));
        assert!(rings.quarters.points().iter().all(|point| point.turns_us.is_empty()));
    }
}
