//! Small files that must be whole or absent after a crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Writes `bytes` to `path` atomically, durable on return. `mode` holds from the creation on.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_allocated(path, bytes, mode, |_file| Ok(()))
}

/// The same; `allocate` gives the file its blocks before it is written. A failed attempt leaves nothing in memory or on
/// the disk that a later one could take for written.
pub fn write_allocated(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    allocate: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    if let Err(error) = fs::remove_file(&temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    let written = allocate(&file).and_then(|()| file.write_all(bytes)).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        // A file that cannot be removed is removed by the next attempt.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_directory(parent_of(path))
}

/// The directory that contains a path's last component.
pub fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes the permissions of others that `mode` does not have. Returns the previous mode if it was wider.
pub fn keep_private(path: &Path, mode: u32) -> io::Result<Option<u32>> {
    let had = fs::metadata(path)?.permissions().mode() & 0o777;
    if had & 0o077 == 0 {
        return Ok(None);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(Some(had))
}

/// Whether users beyond the file's owner and its group may read or write it.
pub fn is_open_to_others(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o006 != 0)
}

/// Makes the names in a directory durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_replaces_its_predecessor_whole_and_keeps_to_its_mode() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secret");
        fs::write(directory.path().join("secret.tmp"), "left by a crash").expect("write");
        write_atomically(&path, b"one", 0o600).expect("written");
        write_atomically(&path, b"two", 0o600).expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(!directory.path().join("secret.tmp").exists());
    }

    #[test]
    fn a_try_that_fails_leaves_what_was_there_and_takes_no_space() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secret");
        write_atomically(&path, b"one", 0o600).expect("written");
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        write_allocated(&path, b"two", 0o600, |_file| Err(full())).expect_err("no room");
        assert_eq!(fs::read(&path).expect("read"), b"one");
        assert!(!directory.path().join("secret.tmp").exists());
    }
}
