//! The epoch of the inboxes (docs/decisions/0018) during a start: shards that find losses in logs request another epoch
//! before they restore anything.
//!
//! Shared by all shards. Invariants: a start changes the epoch at most once; the epoch that clients receive is on disk.

use crate::server::{Manifest, StartError};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
pub struct Epoch {
    data_dir: PathBuf,
    now: AtomicU64,
    /// `None` once this start has renewed it.
    before: Mutex<Option<Manifest>>,
}

impl Epoch {
    pub fn new(data_dir: PathBuf, manifest: Manifest) -> Self {
        Self { data_dir, now: manifest.inbox_epoch.into(), before: Mutex::new(Some(manifest)) }
    }

    pub fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    /// Changes the epoch, durably on return, unless this start has already changed it. Waits for the disk, which is
    /// permitted because no client is served yet.
    pub fn renew(&self) -> Result<(), StartError> {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(manifest) = before.as_ref() else { return Ok(()) };
        let renewed = manifest.in_another_epoch()?;
        renewed.store(&self.data_dir)?;
        self.now.store(renewed.inbox_epoch, Ordering::SeqCst);
        *before = None;
        tracing::warn!(
            inbox_epoch = renewed.inbox_epoch,
            "a log had lost its end: the inbox epoch has changed, and clients will sync from the beginning"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;

    #[test]
    fn a_start_renews_the_epoch_once_however_many_shards_ask_and_the_manifest_has_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let manifest = Manifest::new(3, 65_536, Millis(1)).expect("randomness");
        manifest.store(directory.path()).expect("stored");
        let epoch = Epoch::new(directory.path().to_owned(), manifest.clone());
        assert_eq!(epoch.now(), manifest.inbox_epoch);
        epoch.renew().expect("stored");
        let renewed = epoch.now();
        epoch.renew().expect("nothing to do");
        assert!(renewed != manifest.inbox_epoch && epoch.now() == renewed);
        let stored = Manifest::load(directory.path()).expect("readable");
        assert_eq!(stored, Some(Manifest { inbox_epoch: renewed, ..manifest }));
    }

    #[test]
    fn an_epoch_that_cannot_be_kept_is_not_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let manifest = Manifest::new(1, 65_536, Millis(1)).expect("randomness");
        let epoch = Epoch::new(directory.path().join("nowhere"), manifest.clone());
        assert_eq!(epoch.renew().expect_err("no directory").exit_status(), 3);
        assert_eq!(epoch.now(), manifest.inbox_epoch);
    }
}
