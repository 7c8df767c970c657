//! The thread that writes checkpoints for all shards, from the previous checkpoint and the closed segments after it.
//! The shard is not involved, so a checkpoint costs no turn.
//!
//! Invariant: a checkpoint proves that the segments before it are durable, so they are synced first, whatever the
//! policy. A failed sync is not repeated: the shard is notified, and the server ends.

use crate::log::OpenError;
use crate::model::Position;
use crate::server::base::error::DiskError;
use crate::server::base::helper_thread::spawn;
use crate::server::disk::checkpoints;
use crate::server::disk::cold_reader::OpenSegments;
use crate::server::disk::reply::{JobResult, ReplySender};
use crate::server::disk::space::Space;
use crate::shard::{Made, ShardSettings, survey};
use crossbeam_channel::Receiver;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// An order to write this checkpoint and to report the result through `reply_sender`.
pub struct CheckpointOrder {
    pub covered: Covered,
    pub reply_sender: ReplySender,
}

/// The contents of a checkpoint: the state after segment `through`, to which nothing is appended any more.
pub struct Covered {
    pub settings: ShardSettings,
    pub directory: Arc<PathBuf>,
    pub segment_bytes: u32,
    /// All segments of the log at the time of the order.
    pub segments: Range<u32>,
    pub through: u32,
    /// Segments that the log does not know to be durable.
    pub unsynced: Vec<(u32, Arc<File>)>,
}

#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum CheckpointFailure {
    /// Never retried: after a failed sync the kernel drops the pages, and a second sync would succeed without the data.
    #[error("cannot make segment {segment} durable: {source}")]
    Unsynced { segment: u32, source: io::Error },
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Log(#[from] OpenError),
}

pub fn start(core: Option<usize>, space: Arc<Space>, orders: Receiver<CheckpointOrder>) -> io::Result<JoinHandle<()>> {
    spawn("mushan-checkpoints", core, move || orders.iter().for_each(|order| run(&order, &space)))
}

fn run(order: &CheckpointOrder, space: &Space) {
    let CheckpointOrder { covered, reply_sender } = order;
    let (shard, through) = (covered.settings.me.0, covered.through);
    let began = Instant::now();
    match write(covered, space) {
        Ok(bytes) => {
            let took_ms = began.elapsed().as_millis() as u64;
            tracing::info!(shard, through, bytes, took_ms, "checkpoint written");
            reply_sender.tell(JobResult::Checkpointed { through });
        }
        Err(CheckpointFailure::Unsynced { source, .. }) => reply_sender.tell(JobResult::Unsynced(source)),
        Err(error) => {
            tracing::warn!(shard, through, %error, "a checkpoint could not be written and will be tried again later");
            reply_sender.tell(JobResult::CheckpointFailed);
        }
    }
}

/// Opens segments only when they are read: a segment before the previous checkpoint takes no descriptor and may be
/// unreadable.
pub(in crate::server) fn write(covered: &Covered, space: &Space) -> Result<usize, CheckpointFailure> {
    let Covered { settings, directory, segment_bytes, segments, through, unsynced } = covered;
    let failed = |doing| move |error| DiskError::io(doing, directory, error);
    let numbers = checkpoints::list(directory).map_err(failed("list"))?;
    let newest = numbers.first().copied().unwrap_or(0);
    for (segment, file) in unsynced.iter().filter(|(number, _)| *number > newest) {
        file.sync_data().map_err(|source| CheckpointFailure::Unsynced { segment: *segment, source })?;
    }
    let previous = numbers.iter().map(|number| checkpoints::map(directory, *number)).collect::<Result<Vec<_>, _>>();
    let previous = previous.map_err(failed("read a checkpoint in"))?;
    let mut log = OpenSegments::new(directory.clone(), *segment_bytes);
    log.show(segments.clone(), Position::new(through + 1, 0));
    let Made { bytes, unusable } = survey(settings, &previous, &log, *through)?;
    checkpoints::set_aside(directory, &numbers, &unusable).map_err(failed("set aside a checkpoint in"))?;
    checkpoints::store(directory, *through, &bytes, space).map_err(failed("write a checkpoint in"))?;
    Ok(bytes.len())
}
