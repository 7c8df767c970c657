//! The jobs that run for a shard on other threads (allocating and removing segments, reading cold history, writing
//! checkpoints) and the channels for their results. A turn never waits for a job.

use crate::model::Steady;
use crate::server::base::fair_queue::{FairSender, fair_queue};
use crate::server::config::options::Options;
use crate::server::disk::checkpointer::{self, CheckpointOrder};
use crate::server::disk::cold_reader::{self, FetchOrder};
use crate::server::disk::reply::{JobResult, ReplySender};
use crate::server::disk::segment_allocator::{self, AllocatorJob};
use crate::server::disk::space::Space;
use crate::shard::ShardSettings;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

/// The queues of all shards' jobs. Their lengths are bounded by the senders: a few spares and one checkpoint for each
/// shard, one fetch for each session, and a few fetches for each user that no session waits for.
#[derive(Clone)]
pub struct Queues {
    pub segments: Sender<AllocatorJob>,
    pub fetches: FairSender<FetchOrder>,
    pub checkpoints: Sender<CheckpointOrder>,
    pub space: Arc<Space>,
}

/// Starts the threads that run jobs, on `core` if there is a spare one. They end when all queues are gone.
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

/// One shard's side of the job queues.
pub struct Jobs {
    pub queues: Queues,
    pub settings: ShardSettings,
    pub directory: Arc<PathBuf>,
    pub segment_bytes: u32,
    pub reply_sender: ReplySender,
    pub answers: Receiver<JobResult>,
    /// When the next checkpoint may be ordered; `None` while an order is under way.
    pub checkpoint_at: Option<Steady>,
}

impl Jobs {
    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }
}
