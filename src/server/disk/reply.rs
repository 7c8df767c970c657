//! What jobs off a shard's core come to, and the way back to the shard.

use crate::model::ShardId;
use crate::server::base::waker::Waker;
use crate::shard::Fetched;
use crossbeam_channel::Sender;
use std::io;
use std::sync::Arc;

/// What an errand came to.
pub enum JobResult {
    Fetched(Box<Fetched>),
    Checkpointed {
        through: u32,
    },
    /// Said in the log; to be tried again later.
    CheckpointFailed,
    /// What the checkpoint was to vouch for could not be synced.
    Unsynced(io::Error),
}

/// The way back to the shard that sent somebody.
#[derive(Clone, Debug)]
pub struct ReplySender {
    pub me: ShardId,
    pub answers: Sender<JobResult>,
    pub wakers: Arc<[Waker]>,
}

impl ReplySender {
    /// A shard that is gone waits for nothing.
    pub fn tell(&self, answer: JobResult) {
        if self.answers.send(answer).is_ok() {
            self.wake();
        }
    }

    /// What it waits for is there, and it knows where.
    pub fn wake(&self) {
        self.wakers[usize::from(self.me.0)].wake();
    }
}
