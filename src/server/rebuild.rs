//! Rewrites a stopped data directory beside itself, checks what was written, and puts it in the old one's place.
//!
//! Invariants: the old directory is never written to and stays under another name; the new one takes its place only when
//! it is complete, verified and durable. Between the two renames `DATA_DIR` does not exist: `settle` undoes the first.

use super::data_dir::shard_path;
use super::disk::ArchivedLog;
use super::segment::Segment;
use super::{Archive, StartError, checkpoints, files};
use crate::log::{Cut, Journal, Segments, Storage, StorageError};
use crate::model::{Conversation, ConversationSeq, Limits, Millis, Policies, Position, ShardId};
use crate::shard::{Care, Census, Lost, Past, Placement, RewriteError, Settings, Upkeep, Windows, rewrite};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const NEW: &str = "new-rebuild";
const SECRET: &str = "token-secret";

/// A data directory read whole, to be rewritten.
pub struct Rebuild {
    path: PathBuf,
    archive: Archive,
    logs: Vec<ArchivedLog>,
    pasts: Vec<Past>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Where the old directory is now.
    pub old: PathBuf,
    pub users: u64,
    pub entries: u64,
    /// Deliveries that were on their way and have arrived.
    pub completed: u64,
}

impl Rebuild {
    /// Locks the directory and reads every log.
    pub fn open(data_dir: &Path, care: Care) -> Result<Self, StartError> {
        settle(data_dir)?;
        let path = fs::canonicalize(data_dir).map_err(|_| no_directory(data_dir))?;
        let archive = Archive::open(&path)?;
        let (mut logs, mut pasts) = (Vec::new(), Vec::new());
        for shard in archive.shards() {
            let log = archive.log(shard)?;
            let directory = shard_path(&path, shard);
            let listed = checkpoints::list(&directory).map_err(|error| StartError::disk("list", &directory, &error))?;
            let read = |number: u32| fs::read(checkpoints::path(&directory, number));
            let known: Vec<Vec<u8>> = listed.into_iter().filter_map(|number| read(number).ok()).collect();
            let past = Past::read(&settings(&archive, shard), &log, &known, care);
            pasts.push(past.map_err(|error| refused(shard, &error))?);
            logs.push(log);
        }
        Ok(Self { path, archive, logs, pasts })
    }

    pub fn shards(&self) -> u16 {
        self.archive.manifest.shards
    }

    /// What is damaged, log by log.
    pub fn cuts(&self) -> impl Iterator<Item = (ShardId, Cut)> + '_ {
        self.archive.shards().zip(&self.pasts).flat_map(|(shard, past)| past.cuts.iter().map(move |cut| (shard, *cut)))
    }

    pub fn lost(&self) -> impl Iterator<Item = &Lost> {
        self.pasts.iter().flat_map(|past| &past.lost)
    }

    pub fn messages(&self) -> u64 {
        self.pasts.iter().map(Past::messages).sum()
    }

    /// Writes the directory anew for so many shards and swaps it in. `what` names the reason in the old one's new name.
    pub fn run(self, shards: u16, what: &str, now: Millis, progress: impl FnMut(u64)) -> Result<Rebuilt, StartError> {
        let new = beside(&self.path, NEW);
        if new.exists() {
            fs::remove_dir_all(&new).map_err(|error| StartError::disk("remove", &new, &error))?;
        }
        let made = self.write(&new, shards, now, progress)?;
        let old = beside(&self.path, &format!("before-{what}-{}", now.0 / 1_000));
        let swap = |from: &Path, to: &Path| {
            fs::rename(from, to).map_err(|error| StartError::disk("rename", from, &error))?;
            let parent = to.parent().unwrap_or(Path::new("/"));
            files::sync_directory(parent).map_err(|error| StartError::disk("sync", parent, &error))
        };
        swap(&self.path, &old)?;
        swap(&new, &self.path)?;
        Ok(Rebuilt { old, ..made })
    }

    fn write(&self, new: &Path, shards: u16, now: Millis, progress: impl FnMut(u64)) -> Result<Rebuilt, StartError> {
        make(new)?;
        let placement = Placement::new(shards);
        let mut manifest = self.archive.manifest.clone();
        manifest.shards = shards;
        let mut journals = Vec::new();
        for shard in placement.all() {
            let directory = shard_path(new, shard);
            make(&directory)?;
            let draft = Draft::new(&directory, manifest.segment_bytes)?;
            let opened = Journal::open(draft, shard, now, None, |_, _| {});
            journals.push(opened.map_err(|error| refused(shard, &error.into()))?.0);
        }
        let settings = settings(&self.archive, ShardId(0));
        let written = rewrite(&settings, &self.pasts, &self.logs, placement, &mut journals, progress);
        let written = written.map_err(|error| StartError::Disk(format!("cannot write {}: {error}", new.display())))?;
        for mut journal in journals {
            journal.storage().sync()?;
            journal.synced(journal.end());
            journal.vouch();
            journal.storage().sync()?;
        }
        self.copy_secret(new)?;
        manifest.store(new)?;
        self.verify(new, &written.census)?;
        for directory in placement.all().map(|shard| shard_path(new, shard)).chain([new.to_owned()]) {
            files::sync_directory(&directory).map_err(|error| StartError::disk("sync", &directory, &error))?;
        }
        let (users, entries) = (written.census.users() as u64, written.census.entries());
        Ok(Rebuilt { old: PathBuf::new(), users, entries, completed: written.completed })
    }

    fn copy_secret(&self, new: &Path) -> Result<(), StartError> {
        let (from, to) = (self.path.join(SECRET), new.join(SECRET));
        if !from.exists() {
            return Ok(());
        }
        let secret = fs::read(&from).map_err(|error| StartError::disk("read", &from, &error))?;
        files::write_atomically(&to, &secret, 0o600).map_err(|error| StartError::disk("write", &to, &error))
    }

    /// Reads the new directory back: every user's seqs and message ids, and every conversation's seq, as they were.
    fn verify(&self, new: &Path, written: &Census) -> Result<(), StartError> {
        let archive = Archive::open(new)?;
        let mut found = Census::default();
        let mut conversations = BTreeMap::new();
        for shard in archive.shards() {
            let past = Past::read(&settings(&archive, shard), &archive.log(shard)?, &NONE, Care::Refuse);
            let past = past.map_err(|error| refused(shard, &error))?;
            // Other shards know a conversation too, up to where their users have been told.
            for (name, seq) in past.conversations() {
                let newest: &mut ConversationSeq = conversations.entry(name).or_default();
                *newest = seq.max(*newest);
            }
            found.merge(past.census);
        }
        let is_there = |(name, seq): &(Conversation, _)| conversations.get(name).is_some_and(|found| found >= seq);
        let kept = self.pasts.iter().flat_map(Past::conversations).all(|it| is_there(&it));
        let before: u64 = self.pasts.iter().map(|past| past.census.entries()).sum();
        if found == *written && found.entries() >= before && kept {
            return Ok(());
        }
        Err(StartError::Disk(format!("{} does not hold what was read: nothing was changed", new.display())))
    }

    /// Writes the cut bytes of a repair beside the directory, with a list of them. Returns where.
    pub fn keep_cuts(&self, now: Millis) -> Result<PathBuf, StartError> {
        let directory = beside(&self.path, &format!("cut-{}", now.0 / 1_000));
        make(&directory)?;
        let mut list = String::from("file, shard, segment, offset, bytes\n");
        for (number, (shard, Cut { from, bytes })) in self.cuts().enumerate() {
            let (segment, offset) = (from.segment(), from.offset() as usize);
            let name = format!("{number:06}.bin");
            let log = &self.logs[usize::from(shard.0)];
            let range = offset..offset + bytes as usize;
            let kept = if log.is_readable(segment, range.clone()) { log.bytes(segment).get(range) } else { None };
            let path = directory.join(&name);
            files::write_atomically(&path, kept.unwrap_or_default(), 0o600)
                .map_err(|error| StartError::disk("write", &path, &error))?;
            list.push_str(&format!("{name}, {shard}, {segment}, {offset}, {bytes}\n"));
        }
        let path = directory.join("cuts.txt");
        files::write_atomically(&path, list.as_bytes(), 0o600)
            .map_err(|error| StartError::disk("write", &path, &error))?;
        Ok(directory)
    }
}

const NONE: [&[u8]; 0] = [];

/// Undoes what was cut short between the two renames: the newest old directory is put back, and all begins anew.
fn settle(data_dir: &Path) -> Result<(), StartError> {
    if data_dir.exists() || !beside(data_dir, NEW).exists() {
        return Ok(());
    }
    let parent = match data_dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = data_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let entries = fs::read_dir(parent).map_err(|error| StartError::disk("list", parent, &error))?;
    let before = format!("{name}.before-");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let stamp = |name: &String| name.rsplit('-').next().and_then(|seconds| seconds.parse::<u64>().ok());
    let Some(old) = names.filter(|name| name.starts_with(&before)).max_by_key(stamp) else { return Ok(()) };
    fs::rename(parent.join(&old), data_dir).map_err(|error| StartError::disk("put back", data_dir, &error))
}

fn no_directory(path: &Path) -> StartError {
    StartError::Configuration(format!("{} is no data directory", path.display()))
}

fn refused(shard: ShardId, error: &RewriteError) -> StartError {
    StartError::Disk(format!("shard {shard}: {error}; see `mushan log verify` and `mushan log repair`"))
}

fn settings(archive: &Archive, me: ShardId) -> Settings {
    Settings {
        me,
        placement: Placement::new(archive.manifest.shards),
        limits: Limits::default(),
        policies: Policies::default(),
        windows: Windows::default(),
        upkeep: Upkeep::default(),
        seed: archive.manifest.seed,
        fingerprint_seed: archive.manifest.seed,
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

fn make(path: &Path) -> Result<(), StartError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| StartError::disk("create", path, &error))
}

/// A log being written, with nobody to wait for: it makes its own segments.
struct Draft {
    directory: PathBuf,
    segment_bytes: u32,
    segments: Vec<Segment>,
    spare: Option<Segment>,
}

impl Draft {
    fn new(directory: &Path, segment_bytes: u32) -> Result<Self, StartError> {
        let spare = Segment::prepare(directory, 1, segment_bytes, 0);
        let spare = spare.map_err(|error| StartError::disk("fill", directory, &error))?;
        Ok(Self { directory: directory.to_owned(), segment_bytes, segments: Vec::new(), spare: Some(spare) })
    }

    fn sync(&self) -> Result<(), StartError> {
        let synced = self.segments.iter().try_for_each(Segment::sync);
        synced.map_err(|error| StartError::disk("sync", &self.directory, &error))
    }
}

impl Segments for Draft {
    fn segments(&self) -> Range<u32> {
        1..1 + u32::try_from(self.segments.len()).expect("segments are numbered in 32 bits")
    }

    fn bytes(&self, segment: u32) -> &[u8] {
        self.segments[segment as usize - 1].bytes()
    }
}

impl Storage for Draft {
    fn write(&mut self, segment: u32, offset: u32, bytes: &[u8]) {
        self.segments[segment as usize - 1].write(offset, bytes);
    }

    fn spare_bytes(&self) -> Option<u32> {
        self.spare.as_ref().map(|_| self.segment_bytes)
    }

    fn take_spare(&mut self) -> u32 {
        let spare = self.spare.take().expect("spare_bytes said that there is one");
        let number = spare.number;
        self.segments.push(spare.writable());
        // A disk that is full shows as a missing spare.
        self.spare = Segment::prepare(&self.directory, number + 1, self.segment_bytes, 0).ok();
        number
    }

    fn drop_first(&mut self) {
        unreachable!("a log being written drops nothing");
    }

    fn clear_from(&mut self, _from: Position) -> Result<(), StorageError> {
        Ok(())
    }
}
