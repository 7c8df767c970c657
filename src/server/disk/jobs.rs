//! What a shard has done for it off its core: segments made and removed, cold history read, checkpoints written; and
//! how it hears of it. Nothing here is ever waited for inside a turn.

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

/// One shard's errands.
pub struct Jobs {
    pub queues: Queues,
    pub settings: ShardSettings,
    pub directory: Arc<PathBuf>,
    pub segment_bytes: u32,
    pub reply_sender: ReplySender,
    pub answers: Receiver<JobResult>,
    /// When the next checkpoint may be ordered; `None` while one is out.
    pub checkpoint_at: Option<Steady>,
}

impl Jobs {
    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }
}
