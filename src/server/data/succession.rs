//! The file by which a server that is about to take over a data directory shows that it waits: `successor`, with its pid.
//!
//! Held by the one that takes over, from before it asks until it serves; the kernel releases the lock with the process. Invariants:
//! one server at a time takes over a directory; the one that runs there hands it over only while somebody holds this file, so
//! that a request whose sender has gone meanwhile leaves nobody without a server.

use crate::server::StartError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const FILE: &str = "successor";

/// The place of the one server that may take over a directory.
#[derive(Debug)]
pub struct Succession {
    _held: File,
}

impl Succession {
    /// `None` while another server takes the directory over.
    pub fn claim(data_dir: &Path) -> Result<Option<Self>, StartError> {
        let path = path(data_dir);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(|error| StartError::disk("open", &path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(StartError::disk("lock", &path, error.into())),
        }
        let written = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        written.map_err(|error| StartError::disk("write", &path, error))?;
        Ok(Some(Self { _held: file }))
    }

    /// The process that waits for the directory, if one does.
    pub fn awaited_by(data_dir: &Path) -> io::Result<Option<u32>> {
        let mut file = match File::open(path(data_dir)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(None),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
        let mut pid = String::new();
        file.read_to_string(&mut pid)?;
        Ok(pid.trim().parse().ok())
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_waits_for_a_directory_and_is_known_while_it_does() {
        let directory = tempfile::tempdir().expect("a directory");
        let awaited_by = || Succession::awaited_by(directory.path()).expect("readable");
        assert_eq!(awaited_by(), None);
        let held = Succession::claim(directory.path()).expect("usable").expect("free");
        assert_eq!(awaited_by(), Some(std::process::id()));
        assert!(Succession::claim(directory.path()).expect("usable").is_none(), "one at a time");
        drop(held);
        assert_eq!(awaited_by(), None, "the file stays, and nobody waits");
        assert!(Succession::claim(directory.path()).expect("usable").is_some());
    }
}
