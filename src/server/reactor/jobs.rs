//! Orders jobs that run off the core, and handles their results.

use crate::log::Segments;
use crate::model::{HookVerdict, Moment};
use crate::server::base::error::RunError;
use crate::server::disk::checkpointer::{CheckpointOrder, Covered};
use crate::server::disk::cold_reader::FetchOrder;
use crate::server::disk::reply::JobResult;
use crate::server::hook::asker::HookCall;
use crate::server::reactor::event_loop::Reactor;
use crate::shard::{Fetch, HookQuestion};
use std::sync::Arc;
use std::time::Instant;

/// The delay after a failed checkpoint, in milliseconds.
const CHECKPOINT_AGAIN_MS: u64 = 10_000;

impl Reactor {
    pub(in crate::server) fn drain_answers(&mut self, now: Moment) {
        for _taken in 0..self.options.events_per_turn_max {
            let Ok(answer) = self.jobs.answers.try_recv() else { return };
            self.has_worked = true;
            self.work.job_results += 1;
            match answer {
                JobResult::Fetched(fetched) => self.turn.fetched(now, *fetched),
                JobResult::HookAnswered(answered) => {
                    let (ticket, verdict) = *answered;
                    self.turn.hook_answered(now, ticket, verdict);
                }
                JobResult::Checkpointed { through } => {
                    self.counters.checkpoints += 1;
                    self.checkpointed = Some(Instant::now());
                    self.jobs.checkpoint_at = Some(now.steady);
                    self.turn.checkpointed(now, through);
                }
                JobResult::CheckpointFailed => {
                    self.jobs.checkpoint_at = Some(now.steady.plus(CHECKPOINT_AGAIN_MS));
                }
                JobResult::Unsynced(error) => self.fail(RunError::Disk { shard: self.me, source: Arc::new(error) }),
            }
        }
    }

    pub(in crate::server) fn order_fetch(&mut self, fetch: Box<Fetch>) {
        let jobs = &self.jobs;
        let user = fetch.user().clone();
        let order = FetchOrder {
            fetch,
            directory: jobs.directory.clone(),
            segment_bytes: jobs.segment_bytes,
            segments: self.turn.storage_mut().segments(),
            end: self.turn.shard().journal().end(),
            reply_sender: jobs.reply_sender.clone(),
        };
        jobs.queues.fetches.send(user, order);
    }

    pub(in crate::server) fn ask_hook(&mut self, now: Moment, question: Box<HookQuestion>) {
        let reply_sender = self.jobs.reply_sender.clone();
        let ticket = question.ticket.clone();
        let is_asked = self.hook.as_ref().is_some_and(|calls| calls.send(HookCall { question, reply_sender }).is_ok());
        if !is_asked {
            self.turn.hook_answered(now, ticket, HookVerdict::Failed);
        }
    }

    /// Orders segments for those that were used.
    pub(in crate::server) fn order_spares(&mut self) {
        if self.turn.storage_mut().wants_spares() {
            let checkpoint_bytes = self.turn.shard().checkpoint_bytes_about();
            self.turn.storage_mut().order_spares(checkpoint_bytes);
        }
    }

    /// Orders a checkpoint if one is due and none is under way. Segments that are not allocated yet leave room for what
    /// the shard knows by now.
    pub(in crate::server) fn order_due_checkpoint(&mut self, now: Moment) {
        let checkpoint_bytes = self.turn.shard().checkpoint_bytes_about();
        self.jobs.queues.space.expect_checkpoint(&self.jobs.directory, checkpoint_bytes);
        let jobs = &mut self.jobs;
        if self.stopping.is_some() || jobs.checkpoint_at.is_none_or(|at| at > now.steady) {
            return;
        }
        let Some(through) = self.turn.shard().checkpoint_due() else { return };
        jobs.checkpoint_at = None;
        let durable = self.turn.shard().journal().durable();
        let disk = self.turn.storage_mut();
        let covered = Covered {
            settings: jobs.settings,
            directory: jobs.directory.clone(),
            segment_bytes: jobs.segment_bytes,
            segments: disk.segments(),
            through,
            unsynced: disk.unsynced(durable, through),
        };
        let order = CheckpointOrder { covered, reply_sender: jobs.reply_sender.clone() };
        jobs.queues.checkpoints.send(order).expect("the checkpointer lives as long as there are senders");
    }
}
