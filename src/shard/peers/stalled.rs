//! What found the window of requests to a shard full, or others waiting for it, and is tried again once there is room.
//!
//! Invariants: whoever comes later waits behind those that wait already; orders are in the order of their tickets, so
//! that an order that waits for the second time has the place that it had.

use crate::model::{Command, Order, RequestTag, SessionId};
use crate::shard::peers::authored_send::{AskedSend, AuthoredSend};
use crate::shard::peers::pending_requests::Requester;
use crate::shard::peers::ticket::Ticket;
use std::collections::VecDeque;

#[derive(Debug)]
pub(in crate::shard) enum Stalled {
    /// A command of a session, which is paused meanwhile.
    Command { session: SessionId, tag: RequestTag, command: Command },
    /// An order, which the control thread waits for.
    Order { ticket: Ticket, order: Order },
    /// A send that the hook has allowed. It goes on though its session is gone.
    Allowed(Box<AskedSend>),
}

/// One command for each session, and the orders, which the control thread bounds.
#[derive(Debug, Default)]
pub(in crate::shard) struct StalledLine {
    line: VecDeque<Stalled>,
    /// The largest ticket that has waited here.
    newest: Option<Ticket>,
    /// The one that was taken last is being tried again: it may go before those that are left.
    is_first_tried: bool,
}

impl Stalled {
    /// A send of a session or of an order, as it came. `None`: nobody waits for it.
    pub fn of_send(sent: AuthoredSend, waiter: Requester) -> Option<Self> {
        let AuthoredSend { author, send, authority } = sent;
        match waiter {
            Requester::Session { session, tag } => Some(Self::Command { session, tag, command: Command::Send(send) }),
            Requester::Order { ticket, .. } => {
                Some(Self::Order { ticket, order: Order::Send { author, send: Box::new(send), authority } })
            }
            Requester::Nobody => None,
        }
    }

    pub fn is_of(&self, session: SessionId) -> bool {
        matches!(self, Self::Command { session: stalled, .. } if *stalled == session)
    }

    /// The ticket of an order.
    pub fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Command { .. } | Self::Allowed(_) => None,
            Self::Order { ticket, .. } => Some(*ticket),
        }
    }
}

impl StalledLine {
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Whether somebody waits who comes before what is asked for now.
    pub fn is_before(&self) -> bool {
        !self.line.is_empty() && !self.is_first_tried
    }

    pub fn push(&mut self, stalled: Stalled) {
        let ticket = stalled.ticket();
        let is_later = ticket.is_none() || ticket > self.newest;
        let place = match is_later {
            true => None,
            false => self.line.iter().position(|other| other.ticket() > ticket),
        };
        self.newest = self.newest.max(ticket);
        self.line.insert(place.unwrap_or(self.line.len()), stalled);
    }

    /// Takes the first, which is tried again until `tried`.
    pub fn take_first(&mut self) -> Option<Stalled> {
        self.is_first_tried = true;
        self.line.pop_front()
    }

    pub fn tried(&mut self) {
        self.is_first_tried = false;
    }

    pub fn forget(&mut self, session: SessionId) {
        self.line.retain(|stalled| !stalled.is_of(session));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MessageId, UserId};

    fn order(ticket: u64) -> Stalled {
        let user = UserId::new("alice").expect("well formed");
        Stalled::Order { ticket: Ticket(ticket), order: Order::Revoke { user, message: MessageId(ticket) } }
    }

    fn command(session: u64) -> Stalled {
        Stalled::Command { session: SessionId(session), tag: RequestTag::None, command: Command::Reauthenticate }
    }

    /// Orders by their tickets, commands of sessions as 0.
    fn taken(line: &mut StalledLine) -> Vec<u64> {
        std::iter::from_fn(|| line.take_first().map(|stalled| stalled.ticket().map_or(0, |ticket| ticket.0))).collect()
    }

    #[test]
    fn an_order_that_waits_again_stands_before_those_that_came_after_it() {
        let mut line = StalledLine::default();
        [order(3), order(4), command(1), order(6)].into_iter().for_each(|it| line.push(it));
        let Some(first @ Stalled::Order { .. }) = line.take_first() else { panic!("the first is an order") };
        line.push(order(9));
        line.push(first);
        line.push(order(5));
        assert_eq!(taken(&mut line), [3, 4, 0, 5, 6, 9]);
    }

    #[test]
    fn only_the_first_may_go_before_those_that_wait() {
        let mut line = StalledLine::default();
        assert!(!line.is_before());
        line.push(command(1));
        line.push(command(2));
        assert!(line.is_before());
        let _first = line.take_first();
        assert!(!line.is_before(), "it is its turn");
        line.tried();
        assert!(line.is_before(), "the second still waits");
        line.forget(SessionId(2));
        assert!(line.is_empty() && !line.is_before());
    }
}
