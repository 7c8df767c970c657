//! Operators' orders about groups that take several turns, and the orders and users' requests behind them: each is
//! executed when those before it are finished.
//!
//! In memory only: an order that a crash interrupts was not answered, and can be repeated. Invariant: while an order
//! waits, no other order changes a group of this shard, so the members looked up for it stay valid.

use crate::model::{GroupId, Order, Position, UserId};
use crate::shard::peers::held_requests::HeldRequest;
use crate::shard::peers::ticket::Ticket;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(in crate::shard) struct WaitingOrders(pub VecDeque<WaitingWork>);

#[derive(Debug)]
pub(in crate::shard) enum WaitingWork {
    Order(WaitingOrder),
    /// A user's request to a group. The windows of requests bound them.
    Request(Box<HeldRequest>),
}

#[derive(Debug)]
pub(in crate::shard) struct WaitingOrder {
    pub ticket: Ticket,
    /// The newest record when the order arrived.
    pub before: Position,
    pub task: OrderTask,
}

#[derive(Debug)]
pub(in crate::shard) enum OrderTask {
    /// An order of one step.
    Whole(Order),
    Members(MemberSelection),
}

/// The members to add and to remove.
#[derive(Debug)]
pub(in crate::shard) struct MemberSelection {
    pub group: GroupId,
    /// The user who wants it; `None`: the operator.
    pub by: Option<UserId>,
    pub remove: Selection,
    pub add: Selection,
    pub is_begun: bool,
    pub has_changed: bool,
}

/// A list of users of whom some are chosen, step by step.
#[derive(Debug)]
pub(in crate::shard) struct Selection {
    left: std::vec::IntoIter<UserId>,
    chosen: Vec<UserId>,
}

impl Selection {
    /// `users` are sorted and without duplicates.
    pub fn new(users: Vec<UserId>) -> Self {
        Self { left: users.into_iter(), chosen: Vec::new() }
    }

    /// The users who have not been examined.
    pub fn left(&self) -> &[UserId] {
        self.left.as_slice()
    }

    /// Examines `count` more users, or the rest. Returns how many these were.
    pub fn choose_some(&mut self, count: usize, is_chosen: impl Fn(&UserId) -> bool) -> usize {
        let before = self.left.len();
        self.chosen.extend(self.left.by_ref().take(count).filter(|user| is_chosen(user)));
        before - self.left.len()
    }

    /// The number of chosen users.
    pub fn chosen(&self) -> usize {
        self.chosen.len()
    }

    /// Takes the chosen users out.
    pub fn take(&mut self) -> Vec<UserId> {
        std::mem::take(&mut self.chosen)
    }
}
