//! Replaces a data directory by its rewritten copy, so that a stop at any point leaves one or the other.
//!
//! Two renames: `DATA_DIR` gets another name, and `DATA_DIR.new-rebuild` becomes `DATA_DIR`. Invariants: the new
//! directory contains a completion mark before the first rename; a process that finds no `DATA_DIR` and a complete new
//! directory performs the second rename. While `DATA_DIR` exists, only the holder of its lock changes the directories
//! beside it.

use crate::server::StartError;
use crate::server::base::error::DiskError;
use crate::server::base::files;
use std::fs;
use std::path::{Path, PathBuf};

const NEW: &str = "new-rebuild";
/// The completion mark of a new directory: all of it is durable and has been read back.
const COMPLETE: &str = "rebuilt";

pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

/// The same for a name that does not exist yet: `-2`, `-3` and so on are appended if needed.
pub fn free_beside(path: &Path, suffix: &str) -> PathBuf {
    let numbered = (2..).map(|number| beside(path, &format!("{suffix}-{number}")));
    let mut names = std::iter::once(beside(path, suffix)).chain(numbered);
    names.find(|name| !name.exists()).expect("numbers do not end")
}

/// The path for a rewritten directory. Removes what an earlier attempt left there. The caller holds the lock.
pub fn clear_new(data_dir: &Path) -> Result<PathBuf, StartError> {
    let new = beside(data_dir, NEW);
    if new.exists() {
        fs::remove_dir_all(&new).map_err(|error| StartError::disk("remove", &new, error))?;
    }
    Ok(new)
}

/// Marks the new directory as complete: from now on it may replace the old one.
pub fn declare_complete(new: &Path) -> Result<(), StartError> {
    let mark = new.join(COMPLETE);
    files::write_atomically(&mark, b"", 0o600).map_err(|error| StartError::disk("write", &mark, error))
}

/// Performs the first rename.
pub fn put_aside(data_dir: &Path, old: &Path) -> Result<(), StartError> {
    rename(data_dir, old)
}

/// Performs the second rename if there is no data directory but a complete new one, also one of an interrupted run.
pub fn finish(data_dir: &Path) -> Result<(), StartError> {
    let new = beside(data_dir, NEW);
    if data_dir.exists() || !new.exists() {
        return Ok(());
    }
    if !new.join(COMPLETE).exists() {
        return Err(DiskError::Incomplete { path: data_dir.to_owned(), new }.into());
    }
    rename(&new, data_dir)?;
    forget(data_dir)
}

/// Removes a new directory, which is out of date once a server uses the old one. The caller holds the lock.
pub fn forget_new(data_dir: &Path) -> Result<(), StartError> {
    forget(data_dir)?;
    forget(&beside(data_dir, NEW))
}

fn forget(directory: &Path) -> Result<(), StartError> {
    let mark = directory.join(COMPLETE);
    if !mark.exists() {
        return Ok(());
    }
    fs::remove_file(&mark)
        .and_then(|()| files::sync_directory(directory))
        .map_err(|error| StartError::disk("remove", &mark, error))
}

fn rename(from: &Path, to: &Path) -> Result<(), StartError> {
    fs::rename(from, to).map_err(|error| StartError::disk("rename", from, error))?;
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    files::sync_directory(parent).map_err(|error| StartError::disk("sync", parent, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_directory_takes_the_place_of_one_that_is_gone() {
        let temporary = tempfile::tempdir().expect("a directory");
        let data_dir = temporary.path().join("data");
        finish(&data_dir).expect("nothing there is nothing to do");
        let new = beside(&data_dir, NEW);
        fs::create_dir(&new).expect("made");
        let error = finish(&data_dir).expect_err("not complete");
        assert!(error.exit_status() == 3 && error.to_string().contains("not complete"), "{error}");
        declare_complete(&new).expect("written");
        finish(&data_dir).expect("renamed");
        assert!(data_dir.is_dir() && !new.exists() && !data_dir.join(COMPLETE).exists());
    }

    #[test]
    fn a_new_directory_beside_one_that_is_served_is_out_of_date() {
        let temporary = tempfile::tempdir().expect("a directory");
        let data_dir = temporary.path().join("data");
        let new = beside(&data_dir, NEW);
        for directory in [&data_dir, &new] {
            fs::create_dir(directory).expect("made");
            declare_complete(directory).expect("written");
        }
        finish(&data_dir).expect("there is one");
        forget_new(&data_dir).expect("removed");
        fs::remove_dir(&data_dir).expect("empty again");
        finish(&data_dir).expect_err("what was out of date is no data directory");
    }

    #[test]
    fn two_that_are_put_aside_within_a_second_get_two_names() {
        let temporary = tempfile::tempdir().expect("a directory");
        let data_dir = temporary.path().join("data");
        for expected in ["data.before-1", "data.before-1-2", "data.before-1-3"] {
            let name = free_beside(&data_dir, "before-1");
            assert_eq!(name, temporary.path().join(expected));
            fs::create_dir(name).expect("made");
        }
    }
}
