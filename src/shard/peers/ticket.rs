//! The control thread's mark on an order.

/// The control thread's mark on an order, which the answer repeats. Later orders have larger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);
