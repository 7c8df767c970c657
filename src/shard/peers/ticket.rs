//! The control thread's mark on an order.

/// The control thread's mark on an order, which the answer repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);
