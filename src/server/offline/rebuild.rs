//! Rewrites a stopped data directory beside itself, checks the result, and replaces the old directory by it.
//!
//! Invariants: the old directory is never written to and stays under another name; the new one replaces it (`swap`)
//! only when it is complete, verified and durable.

use crate::log::{Cut, Journal, Segments, inspect};
use crate::model::{Millis, ShardId};
use crate::server::auth::secret;
use crate::server::base::error::{ConfigurationError, DiskError, SEE_REPAIR};
use crate::server::base::error::{SEE_TOOLS, advice};
use crate::server::base::files;
use crate::server::base::ownership::Owner;
use crate::server::data::directory::{
    ACME_DIRECTORY, AUDIT_DIRECTORY, WEBHOOKS_DIRECTORY, begin_run, expect_no_backup, make_directory, shard_path,
};
use crate::server::data::swap;
use crate::server::offline::damaged_log::{DamagedLog, MissingSegment};
use crate::server::offline::log_writer::LogWriter;
use crate::server::{Archive, StartError};
use crate::shard::{
    DamagePolicy, Digest, OldDirectory, Placement, Recovery, RewriteError, Rewritten, ScanCounts, SourceShard, rewrite,
};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A data directory that was read completely, ready to be rewritten.
pub struct Rebuild {
    path: PathBuf,
    archive: Archive,
    logs: Vec<DamagedLog>,
    sources: Vec<SourceShard>,
    recovery: Recovery,
}

/// The result of a rewrite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The new path of the old directory.
    pub old: PathBuf,
    pub users: u64,
    pub entries: u64,
    /// Deliveries that were under way and have been completed.
    pub completed: u64,
    /// Entries that a damaged log had lost and another log still had.
    pub recovered: u64,
}

/// The progress of a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebuildStep {
    /// The number of messages of the old logs that have been written.
    Written(u64),
    /// The new directory is durable and has been read back.
    Verified,
    /// The new directory is marked complete and may replace the old one.
    Complete,
    /// The old directory has its other name, and the data directory's name is free.
    PutAside,
    Swapped,
}

impl Rebuild {
    /// Locks the directory and reads every log.
    pub fn open(data_dir: &Path, damage_policy: DamagePolicy) -> Result<Self, StartError> {
        expect_no_backup(data_dir)?;
        swap::finish(data_dir)?;
        let path = fs::canonicalize(data_dir).map_err(|_| no_directory(data_dir))?;
        let archive = Archive::open(&path)?;
        let (mut logs, mut sources) = (Vec::new(), Vec::new());
        for shard in archive.shards() {
            let directory = shard_path(&path, shard);
            let log = DamagedLog::open(&directory, archive.manifest.segment_bytes)
                .map_err(|error| StartError::disk("read", &directory, error))?;
            if let (DamagePolicy::Refuse, Some(absence)) = (damage_policy, log.absences().first()) {
                return Err(DiskError::Shard { shard, source: (*absence).into(), advice: SEE_REPAIR }.into());
            }
            let known = archive.checkpoints(shard)?;
            let source = SourceShard::read(&archive.settings(shard), &log, &known, damage_policy);
            sources.push(source.map_err(|error| refused(shard, error))?);
            logs.push(log);
        }
        expect_history(&archive, &sources, &logs)?;
        let recovery = Recovery::find(&archive.settings(ShardId(0)), &sources, &logs);
        let recovery = recovery.map_err(|error| DiskError::Logs(error.into()))?;
        Ok(Self { path, archive, logs, sources, recovery })
    }

    pub fn shards(&self) -> u16 {
        self.archive.manifest.shards
    }

    /// Whether anything needs a repair.
    pub fn is_damaged(&self) -> bool {
        self.absences().next().is_some() || self.sources.iter().any(SourceShard::is_damaged)
    }

    /// The damaged ranges, log by log.
    pub fn cuts(&self) -> impl Iterator<Item = (ShardId, Cut)> + '_ {
        let cuts = self.archive.shards().zip(&self.sources);
        cuts.flat_map(|(shard, source)| source.cuts.iter().map(move |cut| (shard, *cut)))
            .filter(|(_, cut)| cut.bytes > 0)
    }

    /// Files that are missing or have a wrong length.
    pub fn absences(&self) -> impl Iterator<Item = (ShardId, MissingSegment)> + '_ {
        let logs = self.archive.shards().zip(&self.logs);
        logs.flat_map(|(shard, log)| log.absences().iter().map(move |absence| (shard, *absence)))
    }

    /// Other faults that keep a server from starting, as text.
    pub fn faults(&self) -> impl Iterator<Item = (ShardId, String)> + '_ {
        let sources = self.archive.shards().zip(&self.sources);
        sources.flat_map(|(shard, source)| source.faults.iter().map(move |fault| (shard, fault.to_string())))
    }

    /// What is lost, and what other shards' logs still contain.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    pub fn messages(&self) -> u64 {
        self.sources.iter().map(SourceShard::messages).sum()
    }

    /// Writes a new directory with this number of shards and swaps it in. `what` is the reason and becomes part of the
    /// old directory's new name.
    pub fn run(
        mut self,
        shards: u16,
        what: &str,
        now: Millis,
        mut step: impl FnMut(RebuildStep),
    ) -> Result<Rebuilt, StartError> {
        let new = swap::clear_new(&self.path)?;
        let made = self.write(&new, shards, now, &mut step)?;
        step(RebuildStep::Verified);
        swap::declare_complete(&new)?;
        self.give(&new)?;
        step(RebuildStep::Complete);
        let old = swap::free_beside(&self.path, &format!("before-{what}-{}", now.0 / 1_000));
        swap::put_aside(&self.path, &old)?;
        step(RebuildStep::PutAside);
        swap::finish(&self.path)?;
        step(RebuildStep::Swapped);
        Ok(Rebuilt { old, ..made })
    }

    fn write(
        &mut self,
        new: &Path,
        shards: u16,
        now: Millis,
        step: &mut impl FnMut(RebuildStep),
    ) -> Result<Rebuilt, StartError> {
        make(new)?;
        let placement = Placement::new(shards);
        let before = &self.archive.manifest;
        let mut manifest = if self.is_damaged() { before.in_another_epoch()? } else { before.clone() };
        manifest.shards = shards;
        let (mut journals, mut begun) = (Vec::new(), Vec::new());
        for shard in placement.all() {
            let directory = shard_path(new, shard);
            make(&directory)?;
            let draft = LogWriter::new(&directory, manifest.segment_bytes)?;
            let opened = Journal::open(draft, shard, now, None, |_, _| {});
            let (journal, opened) = opened.map_err(|error| refused(shard, error.into()))?;
            begun.push(opened.found);
            journals.push(journal);
        }
        let old = OldDirectory {
            settings: &self.archive.settings(ShardId(0)),
            sources: &mut self.sources,
            logs: &self.logs,
            recovery: &self.recovery,
        };
        let progress = |messages| step(RebuildStep::Written(messages));
        let written = rewrite(old, placement, &mut journals, progress);
        let written = written.map_err(|error| DiskError::task("write", new, error))?;
        for mut journal in journals {
            journal.storage().sync()?;
            journal.synced(journal.end());
            // The seal writes a mark: without one, a later repair would trust nothing after the first segment.
            let _sealed = journal.seal();
            journal.storage().sync()?;
        }
        self.copy_kept_files(new)?;
        // The old logs do not come back into this directory.
        begin_run(new, &begun, 0)?;
        manifest.store(new)?;
        self.verify(new, &written)?;
        for directory in placement.all().map(|shard| shard_path(new, shard)).chain([new.to_owned()]) {
            files::sync_directory(&directory).map_err(|error| StartError::disk("sync", &directory, error))?;
        }
        let (users, entries) = (written.scan_counts.users() as u64, written.scan_counts.entries());
        let (completed, recovered) = (written.completed, written.recovered);
        Ok(Rebuilt { old: PathBuf::new(), users, entries, completed, recovered })
    }

    /// Gives a new path the owner of the old directory.
    fn give(&self, made: &Path) -> Result<(), StartError> {
        let given = Owner::of(&self.path).and_then(|owner| owner.take(made));
        given.map_err(|error| StartError::disk("change the owner of", made, error))
    }

    fn copy_kept_files(&self, new: &Path) -> Result<(), StartError> {
        for name in secret::KEPT_FILES {
            let (from, to) = (self.path.join(name), new.join(name));
            if !from.exists() {
                continue;
            }
            let kept = fs::read(&from).map_err(|error| StartError::disk("read", &from, error))?;
            files::write_atomically(&to, &kept, 0o600).map_err(|error| StartError::disk("write", &to, error))?;
        }
        self.copy_folder(WEBHOOKS_DIRECTORY, new)?;
        self.copy_folder(ACME_DIRECTORY, new)?;
        self.copy_folder(AUDIT_DIRECTORY, new)
    }

    /// Dead letters outlive a rebuild, and so do cursors: a webhook sees that its own is of other logs. The audit trail
    /// goes on, and a certificate stays.
    fn copy_folder(&self, name: &str, new: &Path) -> Result<(), StartError> {
        let (from, to) = (self.path.join(name), new.join(name));
        let failed = |doing: &'static str, path: &Path| {
            let path = path.to_owned();
            move |error| StartError::disk(doing, &path, error)
        };
        let listed = match fs::read_dir(&from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            listed => listed.map_err(failed("list", &from))?,
        };
        make_directory(&to)?;
        for entry in listed {
            let name = entry.map_err(failed("list", &from))?.file_name();
            let (from, to) = (from.join(&name), to.join(&name));
            let kept = fs::read(&from).map_err(failed("read", &from))?;
            files::write_atomically(&to, &kept, 0o600).map_err(failed("write", &to))?;
        }
        Ok(())
    }

    /// Reads the new directory back and compares every entry, every place of every conversation and all other state
    /// with what was read from the old one.
    fn verify(&self, new: &Path, written: &Rewritten) -> Result<(), StartError> {
        let archive = Archive::open(new)?;
        let mut sources = Vec::new();
        for shard in archive.shards() {
            let source = SourceShard::read(&archive.settings(shard), &archive.log(shard)?, &NONE, DamagePolicy::Refuse);
            sources.push(source.map_err(|error| refused(shard, error))?);
        }
        let kept = Digest::of(&sources, Placement::new(archive.manifest.shards));
        let (mut scan_counts, mut threads) = (ScanCounts::default(), Digest::default());
        for source in sources {
            threads.merge(source.threads);
            scan_counts.merge(source.scan_counts);
        }
        let before: u64 = self.sources.iter().map(|source| source.scan_counts.entries()).sum();
        let has_all = scan_counts == written.scan_counts && scan_counts.entries() >= before;
        if has_all && threads == written.threads && kept == written.kept {
            return Ok(());
        }
        Err(DiskError::unfit(new, "differs from what was read from the old directory: nothing was changed").into())
    }

    /// Writes the cut bytes of a repair to a directory beside the data directory, with a list of them. Returns its
    /// path.
    pub fn keep_cuts(&self, now: Millis) -> Result<PathBuf, StartError> {
        let directory = swap::beside(&self.path, &format!("cut-{}", now.0 / 1_000));
        make(&directory)?;
        let mut list = String::from("file, shard, segment, offset, bytes\n");
        for (number, (shard, Cut { from, bytes })) in self.cuts().enumerate() {
            let (segment, offset) = (from.segment(), from.offset() as usize);
            let name = format!("{number:06}.bin");
            let (log, range) = (&self.logs[usize::from(shard.0)], offset..offset + bytes as usize);
            let kept = if log.is_readable(segment, range.clone()) { log.bytes(segment).get(range) } else { None };
            let path = directory.join(&name);
            files::write_atomically(&path, kept.unwrap_or_default(), 0o600)
                .map_err(|error| StartError::disk("write", &path, error))?;
            list.push_str(&format!("{name}, {shard}, {segment}, {offset}, {bytes}\n"));
        }
        let path = directory.join("cuts.txt");
        files::write_atomically(&path, list.as_bytes(), 0o600)
            .map_err(|error| StartError::disk("write", &path, error))?;
        self.give(&directory)?;
        Ok(directory)
    }
}

/// A new directory has new runs, so contradictions between the logs could not be detected later. If a log is damaged
/// its end is unknown, and this is not checked.
fn expect_history(archive: &Archive, pasts: &[SourceShard], logs: &[DamagedLog]) -> Result<(), StartError> {
    if pasts.iter().any(SourceShard::is_damaged) {
        return Ok(());
    }
    let end_of = |(shard, log)| inspect(log, shard, |_, _| {}).map(|inspection| inspection.log_end());
    let ends = archive.shards().zip(logs).map(end_of).collect::<Result<Vec<_>, _>>();
    archive.expect_history(&ends.map_err(|error| DiskError::Logs(error.into()))?)
}

const NONE: [&[u8]; 0] = [];

fn no_directory(path: &Path) -> StartError {
    ConfigurationError::no_data_directory(path).into()
}

fn refused(shard: ShardId, error: RewriteError) -> StartError {
    let advice = match &error {
        RewriteError::Log(error) => advice(error),
        RewriteError::Unread(_) | RewriteError::NoRoom { .. } => SEE_TOOLS,
    };
    DiskError::Shard { shard, source: error.into(), advice }.into()
}

fn make(path: &Path) -> Result<(), StartError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| StartError::disk("create", path, error))
}

#[cfg(test)]
#[path = "rebuild_tests.rs"]
mod tests;
