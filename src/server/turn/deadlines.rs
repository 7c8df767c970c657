//! The deadlines of all links of a core, in one heap instead of one timer each.
//!
//! A deadline that moves to a later time is not rescheduled: when the old entry becomes due, the link returns its new
//! deadline, and an entry for that is added. So an inbound frame costs nothing here.

use crate::model::{SessionId, Steady};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One entry of the heap. A session id is never reused, so an entry that outlives its link finds no link.
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
