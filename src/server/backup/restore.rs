//! Creates a data directory from a backup: every file is checked while it is copied, every log is read, and the
//! manifest is written last, so that no server starts on a partial copy.

use crate::log::checkpoint::Checkpoint;
use crate::log::{Segments, inspect};
use crate::model::ShardId;
use crate::server::backup::list::{BackupList, ListedFile};
use crate::server::backup::target::CopySpan;
use crate::server::backup::target::{BackupTarget, Zeros, copy};
use crate::server::backup::watch::Watched;
use crate::server::base::error::DiskError;
use crate::server::data::directory::shard_name;
use crate::server::disk::ArchivedLog;
use crate::server::disk::checkpoints;
use crate::server::{Manifest, StartError};
use serde::Serialize;
use std::fs::File;
use std::path::{Path, PathBuf};

const MANIFEST: &str = "manifest.toml";
const OTHER_CRC: &str = "is damaged: its CRC differs";

/// A backup with a sound list and manifest; its other files have not been read yet.
pub struct Restore {
    backup: PathBuf,
    list: BackupList,
    manifest: Manifest,
}

/// The contents of a finished restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// The data directory's id.
    pub directory: String,
    /// When the backup was begun, in Unix milliseconds.
    pub created: u64,
    pub shards: u16,
    pub files: usize,
    pub bytes: u64,
    pub records: u64,
}

impl Restore {
    pub fn open(backup: &Path) -> Result<Self, StartError> {
        let list = BackupList::load(backup)?;
        let path = backup.join(MANIFEST);
        let listed = list.files.iter().find(|file| file.path == MANIFEST);
        let listed = listed.ok_or_else(|| damaged(&path, "is not listed"))?;
        let manifest_bytes = std::fs::read(&path).map_err(|error| StartError::disk("read", &path, error))?;
        if !listed.is_of(crc32c::crc32c(&manifest_bytes)) {
            return Err(damaged(&path, OTHER_CRC));
        }
        let manifest = Manifest::load(backup)?.ok_or_else(|| damaged(&path, "is missing"))?;
        Ok(Self { backup: backup.to_owned(), list, manifest })
    }

    /// The bytes that `write` reports to `advance` in total: everything is copied, and logs are read back.
    pub fn bytes(&self) -> u64 {
        let logs = self.list.files.iter().filter(|file| file.path.ends_with(crate::server::disk::segment::SUFFIX));
        self.list.bytes() + logs.map(|file| file.bytes).sum::<u64>()
    }

    /// Fills `data_dir`, which must not exist or must be empty. On success all of it is durable; on an error,
    /// everything that was created is removed.
    pub fn write(&self, data_dir: &Path, advance: &dyn Fn(u64)) -> Result<RestoreReport, StartError> {
        let mut target = BackupTarget::claim(data_dir, &self.backup)?;
        for listed in self.list.files.iter().filter(|listed| listed.path != MANIFEST) {
            self.copy(listed, &mut target, advance)?;
        }
        let records = check_logs(&self.manifest, &mut target, advance)?;
        target.sync()?;
        // Another epoch: devices may have received newer entries than the backup has.
        target.write(MANIFEST, self.manifest.in_another_epoch()?.text().as_bytes())?;
        target.sync()?;
        target.finish();
        Ok(RestoreReport {
            directory: self.manifest.id.clone(),
            created: self.list.created,
            shards: self.manifest.shards,
            files: self.list.files.len(),
            bytes: self.list.bytes(),
            records,
        })
    }

    fn copy(&self, listed: &ListedFile, target: &mut BackupTarget, advance: &dyn Fn(u64)) -> Result<(), StartError> {
        let path = self.backup.join(&listed.path);
        let from = File::open(&path).map_err(|error| StartError::disk("open", &path, error))?;
        let found = from.metadata().map_err(|error| StartError::disk("read", &path, error))?.len();
        if found != listed.bytes {
            return Err(DiskError::CopyLength { path, found, expected: listed.bytes }.into());
        }
        if let Some((directory, _)) = listed.path.split_once('/') {
            target.directory(directory)?;
        }
        let to = target.file(&listed.path)?;
        let copied = copy(&from, &to, CopySpan { offset: 0, bytes: found, zeros: Zeros::Written }, advance);
        let crc = copied.and_then(|crc| to.sync_all().map(|()| crc));
        match crc {
            Ok(crc) if listed.is_of(crc) => Ok(()),
            Ok(_) => Err(damaged(&path, OTHER_CRC)),
            Err(error) => Err(StartError::disk("copy", &path, error)),
        }
    }
}

fn damaged(path: &Path, why: &'static str) -> StartError {
    DiskError::unfit(path, why).into()
}

/// Reads every log as a server would. Returns the number of records.
fn check_logs(manifest: &Manifest, target: &mut BackupTarget, advance: &dyn Fn(u64)) -> Result<u64, StartError> {
    let mut records = 0;
    for shard in (0..manifest.shards).map(ShardId) {
        let directory = target.directory(&shard_name(shard))?;
        let log = ArchivedLog::open(&directory, manifest.segment_bytes)?;
        let inspected = inspect(&Watched::new(&log, advance), shard, |_, _| {});
        let inspected = inspected.map_err(|error| DiskError::task("open the log in", &directory, error))?;
        if let Some(damage) = inspected.damage {
            return Err(DiskError::Damaged { path: directory, source: damage }.into());
        }
        expect_beginning(&directory, &log, shard)?;
        records += inspected.records;
    }
    Ok(records)
}

/// Only checkpoints still hold the contents of segments that retention has dropped: a server cannot open such a log
/// without a sound checkpoint.
pub(in crate::server) fn expect_beginning(
    directory: &Path,
    log: &ArchivedLog,
    shard: ShardId,
) -> Result<(), StartError> {
    if log.segments().is_empty() || log.segments().start == 1 {
        return Ok(());
    }
    let numbers = checkpoints::list(directory).map_err(|error| StartError::disk("list", directory, error))?;
    for path in numbers.into_iter().map(|through| checkpoints::path(directory, through)) {
        let bytes = std::fs::read(&path).map_err(|error| StartError::disk("read", &path, error))?;
        if Checkpoint::decode(&bytes, shard).is_ok() {
            return Ok(());
        }
    }
    let why = "begins after segment 1, and no sound checkpoint has the contents of the segments before";
    Err(damaged(directory, why))
}
