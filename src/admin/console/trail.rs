//! The audit trail: who changed what through the HTTP API, one JSON object a line, in files that only grow and are
//! replaced in turn.
//!
//! Invariants: an entry is written before its request is answered, so it survives the end of the process; numbers
//! ascend without a gap as long as nothing was lost; no entry has a body, a query or a token; all files together have a
//! bound. A power cut may take the newest entries.

use crate::admin::base::identity::Identity;
use crate::model::Millis;
use crate::server::event::schema::MillisSchema;
use crate::server::{AUDIT_DIRECTORY, StartError, make_directory};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of one file, after which the next one begins.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Files that are kept, the newest included.
const FILES_MAX: usize = 8;

#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// Ascending.
    pub number: u64,
    #[schemars(with = "MillisSchema")]
    pub at: u64,
    /// `token`, `console`, or `nobody` for a login that failed.
    pub who: String,
    /// `full`, `read_only`, or empty for nobody.
    pub role: String,
    /// The login of the console; empty for a token.
    pub login: String,
    /// The other end of the connection.
    pub address: String,
    pub method: String,
    pub path: String,
    /// The status of the answer.
    pub status: u16,
}

/// A request that has been answered.
pub struct RecordedRequest<'a> {
    pub identity: &'a Identity,
    pub address: IpAddr,
    pub method: &'a str,
    pub path: &'a str,
    pub status: u16,
}

/// Entries, the newest first.
#[derive(Debug, PartialEq, Eq)]
pub struct TrailPart {
    pub entries: Vec<AuditEntry>,
    /// The number below which older entries follow.
    pub next: Option<u64>,
}

pub struct AuditTrail {
    directory: PathBuf,
    file: Mutex<TrailFile>,
    lost: AtomicU64,
}

struct TrailFile {
    file: File,
    bytes: u64,
    next_number: u64,
}

impl AuditTrail {
    pub fn open(data_dir: &Path) -> Result<Self, StartError> {
        let directory = data_dir.join(AUDIT_DIRECTORY);
        make_directory(&directory)?;
        let path = path_of(&directory, 0);
        let opened = TrailFile::open(&directory).map_err(|error| StartError::disk("open", &path, error))?;
        Ok(Self { directory, file: Mutex::new(opened), lost: AtomicU64::new(0) })
    }

    /// Writes an entry. One that cannot be written is counted: its request was carried out.
    pub fn record(&self, request: &RecordedRequest<'_>, at: Millis) {
        let mut file = self.file();
        let (who, login) = match request.identity {
            Identity::Nobody => ("nobody", ""),
            Identity::Token(_) => ("token", ""),
            Identity::Console(login) => ("console", login.label.as_str()),
        };
        let entry = AuditEntry {
            number: file.next_number,
            at: at.0,
            who: who.to_owned(),
            role: request.identity.role().map_or("", |role| role.name()).to_owned(),
            login: login.to_owned(),
            address: request.address.to_string(),
            method: request.method.to_owned(),
            path: request.path.to_owned(),
            status: request.status,
        };
        if let Err(error) = file.append(&self.directory, &entry) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, method = entry.method, path = entry.path, "the audit trail cannot be written");
        }
    }

    /// Entries that could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// At most `limit` entries with numbers below `before`. Reads files: not for the control thread itself.
    pub fn read(directory: &Path, before: u64, limit: usize) -> io::Result<TrailPart> {
        let mut entries = Vec::new();
        for age in 0..FILES_MAX {
            let text = match std::fs::read_to_string(path_of(directory, age)) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            for entry in text.lines().rev().filter_map(|line| serde_json::from_str::<AuditEntry>(line).ok()) {
                if entry.number >= before {
                    continue;
                }
                if entries.len() == limit {
                    let next = entries.last().map(|last: &AuditEntry| last.number);
                    return Ok(TrailPart { entries, next });
                }
                entries.push(entry);
            }
        }
        Ok(TrailPart { entries, next: None })
    }

    pub fn directory(&self) -> PathBuf {
        self.directory.clone()
    }

    fn file(&self) -> MutexGuard<'_, TrailFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TrailFile {
    fn open(directory: &Path) -> io::Result<Self> {
        let newest = AuditTrail::read(directory, u64::MAX, 1)?;
        let next_number = newest.entries.first().map_or(1, |entry| entry.number + 1);
        let mut file = open_to_append(directory)?;
        let mut bytes = file.metadata()?.len();
        // A power cut may have cut the last line.
        let is_whole = bytes == 0 || std::fs::read(path_of(directory, 0))?.ends_with(b"\n");
        if !is_whole {
            file.write_all(b"\n")?;
            bytes += 1;
        }
        Ok(Self { file, bytes, next_number })
    }

    fn append(&mut self, directory: &Path, entry: &AuditEntry) -> io::Result<()> {
        if self.bytes >= FILE_BYTES_MAX {
            self.rotate(directory)?;
        }
        let mut line = serde_json::to_string(entry).expect("an entry has text keys");
        line.push('\n');
        self.file.write_all(line.as_bytes())?;
        self.bytes += line.len() as u64;
        self.next_number += 1;
        Ok(())
    }

    /// Makes room for a new file: each older one moves on, and the oldest goes.
    fn rotate(&mut self, directory: &Path) -> io::Result<()> {
        self.file.sync_data()?;
        for age in (0..FILES_MAX - 1).rev() {
            match std::fs::rename(path_of(directory, age), path_of(directory, age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = open_to_append(directory)?;
        self.bytes = 0;
        Ok(())
    }
}

fn open_to_append(directory: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path_of(directory, 0))
}

/// The file of an age: 0 is written to.
fn path_of(directory: &Path, age: usize) -> PathBuf {
    let name = if age == 0 { "trail.ndjson".to_owned() } else { format!("trail.{age}.ndjson") };
    directory.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(trail: &AuditTrail, path: &str) {
        let (identity, address) = (Identity::Nobody, IpAddr::from([10, 0, 0, 1]));
        trail.record(&RecordedRequest { identity: &identity, address, method: "PUT", path, status: 200 }, Millis(7));
    }

    fn numbers(part: &TrailPart) -> Vec<u64> {
        part.entries.iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn entries_come_back_newest_first_and_numbers_go_on_after_a_start() {
        let home = tempfile::tempdir().expect("a directory");
        let trail = AuditTrail::open(home.path()).expect("opened");
        (0..5).for_each(|_| note(&trail, "/v1/users/ann"));
        let directory = trail.directory();
        let first = AuditTrail::read(&directory, u64::MAX, 3).expect("readable");
        assert_eq!((numbers(&first), first.next), (vec![5, 4, 3], Some(3)));
        let rest = AuditTrail::read(&directory, 3, 3).expect("readable");
        assert_eq!((numbers(&rest), rest.next), (vec![2, 1], None));
        drop(trail);
        let path = path_of(&directory, 0);
        let mut text = std::fs::read_to_string(&path).expect("readable");
        text.push_str("{\"number\":6,\"at\"");
        std::fs::write(&path, text).expect("written");
        note(&AuditTrail::open(home.path()).expect("opened"), "/v1/users/ben");
        let newest = AuditTrail::read(&directory, u64::MAX, 2).expect("readable");
        assert_eq!(numbers(&newest), [6, 5], "a torn line costs itself only");
    }

    #[test]
    fn all_files_together_have_a_bound() {
        let home = tempfile::tempdir().expect("a directory");
        let trail = AuditTrail::open(home.path()).expect("opened");
        for _file in 0..FILES_MAX + 2 {
            note(&trail, "/v1/users/ann");
            trail.file().bytes = FILE_BYTES_MAX;
        }
        note(&trail, "/v1/users/ann");
        let files = std::fs::read_dir(trail.directory()).expect("readable").count();
        assert_eq!(files, FILES_MAX);
        let kept = AuditTrail::read(&trail.directory(), u64::MAX, 100).expect("readable");
        assert_eq!(numbers(&kept), (4..=11).rev().collect::<Vec<_>>());
        assert_eq!(trail.lost(), 0);
    }
}
