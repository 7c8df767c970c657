//! The users who are traced now: a list that the control thread changes, and that each shard looks at once a second.
//!
//! Invariant: a trace leaves the list when nobody reads it any more.

use crate::model::UserId;
use crate::server::turn::trace::TracedList;
use crate::server::turn::{TraceLine, TracedUser};
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The most traces at once.
const TRACES_MAX: usize = 8;
/// Lines of one trace that wait for the control thread.
const LINES_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub struct TracedUsers(ArcSwap<Vec<Arc<TracedUser>>>);

/// One trace, as its reader has it.
#[derive(Debug)]
pub struct Trace {
    all: Arc<TracedUsers>,
    traced: Arc<TracedUser>,
    lines: mpsc::Receiver<TraceLine>,
}

impl TracedUsers {
    pub fn now(&self) -> TracedList {
        self.0.load_full()
    }
}

impl Trace {
    pub(super) fn begin(all: &Arc<TracedUsers>, user: UserId) -> Option<Self> {
        if all.now().len() >= TRACES_MAX {
            return None;
        }
        let (sender, lines) = mpsc::channel(LINES_MAX);
        let traced = Arc::new(TracedUser::new(user, sender));
        all.0.rcu(|list| [list.as_slice(), std::slice::from_ref(&traced)].concat());
        Some(Self { all: all.clone(), traced, lines })
    }

    /// The next line. Waits for ever where there is none.
    pub async fn next(&mut self) -> TraceLine {
        match self.lines.recv().await {
            Some(line) => line,
            None => std::future::pending().await,
        }
    }

    /// Lines for which there was no room.
    pub fn lost(&self) -> u64 {
        self.traced.lost()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let is_other = |user: &&Arc<TracedUser>| !Arc::ptr_eq(user, &self.traced);
        self.all.0.rcu(|list| list.iter().filter(is_other).cloned().collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_bounded_and_leave_the_list_with_their_readers() {
        let all = Arc::new(TracedUsers::default());
        let begin = || Trace::begin(&all, UserId::new("alice").expect("well formed"));
        let mut traces: Vec<Trace> = (0..TRACES_MAX).map(|_| begin().expect("room")).collect();
        assert!(begin().is_none());
        drop(traces.pop());
        assert_eq!(all.now().len(), TRACES_MAX - 1);
        assert!(begin().is_some());
        drop(traces);
        assert!(all.now().is_empty());
    }
}
