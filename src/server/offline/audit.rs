//! Audits a data directory while a server may be using it: nothing in it is locked or changed.
//!
//! The order of steps makes the result consistent, as in a backup: open every file, find each log's end, read every log
//! as it is then, and stop where the logs agree (`backup::cut`). Everything that was in the logs when the audit began
//! is examined.

use crate::log::{Inspection, LogEnd, OpenError, inspect};
use crate::model::{Limits, Policies, Position, ShardId, UserId};
use crate::server::StartError;
use crate::server::auth::secret;
use crate::server::backup::cut::{self, Trail};
use crate::server::backup::source::{LiveLog, Source};
use crate::server::backup::watch::Watched;
use crate::server::base::error::{DiskError, SEE_VERIFY};
use crate::server::data::runs::Runs;
use crate::server::offline::frozen_log::FrozenLog;
use crate::shard::{self, Examined, Findings, Placement, ShardSettings, Upkeep, Windows};
use std::io::Read;
use std::path::Path;

/// An opened data directory, ready to be audited.
pub struct Audit {
    source: Source,
    limits: Limits,
}

/// The findings, and how far each shard's log was read.
#[derive(Debug)]
pub struct Audited {
    pub findings: Findings,
    pub ends: Vec<Position>,
}

impl Audit {
    /// Opens every file. `limits` are the server's: the audit checks its dedupe window.
    pub fn open(data_dir: &Path, limits: Limits) -> Result<Self, StartError> {
        Ok(Self { source: Source::open(data_dir)?, limits })
    }

    /// The bytes that `run` reports to `read` in total: each segment is read once to see where the logs agree, and once
    /// to be audited.
    pub fn bytes(&self) -> Result<u64, StartError> {
        let begun = self.source.logs.iter().map(LiveLog::begun).collect::<Result<Vec<_>, _>>()?;
        let segments: usize = begun.into_iter().sum();
        Ok(2 * segments as u64 * u64::from(self.source.manifest.segment_bytes))
    }

    /// `only` restricts the audit to one user's inbox. `compared` receives the number of conversations done and of all.
    pub fn run(
        &self,
        only: Option<UserId>,
        read: &dyn Fn(u64),
        compared: &dyn Fn(u64, u64),
    ) -> Result<Audited, StartError> {
        let logs = &self.source.logs;
        // All ends are read before the first log: everything that a record before such an end requires is then read,
        // too.
        let looked = logs.iter().map(LiveLog::end_now).collect::<Result<Vec<_>, _>>()?;
        let (mut frozen, mut trails, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for (log, looked) in logs.iter().zip(looked) {
            let (log_now, trail, end) = self.take(log, looked, read)?;
            frozen.push(log_now);
            trails.push(trail);
            found.push(end);
        }
        let ends = cut::agree(&trails);
        let seed = u64::from_ne_bytes(secret::random()?);
        let mut findings = Findings::about(only);
        let watched: Vec<_> = frozen.iter().map(|log_now| Watched::new(log_now, read)).collect();
        let mut shards = Vec::new();
        for ((log, watched), end) in logs.iter().zip(&watched).zip(&ends) {
            let settings = self.settings(log.shard, seed);
            let checkpoints = checkpoints(log, *end)?;
            let examined = Examined::read(&settings, watched, &checkpoints, *end, &mut findings);
            shards.push(examined.map_err(|error| refused(log, error))?);
        }
        let all = shard::audited_conversations(&shards);
        shard::audit(&shards, &mut findings, &|done| compared(done, all));
        // Read after the logs: a run that has begun since does no harm.
        if let Some((shard, misfit)) = Runs::load(&self.source.path, found.len())?.misfit(&found) {
            findings.note_misfit(shard, found[usize::from(shard.0)].position, misfit.sentence());
        }
        Ok(Audited { findings, ends })
    }

    fn settings(&self, me: ShardId, seed: u64) -> ShardSettings {
        ShardSettings {
            me,
            placement: Placement::new(self.source.manifest.shards),
            limits: self.limits,
            policies: Policies::default(),
            windows: Windows::default(),
            upkeep: Upkeep::default(),
            seed,
            fingerprint_seed: self.source.manifest.seed,
        }
    }

    /// Reads a log and what ties it to others. A log that is read while it is written may have a hole before newer
    /// records; when read again it has none, unless it is damaged.
    fn take(
        &self,
        log: &LiveLog,
        looked: Position,
        read: &dyn Fn(u64),
    ) -> Result<(FrozenLog, Trail, LogEnd), StartError> {
        let mut log_now = FrozenLog::take(log, self.source.manifest.segment_bytes)?;
        let mut hole = None;
        loop {
            let mut trail = Trail::new(log.shard, looked);
            let ignore = |_| {};
            let watched = Watched::new(&log_now, if hole.is_none() { read } else { &ignore });
            let inspected = inspect(&watched, log.shard, |position, record| trail.note(position, &record));
            let inspection = inspected.map_err(|error| refused(log, error))?;
            let Inspection { end, damage, .. } = inspection;
            let Some(damage) = damage else { return Ok((log_now, trail.finish(end), inspection.log_end())) };
            if hole == Some(end) {
                return Err(refused(log, OpenError::Damaged(damage)));
            }
            hole = Some(end);
            log_now.catch_up(log)?;
        }
    }
}

/// The checkpoints that end before the log is cut, newest first.
fn checkpoints(log: &LiveLog, end: Position) -> Result<Vec<Vec<u8>>, StartError> {
    let mut found = Vec::new();
    for (_, file) in log.checkpoints.iter().filter(|(through, _)| *through < end.segment()) {
        let mut bytes = Vec::new();
        let read = (&*file).read_to_end(&mut bytes);
        read.map_err(|error| StartError::disk("read a checkpoint in", &log.directory, error))?;
        found.push(bytes);
    }
    Ok(found)
}

fn refused(log: &LiveLog, source: OpenError) -> StartError {
    DiskError::Log { doing: "audit", path: log.directory.clone(), source, advice: SEE_VERIFY }.into()
}
