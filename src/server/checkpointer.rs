//! The thread that writes checkpoints, for all shards: from the checkpoint before and the closed segments behind it. The
//! shard itself is not asked, so a checkpoint costs no turn.

use super::checkpoints;
use super::disk::ArchivedLog;
use super::errands::{self, Answer, WayBack};
use crate::log::OpenError;
use crate::shard::{Made, Settings, survey};
use crossbeam_channel::Receiver;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// Write the checkpoint behind segment `through`, which is written no more.
pub struct CheckpointOrder {
    pub settings: Settings,
    pub directory: Arc<PathBuf>,
    pub segment_bytes: u32,
    pub through: u32,
    pub way_back: WayBack,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Log(#[from] OpenError),
}

pub fn start(core: Option<usize>, orders: Receiver<CheckpointOrder>) -> io::Result<JoinHandle<()>> {
    errands::spawn("mushan-checkpoints", core, move || orders.iter().for_each(run))
}

fn run(order: CheckpointOrder) {
    let CheckpointOrder { settings, directory, segment_bytes, through, way_back } = order;
    let began = Instant::now();
    match write(&settings, &directory, segment_bytes, through) {
        Ok(bytes) => {
            let took_ms = began.elapsed().as_millis() as u64;
            tracing::info!(shard = settings.me.0, through, bytes, took_ms, "checkpoint written");
            way_back.tell(Answer::Checkpointed { through });
        }
        Err(error) => {
            tracing::warn!(shard = settings.me.0, through, %error, "no checkpoint could be written; trying again later");
            way_back.tell(Answer::CheckpointFailed);
        }
    }
}

/// A checkpoint vouches for the segments before it, so they are made durable first, whatever the policy.
pub(super) fn write(settings: &Settings, directory: &Path, segment_bytes: u32, through: u32) -> Result<usize, Failure> {
    let numbers = checkpoints::list(directory)?;
    let previous = numbers.iter().map(|number| checkpoints::map(directory, *number)).collect::<Result<Vec<_>, _>>()?;
    let log = ArchivedLog::open(directory, segment_bytes).map_err(|error| io::Error::other(error.to_string()))?;
    log.sync(numbers.first().map_or(0, |newest| newest + 1)..=through)?;
    let Made { bytes, unusable } = survey(settings, &previous, &log, through)?;
    checkpoints::set_aside(directory, &numbers, &unusable)?;
    checkpoints::store(directory, through, &bytes)?;
    Ok(bytes.len())
}
