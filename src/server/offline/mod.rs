//! One shard of a data directory without a server: the real log, disk and checkpoints, while the caller supplies inputs
//! and time. For tools and benchmarks.
//!
//! Invariant: the directory is locked while this value lives.

pub(super) mod audit;
pub(super) mod damaged_log;
pub(super) mod frozen_log;
pub(super) mod log_writer;
pub(super) mod rebuild;

use super::disk::{Disk, Supplies};
use super::{Options, StartError};
use crate::log::Segments;
use crate::model::{Millis, Moment, ShardId};
use crate::server::auth::secret;
use crate::server::base::error::{ConfigurationError, DiskError, HostError};
use crate::server::data::directory::DataDir;
use crate::server::disk::checkpointer;
use crate::server::disk::checkpointer::Covered;
use crate::server::disk::segment_allocator;
use crate::server::disk::space::Space;
use crate::shard::{Effect, Input, Placement, Shard, ShardSettings};
use crossbeam_channel::unbounded;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

const ME: ShardId = ShardId(0);
/// An upper bound of a record's size.
const ROOM_BYTES: usize = 256 << 10;

pub struct Offline {
    shard: Shard<Disk>,
    settings: ShardSettings,
    directory: Arc<PathBuf>,
    segment_bytes: u32,
    space: Arc<Space>,
    effects: Vec<Effect>,
    preparer: JoinHandle<()>,
    _data_dir: DataDir,
}

impl Offline {
    /// Opens a data directory of one shard, or creates one.
    pub fn open(options: &Options, now: Millis) -> Result<Self, StartError> {
        let data_dir = DataDir::open(options, 1, now)?;
        if data_dir.manifest.shards != 1 {
            return Err(ConfigurationError::ManyShards.into());
        }
        let (jobs, received) = unbounded();
        let space = Arc::new(Space::new(options.reserve_bytes, &options.upkeep));
        let preparer =
            segment_allocator::start(None, space.clone(), received).map_err(HostError::system("start a thread"))?;
        let (directory, segment_bytes) = (data_dir.shard(ME), data_dir.manifest.segment_bytes);
        let settings = ShardSettings {
            me: ME,
            placement: Placement::new(1),
            limits: options.limits,
            policies: options.policies,
            windows: options.windows,
            upkeep: options.upkeep,
            seed: u64::from_ne_bytes(secret::random()?),
            fingerprint_seed: data_dir.manifest.seed,
        };
        let disk = Disk::open(&directory, segment_bytes, Supplies { jobs, space: space.clone(), reply_sender: None })?;
        let (shard, _) = Shard::open(settings, disk, &[] as &[&[u8]], Moment::told(now))
            .map_err(|error| DiskError::task("open", &directory, error))?;
        let (directory, effects) = (Arc::new(directory), Vec::new());
        Ok(Self { shard, settings, directory, segment_bytes, space, effects, preparer, _data_dir: data_dir })
    }

    /// Handles one input and discards the effects.
    pub fn handle(&mut self, now: Millis, input: Input) {
        self.shard.handle(Moment::told(now), input, &mut self.effects);
        self.effects.clear();
    }

    /// Waits until the next record has room; `false` if the disk is full.
    pub fn wait_for_room(&mut self) -> bool {
        const ROUNDS_MAX: usize = 60_000;
        for _round in 0..ROUNDS_MAX {
            let _ = self.shard.storage_mut().gather();
            if self.shard.storage_mut().wants_spares() {
                let checkpoint_bytes = self.shard.checkpoint_bytes_about();
                self.shard.storage_mut().order_spares(checkpoint_bytes);
            }
            if self.shard.journal().has_room(ROOM_BYTES) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }

    /// The work that a server does once a second: the shard's housekeeping, the syncs that it asks for, and a
    /// checkpoint if one is due.
    pub fn tick(&mut self, now: Millis) -> Result<(), StartError> {
        self.handle(now, Input::Ticked);
        if let Some(batch) = self.shard.seal() {
            let synced = self.shard.storage_mut().sync_from(batch.from.segment());
            synced.map_err(|error| StartError::disk("sync", &self.directory, error))?;
            self.handle(now, Input::Synced { end: batch.to });
        }
        let Some(through) = self.shard.checkpoint_due() else { return Ok(()) };
        let durable = self.shard.journal().durable();
        let disk = self.shard.storage_mut();
        let covered = Covered {
            settings: self.settings,
            directory: self.directory.clone(),
            segment_bytes: self.segment_bytes,
            segments: disk.segments(),
            through,
            unsynced: disk.unsynced(durable, through),
        };
        checkpointer::write(&covered, &self.space)
            .map_err(|error| DiskError::task("write a checkpoint in", &self.directory, error))?;
        self.handle(now, Input::Checkpointed { through });
        Ok(())
    }

    /// Bytes of the log, including the written part of its newest segment.
    pub fn log_bytes(&self) -> u64 {
        let segments = self.shard.journal().segments();
        let closed = u64::from(segments.end.saturating_sub(segments.start + 1));
        closed * u64::from(self.segment_bytes) + u64::from(self.shard.journal().end().offset())
    }

    /// Makes everything durable, and writes a mark that states it.
    pub fn close(mut self) -> Result<(), StartError> {
        let closed = self.shard.close_log(|disk, batch| disk.sync_from(batch.from.segment()));
        closed.map_err(|error| StartError::disk("sync", &self.directory, error))?;
        drop(self.shard);
        self.preparer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(())
    }
}
