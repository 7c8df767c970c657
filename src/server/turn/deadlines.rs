//! When which link is to be looked at: one heap for all links of a core, in place of a timer for each.
//!
//! A deadline that moves later is not rescheduled: the old entry comes due, the link says its new deadline, and goes
//! back. So an inbound frame costs nothing here.

use crate::model::{SessionId, Steady};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One entry. A session id is never used twice, so an entry that outlives its link finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::server) struct Due {
    pub at: Steady,
    pub session: SessionId,
}

#[derive(Debug, Default)]
pub(in crate::server) struct Deadlines {
    heap: BinaryHeap<Reverse<Due>>,
}

impl Deadlines {
    pub fn schedule(&mut self, due: Due) {
        self.heap.push(Reverse(due));
    }

    pub fn next(&self) -> Option<Steady> {
        self.heap.peek().map(|Reverse(due)| due.at)
    }

    pub fn pop_due(&mut self, now: Steady) -> Option<Due> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }
}
