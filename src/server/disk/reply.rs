//! The results of jobs that run off a shard's core, and the channel on which they return to the shard.

use crate::model::{HookVerdict, ShardId};
use crate::server::base::waker::Waker;
use crate::shard::{Fetched, HookTicket};
use crossbeam_channel::Sender;
use std::io;
use std::sync::Arc;

/// The result of a job.
pub enum JobResult {
    Fetched(Box<Fetched>),
    HookAnswered(Box<(HookTicket, HookVerdict)>),
    Checkpointed {
        through: u32,
    },
    /// Logged by the job; to be tried again later.
    CheckpointFailed,
    /// A segment that the checkpoint covers could not be synced.
    Unsynced(io::Error),
}

/// Sends results to the shard that ordered a job.
#[derive(Clone, Debug)]
pub struct ReplySender {
    pub me: ShardId,
    pub answers: Sender<JobResult>,
    pub wakers: Arc<[Waker]>,
}

impl ReplySender {
    /// A result for a shard that has ended is discarded.
    pub fn tell(&self, answer: JobResult) {
        if self.answers.send(answer).is_ok() {
            self.wake();
        }
    }

    /// Wakes the shard, which then looks at the channels itself.
    pub fn wake(&self) {
        self.wakers[usize::from(self.me.0)].wake();
    }
}
