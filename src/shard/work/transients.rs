//! Messages that are never stored, and typing notices, on their way to the sessions of a group's members.
//!
//! Invariant: a bounded number of such messages is under way, in each group and in the whole shard.

use crate::model::{Message, SessionId, TypingNotice};
use crate::shard::rows::index::ConversationIndex;
use std::collections::VecDeque;
use std::sync::Arc;

/// The most messages under way, in one group and in all.
const GROUP_MAX: usize = 16;
const ALL_MAX: usize = 1_024;

/// What members are told, and nobody is promised.
#[derive(Clone, Debug)]
pub(in crate::shard) enum TransientNotice {
    /// A message, and the session that it comes from.
    Message(Arc<Message>, Option<SessionId>),
    Typing(Arc<TypingNotice>),
}

#[derive(Debug)]
pub(in crate::shard) struct TransientJob {
    pub at: ConversationIndex,
    pub notice: TransientNotice,
    /// The seats before this one have been visited.
    pub next: usize,
}

#[derive(Debug, Default)]
pub(in crate::shard) struct Transients {
    pub jobs: VecDeque<TransientJob>,
}

impl Transients {
    pub fn has_place(&self, at: ConversationIndex) -> bool {
        self.jobs.len() < ALL_MAX && self.jobs.iter().filter(|job| job.at == at).count() < GROUP_MAX
    }
}
