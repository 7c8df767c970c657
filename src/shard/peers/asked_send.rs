//! A send about which the operator's hook is asked, and one that it has allowed.

use crate::model::{Authority, Replacement, Send, UserId};
use crate::shard::peers::pending_requests::Requester;

/// A send that has passed the author's checks.
#[derive(Debug)]
pub(in crate::shard) struct AskedSend {
    pub author: UserId,
    /// As the author sent it.
    pub send: Send,
    pub authority: Authority,
    pub waiter: Requester,
}

/// A send that may go on, and what takes the place of its content.
#[derive(Debug)]
pub(in crate::shard) struct AllowedSend {
    pub asked: AskedSend,
    pub replacement: Option<Box<Replacement>>,
}
