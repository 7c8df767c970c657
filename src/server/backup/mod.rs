//! A consistent copy of a data directory, taken while a server may be using it. Nothing in the data directory is locked
//! or changed.
//!
//! The order of steps makes the copy consistent: open every file, find each log's end, copy, read the copies back, cut
//! them where they agree (`backup::cut`), and list them last. Everything that was in the logs when the backup began is
//! in the copy.

pub(super) mod cut;
pub mod last_backup;
pub(super) mod list;
pub(super) mod restore;
pub(super) mod source;
pub(super) mod target;
pub(super) mod watch;

use super::StartError;
use super::disk::ArchivedLog;
use crate::log::{Inspection, OpenError, inspect};
use crate::model::{Millis, Position};
use crate::server::auth::secret;
use crate::server::backup::cut::Trail;
use crate::server::backup::list::{BackupList, ListedFile};
use crate::server::backup::restore::expect_beginning;
use crate::server::backup::source::{LiveLog, Source};
use crate::server::backup::target::CopySpan;
use crate::server::backup::target::{BackupTarget, Zeros, copy, crc_of};
use crate::server::backup::watch::Watched;
use crate::server::base::error::{DiskError, SEE_VERIFY};
use crate::server::data::directory::shard_name;
use crate::server::data::runs::RUNS_FILE;
use crate::server::disk::{checkpoints, segment};
use serde::Serialize;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Beside the logs. The lock file is not part of a data directory's state, and `chat/` belongs to a client. The list of
/// runs is read after the logs: a log of a run that is not listed would be refused, and a run that begins later changes
/// nothing.
const MANIFEST: &str = "manifest.toml";

/// An opened data directory, ready to be copied.
pub struct Backup {
    source: Source,
}

/// The contents of a finished backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// The data directory's id.
    pub directory: String,
    pub files: usize,
    pub bytes: u64,
    pub shards: Vec<ShardReport>,
}

/// The position at which one shard's copy ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardReport {
    pub shard: u16,
    pub segment: u32,
    pub offset: u32,
    /// Whether newer records were left out because other shards' copies end earlier.
    pub is_held_back: bool,
}

impl Backup {
    /// Opens every file. Records that are appended to the newest segments later may still be copied.
    pub fn open(data_dir: &Path) -> Result<Self, StartError> {
        Ok(Self { source: Source::open(data_dir)? })
    }

    /// The bytes that `write` reports to `advance` in total: each segment is copied and read back.
    pub fn bytes(&self) -> Result<u64, StartError> {
        let begun = self.source.logs.iter().map(LiveLog::begun).collect::<Result<Vec<_>, _>>()?;
        let segments: usize = begun.into_iter().sum();
        Ok(2 * segments as u64 * u64::from(self.source.manifest.segment_bytes))
    }

    /// Fills `target`, which must not exist or must be empty. On success all of it is durable; on an error, everything
    /// that was created is removed.
    pub fn write(&self, target: &Path, now: Millis, advance: &dyn Fn(u64)) -> Result<BackupReport, StartError> {
        let mut target = BackupTarget::claim(target, &self.source.path)?;
        let logs = &self.source.logs;
        // All ends are read before the first byte is copied: everything that a record before such an end requires is
        // then copied, too.
        let looked = logs.iter().map(LiveLog::end_now).collect::<Result<Vec<_>, _>>()?;
        let mut copies = Vec::new();
        let mut trails = Vec::new();
        for (log, looked) in logs.iter().zip(looked) {
            let mut copied = self.copy_log(log, &mut target, advance)?;
            trails.push(copied.read_back(log, looked, advance)?);
            copies.push(copied);
        }
        let mut listed = Vec::new();
        let mut shards = Vec::new();
        for ((copied, log), (trail, cut)) in copies.into_iter().zip(logs).zip(trails.iter().zip(cut::agree(&trails))) {
            let (segment, offset) = (cut.segment(), cut.offset());
            shards.push(ShardReport { shard: log.shard.0, segment, offset, is_held_back: cut < trail.end() });
            let (directory, bytes) = (copied.directory.clone(), copied.bytes);
            listed.extend(copied.finish(cut, &mut target)?);
            listed.extend(copy_checkpoints(log, cut, &mut target)?);
            expect_beginning(&directory, &ArchivedLog::open(&directory, bytes)?, log.shard)?;
        }
        listed.extend(self.copy_small_files(&mut target)?);
        target.sync()?;
        let list = BackupList::new(&self.source.manifest, now, listed);
        list.store(&mut target)?;
        target.sync()?;
        target.finish();
        Ok(BackupReport { bytes: list.bytes(), files: list.files.len(), directory: list.directory, shards })
    }

    /// Copies every segment that has been begun, also empty ones.
    fn copy_log(
        &self,
        log: &LiveLog,
        target: &mut BackupTarget,
        advance: &dyn Fn(u64),
    ) -> Result<CopiedLog, StartError> {
        let directory = target.directory(&shard_name(log.shard))?;
        let bytes = self.source.manifest.segment_bytes;
        let mut copied = CopiedLog { directory, bytes, segments: Vec::new() };
        for (index, from) in log.segments.iter().enumerate().take(log.begun()?) {
            let number = log.number(index);
            let path = segment::path(Path::new(&shard_name(log.shard)), number);
            let name = path.to_str().expect("made of a shard's name and a number").to_owned();
            let to = target.file(&name)?;
            let crc = copy(from, &to, CopySpan { offset: 0, bytes: u64::from(bytes), zeros: Zeros::Holes }, advance);
            let crc = Some(crc.map_err(|error| StartError::disk("copy to", &target.root.join(&name), error))?);
            copied.segments.push(CopiedSegment { name, number, file: to, crc });
        }
        Ok(copied)
    }

    fn copy_small_files(&self, target: &mut BackupTarget) -> Result<Vec<ListedFile>, StartError> {
        let mut listed = Vec::new();
        for name in secret::KEPT_FILES.into_iter().chain([RUNS_FILE, MANIFEST]) {
            let path = self.source.path.join(name);
            match std::fs::read(&path) {
                Ok(bytes) => {
                    target.write(name, &bytes)?;
                    listed.push(ListedFile::new(name.to_owned(), bytes.len() as u64, crc32c::crc32c(&bytes)));
                }
                // A server that was killed during its very first start may not have created its secret.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StartError::disk("read", &path, error)),
            }
        }
        Ok(listed)
    }
}

/// Copies whole checkpoint files. They were opened before the logs' ends were read, so each must end before `cut`; one
/// that does not would cover records that the copy leaves out.
fn copy_checkpoints(log: &LiveLog, cut: Position, target: &mut BackupTarget) -> Result<Vec<ListedFile>, StartError> {
    let mut listed = Vec::new();
    for (through, from) in log.checkpoints.iter().filter(|(through, _)| *through < cut.segment()) {
        let name = checkpoints::path(Path::new(&shard_name(log.shard)), *through);
        let name = name.to_str().expect("made of a shard's name and a number").to_owned();
        let to = target.file(&name)?;
        let copied = from.metadata().and_then(|metadata| {
            let crc = copy(from, &to, CopySpan { offset: 0, bytes: metadata.len(), zeros: Zeros::Written }, &|_| {})?;
            to.sync_all()?;
            Ok(ListedFile::new(name.clone(), metadata.len(), crc))
        });
        listed.push(copied.map_err(|error| StartError::disk("copy to", &target.root.join(&name), error))?);
    }
    Ok(listed)
}

/// One shard's copy in progress.
struct CopiedLog {
    directory: PathBuf,
    /// The length of each segment in bytes.
    bytes: u32,
    segments: Vec<CopiedSegment>,
}

struct CopiedSegment {
    /// Relative to the target.
    name: String,
    number: u32,
    file: File,
    /// `None`: the file has been changed since it was copied.
    crc: Option<u32>,
}

impl CopiedLog {
    /// Reads the copy as a server would, and returns what ties it to other shards.
    ///
    /// A copy of a log that is being written may have a hole before newer records, if the writer overtook the copying.
    /// Everything after the hole is then copied again. The log had those bytes before it stated that they are durable,
    /// so a hole that remains means that the log itself is damaged.
    fn read_back(&mut self, log: &LiveLog, looked: Position, advance: &dyn Fn(u64)) -> Result<Trail, StartError> {
        let damaged = |source: OpenError| DiskError::Log {
            doing: "back up",
            path: log.directory.clone(),
            source,
            advice: SEE_VERIFY,
        };
        let mut hole = None;
        loop {
            let mut trail = Trail::new(log.shard, looked);
            let archived = ArchivedLog::open(&self.directory, self.bytes)?;
            let ignore = |_| {};
            let watched = Watched::new(&archived, if hole.is_none() { advance } else { &ignore });
            let inspected = inspect(&watched, log.shard, |position, record| trail.note(position, &record));
            let Inspection { end, damage, .. } = inspected.map_err(damaged)?;
            drop(archived);
            let Some(damage) = damage else { return Ok(trail.finish(end)) };
            if hole == Some(end) {
                return Err(damaged(OpenError::Damaged(damage)).into());
            }
            hole = Some(end);
            self.copy_again(log, end)?;
        }
    }

    fn copy_again(&mut self, log: &LiveLog, from: Position) -> Result<(), StartError> {
        for (copied, source) in self.segments.iter_mut().zip(&log.segments) {
            if copied.number < from.segment() {
                continue;
            }
            let offset = if copied.number == from.segment() { u64::from(from.offset()) } else { 0 };
            copied.crc = None;
            copy(source, &copied.file, CopySpan { offset, bytes: u64::from(self.bytes), zeros: Zeros::Holes }, &|_| {})
                .map_err(|error| StartError::disk("copy to", &self.directory, error))?;
        }
        Ok(())
    }

    /// Leaves out everything from `cut` on. The copy is durable on return.
    fn finish(self, cut: Position, target: &mut BackupTarget) -> Result<Vec<ListedFile>, StartError> {
        let bytes = u64::from(self.bytes);
        let mut listed = Vec::new();
        for CopiedSegment { name, number, file, crc } in self.segments {
            if number > cut.segment() {
                target.remove(&name)?;
                continue;
            }
            let end = if number == cut.segment() { u64::from(cut.offset()) } else { bytes };
            let finished = shorten(&file, end, bytes, crc).and_then(|crc| file.sync_all().map(|()| crc));
            let crc = finished.map_err(|error| StartError::disk("finish", &target.root.join(&name), error))?;
            listed.push(ListedFile::new(name, bytes, crc));
        }
        Ok(listed)
    }
}

/// Zeroes a file from `end` on and returns the CRC of the whole file; `crc` if nothing had to be changed.
fn shorten(file: &File, end: u64, bytes: u64, crc: Option<u32>) -> io::Result<u32> {
    if let Some(crc) = crc.filter(|_| end == bytes) {
        return Ok(crc);
    }
    file.set_len(end)?;
    file.set_len(bytes)?;
    crc_of(file, bytes)
}

#[cfg(test)]
mod tests;
