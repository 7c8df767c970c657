//! A send with what its session or its order knows of it, and one about which the operator's hook is asked.

use crate::model::{Authority, Replacement, Send, UserId};
use crate::shard::peers::pending_requests::Requester;

/// A send, its author, and whose permissions count.
#[derive(Debug)]
pub(in crate::shard) struct AuthoredSend {
    pub author: UserId,
    /// As the author sent it.
    pub send: Send,
    pub authority: Authority,
}

/// A send that has passed the author's checks and goes on when the hook has allowed it.
#[derive(Debug)]
pub(in crate::shard) struct AskedSend {
    pub sent: AuthoredSend,
    pub waiter: Requester,
    /// What the hook's answer puts in the place of the content.
    pub replacement: Option<Box<Replacement>>,
}
