//! When a data directory was last backed up: a file in it, which `mushan backup` writes and the metrics read.
//!
//! It is no part of the data: a backup does not contain it, and whoever may only read the directory backs it up without.

use crate::model::Millis;
use crate::server::base::files::write_atomically;
use crate::server::base::ownership::Owner;
use std::io;
use std::path::Path;

const FILE: &str = "last-backup";

/// Notes that a backup which began at `began` is complete.
///
/// # Errors
///
/// The directory cannot be written.
pub fn note(data_dir: &Path, began: Millis) -> io::Result<()> {
    let path = data_dir.join(FILE);
    write_atomically(&path, format!("{}\n", began.0).as_bytes(), 0o644)?;
    Owner::of(data_dir)?.take(&path)
}

/// When the last complete backup began; `None` if that is not known.
pub fn read(data_dir: &Path) -> Option<Millis> {
    std::fs::read_to_string(data_dir.join(FILE)).ok()?.trim().parse().ok().map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_last_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(read(directory.path()), None);
        for at in [5, 1_700_000_000_000] {
            note(directory.path(), Millis(at)).expect("noted");
            assert_eq!(read(directory.path()), Some(Millis(at)));
        }
        std::fs::write(directory.path().join(FILE), "soon").expect("written");
        assert_eq!(read(directory.path()), None);
    }
}
