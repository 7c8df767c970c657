//! The data directory: mode 0700, locked by one server at a time. Its shape is in its manifest.
//!
//! Layout: `manifest.toml`, `runs.toml`, `token-secret`, `lock`, `webhooks/` where there are some, and `shard-NNN/NNNNNNNN.log` for each shard.

use crate::log::{LogEnd, OpenError, StorageError};
use crate::model::{Limits, Millis, Policies, ShardId};
use crate::server::base::error::{ConfigurationError, DiskError};
use crate::server::base::files;
use crate::server::base::ownership::Owner;
use crate::server::data::runs::Runs;
use crate::server::data::swap;
use crate::server::disk::checkpoints;
use crate::server::disk::{ArchivedLog, numbers_in};
use crate::server::{Manifest, Options, Secret, StartError};
use crate::shard::{Placement, RewriteError, ShardSettings, Upkeep, Windows, expect_checkpointed};
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a server may take to give up a directory that it has agreed to hand over: its sync may be slow. Clients wait
/// meanwhile in the backlog of the one that takes over.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(30);
const HANDED_OVER_RETRY: Duration = Duration::from_millis(1);
/// The folder of the webhooks' cursors and dead letters; absent where there never was one.
pub const WEBHOOKS_DIRECTORY: &str = "webhooks";
/// The folder of the audit trail; absent where there never was an HTTP API.
pub const AUDIT_DIRECTORY: &str = "audit";
/// The account with an authority, and the certificate that it has issued.
pub const ACME_DIRECTORY: &str = "acme";

/// Only a backup contains this file.
pub(in crate::server) const BACKUP_LIST_FILE: &str = "backup.toml";

#[derive(Debug)]
pub struct DataDir {
    pub path: PathBuf,
    pub manifest: Manifest,
    pub secret: Secret,
    /// Held for the life of the server; the kernel releases the lock with the process.
    _lock: File,
}

impl DataDir {
    /// Opens a data directory, or creates one with `options.shards` shards, or with one for each of `cores` cores.
    pub fn open(options: &Options, cores: usize, now: Millis) -> Result<Self, StartError> {
        let path = options.data_dir.clone();
        expect_no_backup(&path)?;
        swap::finish(&path)?;
        make_directory(files::parent_of(&path))?;
        create_directory(&path)?;
        let lock = lock(&path)?;
        Self::open_locked(options, lock, cores, now)
    }

    /// Opens a data directory as soon as the server there gives it up, which it has agreed to.
    pub fn open_after_another(options: &Options, cores: usize, now: Millis) -> Result<Self, StartError> {
        let path = &options.data_dir;
        let began = Instant::now();
        let lock = loop {
            match lock(path) {
                Err(StartError::Disk(DiskError::InUse { .. })) if began.elapsed() < HANDED_OVER_WITHIN => {
                    std::thread::sleep(HANDED_OVER_RETRY);
                }
                Err(StartError::Disk(DiskError::InUse { path, pid })) => {
                    return Err(DiskError::NotHandedOver { path, pid, waited_s: HANDED_OVER_WITHIN.as_secs() }.into());
                }
                locked => break locked?,
            }
        };
        Self::open_locked(options, lock, cores, now)
    }

    /// The manifest of a directory that another server uses, if this server could open it.
    pub fn expect_usable(options: &Options) -> Result<Manifest, StartError> {
        let path = &options.data_dir;
        let manifest = Manifest::load(path)?.ok_or_else(|| ConfigurationError::no_data_directory(path))?;
        expect_shards(options, &manifest)?;
        Ok(manifest)
    }

    fn open_locked(options: &Options, lock: File, cores: usize, now: Millis) -> Result<Self, StartError> {
        let path = options.data_dir.clone();
        expect_private(&path);
        swap::forget_new(&path)?;
        let manifest = match Manifest::load(&path)? {
            Some(manifest) => manifest,
            None => found(options, cores, now)?,
        };
        expect_shards(options, &manifest)?;
        let has_logs = has_logs(&path, manifest.shards);
        for shard in 0..manifest.shards {
            make_directory(&shard_path(&path, ShardId(shard)))?;
        }
        files::sync_directory(&path).map_err(|error| StartError::disk("sync", &path, error))?;
        let secret = if has_logs { Secret::expect(&path)? } else { Secret::load_or_create(&path)? };
        Ok(Self { path, manifest, secret, _lock: lock })
    }

    pub fn shard(&self, shard: ShardId) -> PathBuf {
        shard_path(&self.path, shard)
    }
}

fn expect_shards(options: &Options, manifest: &Manifest) -> Result<(), StartError> {
    let Some(wanted) = options.shards.filter(|wanted| *wanted != manifest.shards) else { return Ok(()) };
    Err(ConfigurationError::ShardCount { path: options.data_dir.clone(), shards: manifest.shards, wanted }.into())
}

/// Begins a run on logs that were found like this: checks them, and lists the run. Durable on return. Its number, as
/// `Runs::begin` gives it. `found[n]` is shard n's.
pub fn begin_run(data_dir: &Path, found: &[LogEnd], step: u32) -> Result<u64, StartError> {
    let mut runs = runs_of_fitting(data_dir, found)?;
    let number = runs.begin(found, step);
    runs.store(data_dir)?;
    Ok(number)
}

/// The runs of a data directory, if logs that were found like this belong to one history.
fn runs_of_fitting(data_dir: &Path, found: &[LogEnd]) -> Result<Runs, StartError> {
    let runs = Runs::load(data_dir, found.len())?;
    let Some((shard, misfit)) = runs.misfit(found) else { return Ok(runs) };
    let (path, why) = (shard_path(data_dir, shard), misfit.sentence());
    Err(DiskError::Misfit { shard, path, why }.into())
}

/// The logs of a data directory that no server is using, for reading: nothing is created or changed.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    pub manifest: Manifest,
    /// Held so that no server starts meanwhile.
    _lock: File,
}

impl Archive {
    pub fn open(data_dir: &Path) -> Result<Self, StartError> {
        let Some(manifest) = Manifest::load(data_dir)? else {
            return Err(ConfigurationError::no_data_directory(data_dir).into());
        };
        Ok(Self { path: data_dir.to_owned(), manifest, _lock: lock(data_dir)? })
    }

    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.manifest.shards).map(ShardId)
    }

    /// One shard's segments, read-only.
    pub fn log(&self, shard: ShardId) -> Result<ArchivedLog, StartError> {
        ArchivedLog::open(&shard_path(&self.path, shard), self.manifest.segment_bytes)
    }

    /// The shard's checkpoints that can be read, newest first.
    pub(in crate::server) fn checkpoints(&self, shard: ShardId) -> Result<Vec<Vec<u8>>, StartError> {
        let directory = shard_path(&self.path, shard);
        let listed = match checkpoints::list(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed.map_err(|error| StartError::disk("list", &directory, error))?,
        };
        let read = |number: u32| std::fs::read(checkpoints::path(&directory, number));
        Ok(listed.into_iter().filter_map(|number| read(number).ok()).collect())
    }

    /// Checks that a log with sound records contains everything that its checkpoint covers and every delivery that is
    /// not confirmed.
    pub fn expect_checkpointed(&self, shard: ShardId, log: &ArchivedLog) -> Result<(), RewriteError> {
        let unread = |error: StartError| OpenError::from(StorageError::Medium(Box::new(error)));
        let known = self.checkpoints(shard).map_err(unread)?;
        expect_checkpointed(&self.settings(shard), log, &known)
    }

    /// Whether logs that end like this are of one history. `found[n]` is shard n's.
    pub fn expect_history(&self, found: &[LogEnd]) -> Result<(), StartError> {
        runs_of_fitting(&self.path, found).map(drop)
    }

    /// The settings with which its logs were written.
    pub(in crate::server) fn settings(&self, me: ShardId) -> ShardSettings {
        ShardSettings {
            me,
            placement: Placement::new(self.manifest.shards),
            limits: Limits::default(),
            policies: Policies::default(),
            windows: Windows::default(),
            upkeep: Upkeep::default(),
            seed: self.manifest.seed,
            fingerprint_seed: self.manifest.seed,
        }
    }
}

/// The number of segments in all logs of a data directory. Unreadable directories count as empty: opening them reports
/// the error.
pub fn segments_in(data_dir: &Path) -> u64 {
    let shards = std::fs::read_dir(data_dir).into_iter().flatten().flatten().map(|entry| entry.path());
    shards.map(|shard| numbers_in(&shard).map_or(0, |numbers| numbers.len() as u64)).sum()
}

pub fn shard_name(shard: ShardId) -> String {
    format!("shard-{:03}", shard.0)
}

pub fn shard_path(data_dir: &Path, shard: ShardId) -> PathBuf {
    data_dir.join(shard_name(shard))
}

/// The manifest of a new data directory. Refuses a directory with logs and no manifest, which is somebody's data.
fn found(options: &Options, cores: usize, now: Millis) -> Result<Manifest, StartError> {
    let path = &options.data_dir;
    if shard_path(path, ShardId(0)).exists() {
        return Err(DiskError::unfit(path, "has logs but no manifest.toml").into());
    }
    let shards = options.shards.unwrap_or_else(|| u16::try_from(cores).unwrap_or(u16::MAX).min(crate::shard::SLOTS));
    // A directory that was just created, by this start or by one that ended early, may be lost in a power cut until its parent
    // is synced.
    let parent = files::parent_of(path);
    files::sync_directory(parent).map_err(|error| StartError::disk("sync", parent, error))?;
    let manifest = Manifest::new(shards, options.segment_bytes, now)?;
    manifest.store(path)?;
    Ok(manifest)
}

fn has_logs(data_dir: &Path, shards: u16) -> bool {
    let has_files =
        |shard| std::fs::read_dir(shard_path(data_dir, ShardId(shard))).is_ok_and(|mut it| it.next().is_some());
    (0..shards).any(has_files)
}

/// Restricts the directory to its owner, because segments are mapped on the assumption that nobody else writes to them.
/// A directory that belongs to somebody else, such as one that an orchestrator mounts, keeps its mode; a warning is
/// logged.
fn expect_private(data_dir: &Path) {
    let file = data_dir.display();
    match files::keep_private(data_dir, 0o700) {
        Ok(None) => {}
        Ok(Some(had)) => {
            tracing::warn!(directory = %file, mode = format!("{had:04o}"), "other users could use this directory: its mode is 0700 now");
        }
        Err(error) => {
            tracing::warn!(directory = %file, %error, "other users can use this directory, and its mode cannot be changed");
        }
    }
}

fn create_directory(path: &Path) -> Result<(), StartError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| StartError::disk("create", path, error))
}

/// Creates a directory and its missing parents, each durable on return.
pub fn make_directory(path: &Path) -> Result<(), StartError> {
    let missing: Vec<&Path> = path.ancestors().take_while(|it| !it.as_os_str().is_empty() && !it.exists()).collect();
    create_directory(path)?;
    for parent in missing.iter().rev().map(|made| files::parent_of(made)) {
        files::sync_directory(parent).map_err(|error| StartError::disk("sync", parent, error))?;
    }
    Ok(())
}

/// Refuses a backup: writing would change it, and its segments are sparse files without the blocks that a log needs.
pub fn expect_no_backup(path: &Path) -> Result<(), StartError> {
    if !path.join(BACKUP_LIST_FILE).exists() {
        return Ok(());
    }
    Err(ConfigurationError::Backup { path: path.to_owned() }.into())
}

fn lock(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.join("lock");
    let is_new = !path.exists();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| StartError::disk("open", &path, error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            let given = if is_new { Owner::of(data_dir).and_then(|owner| owner.take(&path)) } else { Ok(()) };
            let written = given.and_then(|()| file.set_len(0)).and_then(|()| write!(file, "{}", std::process::id()));
            written.map_err(|error| StartError::disk("write", &path, error))?;
            Ok(file)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // The lock's holder may not have written its pid yet.
            let _ = file.read_to_string(&mut holder);
            let pid = holder.trim().parse().ok();
            Err(DiskError::InUse { path: data_dir.to_owned(), pid }.into())
        }
        Err(error) => Err(StartError::disk("lock", &path, error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Position;
    use std::os::unix::fs::PermissionsExt;

    fn options(path: &Path, shards: Option<u16>) -> Options {
        Options { data_dir: path.join("data"), shards, ..Options::default() }
    }

    #[test]
    fn the_shard_count_is_fixed_when_the_directory_is_made() {
        let temporary = tempfile::tempdir().expect("a directory");
        let made = DataDir::open(&options(temporary.path(), None), 3, Millis(1)).expect("made");
        assert_eq!(made.manifest.shards, 3);
        assert_eq!(std::fs::metadata(&made.path).expect("there").permissions().mode() & 0o777, 0o700);
        assert!(made.shard(ShardId(2)).ends_with("shard-002") && made.shard(ShardId(2)).is_dir());
        drop(made);
        let again = DataDir::open(&options(temporary.path(), None), 8, Millis(2)).expect("opened");
        assert_eq!(again.manifest.shards, 3);
        drop(again);
        let error = DataDir::open(&options(temporary.path(), Some(4)), 8, Millis(3)).expect_err("other count");
        assert_eq!(error.exit_status(), 1, "{error}");
    }

    #[test]
    fn a_backup_is_not_served_and_the_refusal_says_what_to_do() {
        let temporary = tempfile::tempdir().expect("a directory");
        let options = options(temporary.path(), None);
        std::fs::create_dir(&options.data_dir).expect("made");
        std::fs::write(options.data_dir.join(BACKUP_LIST_FILE), "").expect("written");
        let error = DataDir::open(&options, 1, Millis(1)).expect_err("a backup");
        let said = format!("`mushan restore --from {} --data-dir DIRECTORY`", options.data_dir.display());
        assert!(error.exit_status() == 1 && error.to_string().contains(&said), "{error}");
        assert_eq!(std::fs::read_dir(&options.data_dir).expect("there").count(), 1, "nothing was made in it");
    }

    #[test]
    fn a_directory_that_others_can_use_is_taken_from_them() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = temporary.path().join("data");
        std::fs::create_dir(&path).expect("made");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("its mode");
        drop(DataDir::open(&options(temporary.path(), None), 1, Millis(1)).expect("made"));
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_secret_that_is_missing_beside_logs_ends_the_start() {
        let temporary = tempfile::tempdir().expect("a directory");
        let made = DataDir::open(&options(temporary.path(), None), 1, Millis(1)).expect("made");
        std::fs::remove_file(made.path.join("token-secret")).expect("removed");
        drop(made);
        drop(DataDir::open(&options(temporary.path(), None), 1, Millis(1)).expect("there are no logs yet"));
        let path = temporary.path().join("data");
        std::fs::remove_file(path.join("token-secret")).expect("removed");
        std::fs::write(path.join("shard-000/00000001.log"), "").expect("written");
        let error = DataDir::open(&options(temporary.path(), None), 1, Millis(1)).expect_err("no secret");
        assert_eq!(error.exit_status(), 3, "{error}");
        assert!(!path.join("token-secret").exists());
    }

    #[test]
    fn two_servers_never_open_one_directory() {
        let temporary = tempfile::tempdir().expect("a directory");
        let _first = DataDir::open(&options(temporary.path(), None), 1, Millis(1)).expect("made");
        let error = DataDir::open(&options(temporary.path(), None), 1, Millis(1)).expect_err("locked");
        assert_eq!(error.exit_status(), 3);
        assert!(error.to_string().contains(&format!("(pid {})", std::process::id())), "{error}");
    }

    #[test]
    fn logs_without_a_manifest_are_not_taken_for_a_new_directory() {
        let temporary = tempfile::tempdir().expect("a directory");
        drop(DataDir::open(&options(temporary.path(), None), 1, Millis(1)).expect("made"));
        std::fs::remove_file(temporary.path().join("data/manifest.toml")).expect("removed");
        let error = DataDir::open(&options(temporary.path(), None), 1, Millis(1)).expect_err("no manifest");
        assert_eq!(error.exit_status(), 3, "{error}");
    }

    fn end(epoch: u64, segment: u32, offset: u32) -> LogEnd {
        LogEnd { log: Millis(5), epoch, position: Position::new(segment, offset) }
    }

    #[test]
    fn a_start_on_a_log_that_does_not_fit_lists_nothing_and_says_which_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let first = begin_run(path, &[end(0, 1, 64), end(0, 1, 64)], 7).expect("new logs");
        let second = begin_run(path, &[end(first, 3, 640), end(first, 2, 720)], 0).expect("they fit");
        let listed = || std::fs::read(path.join("runs.toml")).expect("there");
        let before = listed();
        let found = [end(second, 3, 696), end(first, 5, 64)];
        let error = begin_run(path, &found, 0).expect_err("it holds what was lost");
        let said = error.to_string();
        assert_eq!(error.exit_status(), 3);
        assert!(said.starts_with("shard 1: the log in ") && said.contains("shard-001 holds what"), "{said}");
        assert!(said.contains("`mushan restore`") && said.contains("`mushan audit`"), "{said}");
        assert_eq!(listed(), before);
        assert!(begin_run(path, &[found[0], end(first, 2, 720)], 0).expect("they fit") > second);
        assert_ne!(listed(), before);
    }

    #[test]
    fn a_number_that_the_list_of_runs_cannot_hold_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = begin_run(directory.path(), &[end(u64::MAX, 1, 800)], 0).expect_err("too large");
        assert!(error.exit_status() == 3 && error.to_string().contains("runs.toml"), "{error}");
    }
}
