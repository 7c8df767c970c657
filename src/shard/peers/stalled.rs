//! What found the window of requests to a shard full, and is tried again once there is room.

use crate::model::{Command, Order, RequestTag, SessionId};
use crate::shard::peers::asked_send::AllowedSend;
use crate::shard::peers::ticket::Ticket;

#[derive(Debug)]
pub(in crate::shard) enum Stalled {
    /// A command of a session, which is paused meanwhile.
    Command { session: SessionId, tag: RequestTag, command: Command },
    /// An order, which the control thread waits for.
    Order { ticket: Ticket, order: Order },
    /// A send that the hook has allowed. It goes on though its session is gone.
    Allowed(Box<AllowedSend>),
}

impl Stalled {
    pub fn is_of(&self, session: SessionId) -> bool {
        matches!(self, Self::Command { session: stalled, .. } if *stalled == session)
    }
}
