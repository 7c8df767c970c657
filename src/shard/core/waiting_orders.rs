//! Operators' orders about groups that go on from turn to turn, or wait for one that does: each is carried out when those
//! before it are done.
//!
//! In memory only: an order that a crash takes was not answered, and can be repeated. Invariant: while an order waits, no
//! other changes a group of this shard, so that what was looked up for it holds.

use crate::model::{GroupId, Order, Position, UserId};
use crate::shard::peers::ticket::Ticket;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(in crate::shard) struct WaitingOrders(pub VecDeque<WaitingOrder>);

#[derive(Debug)]
pub(in crate::shard) struct WaitingOrder {
    pub ticket: Ticket,
    /// The newest record when the order came.
    pub before: Position,
    pub task: OrderTask,
}

#[derive(Debug)]
pub(in crate::shard) enum OrderTask {
    /// One step.
    Whole(Order),
    Members(MemberSelection),
}

/// Members who are to be added and removed.
#[derive(Debug)]
pub(in crate::shard) struct MemberSelection {
    pub group: GroupId,
    pub remove: Selection,
    pub add: Selection,
    pub is_begun: bool,
    pub has_changed: bool,
}

/// Users of whom some are to be chosen.
#[derive(Debug)]
pub(in crate::shard) struct Selection {
    left: std::vec::IntoIter<UserId>,
    chosen: Vec<UserId>,
}

impl Selection {
    /// `users` are in order, each once.
    pub fn new(users: Vec<UserId>) -> Self {
        Self { left: users.into_iter(), chosen: Vec::new() }
    }

    /// The users who have not been looked at.
    pub fn left(&self) -> &[UserId] {
        self.left.as_slice()
    }

    /// Looks at so many more; how many these were.
    pub fn choose_some(&mut self, count: usize, is_chosen: impl Fn(&UserId) -> bool) -> usize {
        let before = self.left.len();
        self.chosen.extend(self.left.by_ref().take(count).filter(|user| is_chosen(user)));
        before - self.left.len()
    }

    /// Those who were chosen, once.
    pub fn take(&mut self) -> Vec<UserId> {
        std::mem::take(&mut self.chosen)
    }
}
