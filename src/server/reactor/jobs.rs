//! The reactor and the jobs that are done off its core: it orders them and takes their answers.

use crate::log::Segments;
use crate::model::Moment;
use crate::server::base::error::RunError;
use crate::server::disk::checkpointer::{CheckpointOrder, Covered};
use crate::server::disk::cold_reader::FetchOrder;
use crate::server::disk::reply::JobResult;
use crate::server::reactor::event_loop::Reactor;
use crate::shard::Fetch;
use std::sync::Arc;
use std::time::Instant;

/// After a checkpoint that failed.
const CHECKPOINT_AGAIN_MS: u64 = 10_000;

impl Reactor {
    pub(in crate::server) fn drain_answers(&mut self, now: Moment) {
        for _taken in 0..self.options.gather_max {
            let Ok(answer) = self.errands.answers.try_recv() else { return };
            self.has_worked = true;
            match answer {
                JobResult::Fetched(fetched) => self.turn.fetched(now, *fetched),
                JobResult::Checkpointed { through } => {
                    self.counters.checkpoints += 1;
                    self.checkpointed = Some(Instant::now());
                    self.errands.checkpoint_at = Some(now.steady);
                    self.turn.checkpointed(now, through);
                }
                JobResult::CheckpointFailed => {
                    self.errands.checkpoint_at = Some(now.steady.plus(CHECKPOINT_AGAIN_MS));
                }
                JobResult::Unsynced(error) => self.fail(RunError::Disk { shard: self.me, source: Arc::new(error) }),
            }
        }
    }

    pub(in crate::server) fn order_fetch(&mut self, fetch: Box<Fetch>) {
        let errands = &self.errands;
        let user = fetch.user().clone();
        let order = FetchOrder {
            fetch,
            directory: errands.directory.clone(),
            segment_bytes: errands.segment_bytes,
            segments: self.turn.storage_mut().segments(),
            end: self.turn.shard().journal().end(),
            way_back: errands.way_back.clone(),
        };
        errands.queues.fetches.send(user, order);
    }

    /// Orders a checkpoint, if one is due and none is out.
    pub(in crate::server) fn order_due_checkpoint(&mut self, now: Moment) {
        let errands = &mut self.errands;
        errands.queues.space.expect_checkpoint(&errands.directory, self.turn.shard().checkpoint_bytes_about());
        if self.stopping.is_some() || errands.checkpoint_at.is_none_or(|at| at > now.steady) {
            return;
        }
        let Some(through) = self.turn.shard().checkpoint_due() else { return };
        errands.checkpoint_at = None;
        let durable = self.turn.shard().journal().durable();
        let disk = self.turn.storage_mut();
        let covered = Covered {
            settings: errands.settings,
            directory: errands.directory.clone(),
            segment_bytes: errands.segment_bytes,
            segments: disk.segments(),
            through,
            unsynced: disk.unsynced(durable, through),
        };
        let order = CheckpointOrder { covered, way_back: errands.way_back.clone() };
        errands.queues.checkpoints.send(order).expect("the checkpointer lives as long as there are senders");
    }
}
