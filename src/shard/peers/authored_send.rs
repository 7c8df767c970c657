//! A send with what a session would know of it: its author, and whose permissions count.

use crate::model::{Authority, Send, UserId};

pub(in crate::shard) struct AuthoredSend {
    pub author: UserId,
    pub send: Box<Send>,
    pub authority: Authority,
}
