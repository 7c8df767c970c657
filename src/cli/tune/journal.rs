//! A journal of changes to the host, so that they can be undone: each is recorded before it is made, and read back
//! after.
//!
//! Invariants: a value is overwritten only after its former value is on disk; a value that somebody else has changed
//! since is left alone by `undo` and stays in the journal.

use crate::cli::tune::host::{Host, is_of_kernel, value_of};
use crate::cli::tune::network::digits;
use crate::cli::tune::report::PlannedChange;
use crate::terminal::failure::Failure;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TuneEntry {
    pub condition: String,
    pub path: String,
    /// The value to restore; `None`: the file did not exist.
    pub before: Option<String>,
    pub after: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u32,
    changes: Vec<TuneEntry>,
}

pub struct TuneJournal {
    path: PathBuf,
    entries: Vec<TuneEntry>,
}

impl TuneJournal {
    /// Reads the journal of earlier runs at `path`; empty if there is no such file.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path: path.to_owned(), entries: Vec::new() });
            }
            Err(error) => return Err(Failure::because(format!("cannot read {}", path.display()))(error)),
        };
        let unfit = format!("{} is not a journal of changes", path.display());
        let stored: Stored = serde_json::from_str(&text).map_err(Failure::because(&unfit))?;
        if stored.version != VERSION {
            return Err(Failure::new(format!("{unfit}: version {}, and this is version {VERSION}", stored.version)));
        }
        Ok(Self { path: path.to_owned(), entries: stored.changes })
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn entries(&self) -> &[TuneEntry] {
        &self.entries
    }

    /// Makes one change. On an error the host is unchanged, or the journal contains the change.
    pub fn make(&mut self, host: &Host, step: &PlannedChange) -> Result<(), String> {
        let path = &step.change.path;
        let before = current(host, path)?;
        let earlier = self.entries.iter().position(|entry| entry.path == *path);
        let kept = self.entries.clone();
        match earlier {
            // The value before the first change is the one to restore.
            Some(index) => self.entries[index].after.clone_from(&step.change.to),
            None => self.entries.push(TuneEntry {
                condition: step.condition.clone(),
                path: path.clone(),
                before: before.clone(),
                after: step.change.to.clone(),
            }),
        }
        self.save().map_err(|failure| failure.sentence)?;
        let made = put(host, path, &step.change.to);
        if made.is_err() && put_back(host, path, before.as_deref()).is_ok() {
            self.entries = kept;
            self.save().map_err(|failure| failure.sentence)?;
        }
        made
    }

    /// Undoes the changes that `is_meant` selects, the latest first; reports each, and returns those that failed.
    pub fn undo(
        &mut self,
        host: &Host,
        is_meant: impl Fn(&str) -> bool,
        mut tell: impl FnMut(String),
    ) -> Result<Vec<String>, Failure> {
        let mut kept = Vec::new();
        let mut faults = Vec::new();
        while let Some(entry) = self.entries.pop() {
            if !is_meant(&entry.condition) {
                kept.push(entry);
                continue;
            }
            match take_back(host, &entry) {
                Ok(done) => tell(done),
                Err(why) => {
                    faults.push(format!("{}: {why}", entry.path));
                    kept.push(entry);
                }
            }
        }
        self.entries = kept.into_iter().rev().collect();
        self.save()?;
        Ok(faults)
    }

    /// Writes the journal atomically; without entries, removes the file.
    fn save(&self) -> Result<(), Failure> {
        let saved = if self.entries.is_empty() { self.remove() } else { self.write() };
        saved.map_err(Failure::because(format!("cannot keep {}", self.path.display())))
    }

    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn write(&self) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let temporary = self.path.with_extension("tmp");
        let stored = Stored { version: VERSION, changes: self.entries.clone() };
        let text = serde_json::to_string_pretty(&stored).expect("plain data always encodes");
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        File::open(folder)?.sync_all()
    }
}

/// A kernel value in its short form, or a file's whole content.
pub fn current(host: &Host, path: &str) -> Result<Option<String>, String> {
    if is_of_kernel(path) {
        return host.read(path).map(|text| Some(value_of(&text)));
    }
    match fs::read_to_string(host.path(path)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{path} cannot be read: {error}")),
    }
}

fn put(host: &Host, path: &str, to: &str) -> Result<(), String> {
    host.write(path, to).map_err(|error| format!("{path} cannot be written: {error}"))?;
    match current(host, path)? {
        Some(now) if says(path, &now, to) => Ok(()),
        now => Err(format!("{path} was set to \"{to}\" and contains \"{}\"", now.unwrap_or_default())),
    }
}

fn put_back(host: &Host, path: &str, before: Option<&str>) -> Result<(), String> {
    if let Some(before) = before {
        return put(host, path, before);
    }
    match host.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("{path} cannot be removed: {error}")),
        _ => Ok(()),
    }
}

fn take_back(host: &Host, entry: &TuneEntry) -> Result<String, String> {
    let TuneEntry { condition, path, before, after } = entry;
    let now = current(host, path)?;
    let is = |text: Option<&str>| match (&now, text) {
        (Some(now), Some(text)) => says(path, now, text),
        (now, text) => now.is_none() && text.is_none(),
    };
    let shown = before.as_deref().filter(|_| is_of_kernel(path)).unwrap_or("as it was");
    if is(before.as_deref()) {
        return Ok(format!("{condition}: {path} is {shown} already"));
    }
    if !is(Some(after)) {
        return Err("changed by somebody else since; left alone".to_owned());
    }
    put_back(host, path, before.as_deref())?;
    let done = if before.is_none() { "removed".to_owned() } else { format!("back to {shown}") };
    Ok(format!("{condition}: {path} {done}"))
}

/// Whether a file's content is the written value, however the kernel formats it.
pub fn says(path: &str, now: &str, told: &str) -> bool {
    if path.ends_with("_cpus") {
        return digits(now) == digits(told);
    }
    if is_of_kernel(path) {
        return value_of(now) == value_of(told);
    }
    now.trim_end() == told.trim_end()
}
