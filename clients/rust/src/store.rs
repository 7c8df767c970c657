//! What outlives a session: the place in the inbox, and the messages that are not sent yet.

#![allow(clippy::disallowed_methods, reason = "a store is a file")]

use crate::machine::output::Saved;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Keeps what a session saves.
pub trait Store: Send {
    /// What was saved last; `None` at the first start.
    ///
    /// # Errors
    ///
    /// It cannot be read. A client then does not start: without its place it would tell everything again.
    fn load(&mut self) -> io::Result<Option<Saved>>;

    /// Replaces what was saved.
    ///
    /// # Errors
    ///
    /// It cannot be written. The client goes on, and tells so.
    fn save(&mut self, saved: &Saved) -> io::Result<()>;
}

/// A JSON file, replaced as a whole. It survives the end of the process; a power cut may take what the kernel has not
/// written.
pub struct FileStore {
    path: PathBuf,
}

impl FileStore {
    /// A store in this file; its directory exists.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned() }
    }
}

impl Store for FileStore {
    fn load(&mut self) -> io::Result<Option<Saved>> {
        match std::fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, format!("{}: {error}", self.path.display()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn save(&mut self, saved: &Saved) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        std::fs::write(&beside, serde_json::to_vec(saved)?)?;
        std::fs::rename(&beside, &self.path)
    }
}
