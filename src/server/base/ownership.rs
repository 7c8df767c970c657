//! Owners of files: files that a tool creates as root must stay readable for the server's own user.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

/// A user and a group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { user: found.uid(), group: found.gid() })
    }

    /// Gives the owner `path` and everything below. Only root can change owners, so for other users it does nothing.
    pub fn take(self, path: &Path) -> io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        self.take_all(path)
    }

    fn take_all(self, path: &Path) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_dir() {
            for entry in fs::read_dir(path)? {
                self.take_all(&entry?.path())?;
            }
        }
        if Self::of(path)? == self { Ok(()) } else { lchown(path, Some(self.user), Some(self.group)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_directory_goes_to_its_new_owner_if_root_gives_it() {
        let temporary = tempfile::tempdir().expect("a directory");
        let (old, new) = (temporary.path().join("old"), temporary.path().join("new"));
        fs::create_dir(&old).expect("made");
        fs::create_dir_all(new.join("inner")).expect("made");
        fs::write(new.join("inner/file"), "x").expect("written");
        let is_root = rustix::process::geteuid().is_root();
        let mine = Owner::of(&new).expect("there");
        if is_root {
            lchown(&old, Some(65_534), Some(65_533)).expect("given");
        }
        let owner = Owner::of(&old).expect("there");
        assert_eq!(owner == mine, !is_root);
        owner.take(&new).expect("taken");
        for path in [new.clone(), new.join("inner"), new.join("inner/file")] {
            assert_eq!(Owner::of(&path).expect("there"), owner, "{}", path.display());
        }
    }
}
