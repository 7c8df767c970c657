//! What a shard has done for it off its core: segments made and removed, cold history read, checkpoints written; and how
//! it hears of it. Nothing here is ever waited for inside a turn.

use crate::log::Segments;
use crate::model::ShardId;
use crate::model::{Moment, Steady};
use crate::server::base::error::RunError;
use crate::server::base::fair_queue::{FairSender, fair_queue};
use crate::server::base::waker::Waker;
use crate::server::config::options::Options;
use crate::server::disk::checkpointer::{self, CheckpointOrder, Covered};
use crate::server::disk::cold_reader::{self, FetchOrder};
use crate::server::disk::segment_allocator::{self, AllocatorJob};
use crate::server::disk::space::Space;
use crate::server::reactor::Reactor;
use crate::shard::{Fetch, Fetched, ShardSettings};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// After a checkpoint that failed.
const CHECKPOINT_AGAIN_MS: u64 = 10_000;

/// Where shards hand their errands in. Bounded by those who fill them: a few spares and a checkpoint a shard, a fetch a
/// session, and for each user a few that no session waits for.
#[derive(Clone)]
pub struct Queues {
    pub segments: Sender<AllocatorJob>,
    pub fetches: FairSender<FetchOrder>,
    pub checkpoints: Sender<CheckpointOrder>,
    pub space: Arc<Space>,
}

/// Starts the threads that run errands, on `core` if there is one to spare. They end when all queues are gone.
pub fn start(options: &Options, core: Option<usize>) -> io::Result<(Queues, Vec<JoinHandle<()>>)> {
    let (segments, jobs) = unbounded();
    let (fetches, fetch_orders) = fair_queue();
    let (checkpoints, checkpoint_orders) = unbounded();
    let space = Arc::new(Space::new(options.reserve_bytes, &options.upkeep));
    let mut threads = vec![
        segment_allocator::start(core, space.clone(), jobs)?,
        checkpointer::start(core, space.clone(), checkpoint_orders)?,
    ];
    for number in 0..options.fetch_threads {
        threads.push(cold_reader::start(number, core, fetch_orders.clone())?);
    }
    Ok((Queues { segments, fetches, checkpoints, space }, threads))
}

/// A thread of its own, on `core` if there is one to spare.
pub fn spawn(name: &str, core: Option<usize>, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Some(id) = core {
            core_affinity::set_for_current(core_affinity::CoreId { id });
        }
        work();
    })
}

/// What an errand came to.
pub enum JobResult {
    Fetched(Box<Fetched>),
    Checkpointed {
        through: u32,
    },
    /// Said in the log; to be tried again later.
    CheckpointFailed,
    /// What the checkpoint was to vouch for could not be synced.
    Unsynced(String),
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

/// One shard's errands.
pub struct Jobs {
    pub queues: Queues,
    pub settings: ShardSettings,
    pub directory: Arc<PathBuf>,
    pub segment_bytes: u32,
    pub way_back: ReplySender,
    pub answers: Receiver<JobResult>,
    /// When the next checkpoint may be ordered; `None` while one is out.
    pub checkpoint_at: Option<Steady>,
}

impl Jobs {
    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }
}

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
                JobResult::Unsynced(what) => self.fail(RunError::Disk { shard: self.me, what }),
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
