//! The checkpoint files of a shard's directory: `NNNNNNNN.checkpoint`, named after the segment that each ends with.
//!
//! Invariants: a file appears whole or not at all; the two newest are kept; one that could not be used is set aside
//! under another name and never taken for one again.

use super::files;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub const SUFFIX: &str = ".checkpoint";
const KEPT: usize = 2;

pub fn path(directory: &Path, through: u32) -> PathBuf {
    directory.join(format!("{through:08}{SUFFIX}"))
}

/// The segments that checkpoints end with, newest first.
pub fn list(directory: &Path) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        found.extend(digits.and_then(|digits| digits.parse::<u32>().ok()));
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
}

/// Keeps a new checkpoint, durable on return, and forgets all but the two newest.
pub fn store(directory: &Path, through: u32, bytes: &[u8]) -> io::Result<()> {
    files::write_atomically(&path(directory, through), bytes, 0o600)?;
    for outdated in list(directory)?.into_iter().skip(KEPT) {
        fs::remove_file(path(directory, outdated))?;
    }
    Ok(())
}

/// Puts a checkpoint that could not be used where a person finds it and no start does. Returns its new name.
pub fn set_aside(directory: &Path, through: u32) -> io::Result<PathBuf> {
    let aside = path(directory, through).with_extension("checkpoint.damaged");
    fs::rename(path(directory, through), &aside)?;
    files::sync_directory(directory)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_newest_are_kept_and_what_is_set_aside_is_not_listed() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = temporary.path();
        for through in [3, 9, 12] {
            store(directory, through, b"all there is").expect("stored");
        }
        assert_eq!(list(directory).expect("listed"), [12, 9]);
        let aside = set_aside(directory, 12).expect("renamed");
        assert_eq!(fs::read(aside).expect("kept"), b"all there is");
        assert_eq!(list(directory).expect("listed"), [9]);
    }
}
