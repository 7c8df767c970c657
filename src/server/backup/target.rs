//! A directory that a backup or a restore fills. It is empty at first; everything that was created in it is removed
//! unless the work is finished.
//!
//! Invariants: files have mode 0600 and directories 0700 from their creation; after `sync`, files and names are
//! durable.

use crate::server::StartError;
use crate::server::base::error::ConfigurationError;
use crate::server::base::files;
use crate::server::base::ownership::Owner;
use crate::server::data::directory::make_directory;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const CHUNK_BYTES: usize = 1 << 20;

pub struct BackupTarget {
    pub root: PathBuf,
    /// Created paths in their order; removed in reverse, the root last.
    made: Vec<PathBuf>,
    directories: Vec<PathBuf>,
    owner: Owner,
    is_finished: bool,
}

impl BackupTarget {
    /// Claims a directory that does not exist yet or is empty. A new one gets the owner of `source`, from which the
    /// files are copied.
    pub fn claim(root: &Path, source: &Path) -> Result<Self, StartError> {
        let mut made = Vec::new();
        let owner = Owner::of(if root.exists() { root } else { source });
        let owner = owner.map_err(|error| StartError::disk("read", root, error))?;
        match fs::read_dir(root) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(ConfigurationError::unfit(root, "is not empty").into());
                }
                fs::set_permissions(root, Permissions::from_mode(0o700))
                    .map_err(|error| StartError::disk("change the mode of", root, error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_directory(root)?;
                made.push(root.to_owned());
            }
            Err(source) => return Err(ConfigurationError::Unusable { path: root.to_owned(), source }.into()),
        }
        Ok(Self { root: root.to_owned(), made, directories: vec![root.to_owned()], owner, is_finished: false })
    }

    pub fn directory(&mut self, name: &str) -> Result<PathBuf, StartError> {
        let path = self.root.join(name);
        if !self.directories.contains(&path) {
            make_directory(&path)?;
            self.made.push(path.clone());
            self.directories.push(path.clone());
        }
        Ok(path)
    }

    /// Creates a file, open for reading and writing.
    pub fn file(&mut self, name: &str) -> Result<File, StartError> {
        let path = self.root.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| StartError::disk("make", &path, error))?;
        self.made.push(path);
        Ok(file)
    }

    /// Writes a small file atomically.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), StartError> {
        let path = self.root.join(name);
        self.made.push(path.clone());
        files::write_atomically(&path, bytes, 0o600).map_err(|error| StartError::disk("write", &path, error))
    }

    pub fn remove(&mut self, name: &str) -> Result<(), StartError> {
        let path = self.root.join(name);
        fs::remove_file(&path).map_err(|error| StartError::disk("remove", &path, error))
    }

    /// Gives everything to its owner, and makes the names in all its directories and its own name durable.
    pub fn sync(&self) -> Result<(), StartError> {
        let given = self.owner.take(&self.root);
        given.map_err(|error| StartError::disk("change the owner of", &self.root, error))?;
        let parent = self.root.parent().unwrap_or(Path::new("."));
        for directory in self.directories.iter().rev().map(PathBuf::as_path).chain([parent]) {
            files::sync_directory(directory).map_err(|error| StartError::disk("sync", directory, error))?;
        }
        Ok(())
    }

    pub fn finish(mut self) {
        self.is_finished = true;
    }
}

impl Drop for BackupTarget {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        // The first error is already being reported; the next attempt reports that the target is not empty.
        for path in self.made.iter().rev() {
            let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
    }
}

/// How blocks of zeros are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    /// As holes, which take no space.
    Holes,
    /// As data, so that a later store into the file never meets a full disk.
    Written,
}

/// The part of a file that is copied, and how.
#[derive(Clone, Copy, Debug)]
pub struct CopySpan {
    pub offset: u64,
    /// The length of the whole file.
    pub bytes: u64,
    pub zeros: Zeros,
}

/// Copies everything from the span's offset on and sets the length of `to` as the span says. Returns the CRC-32C of
/// what was read. Reports bytes to `advance`.
pub fn copy(from: &File, to: &File, span: CopySpan, advance: &dyn Fn(u64)) -> io::Result<u32> {
    let CopySpan { offset, bytes, zeros } = span;
    to.set_len(offset)?;
    to.set_len(bytes)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut crc, mut at) = (0, offset);
    while at < bytes {
        let chunk = chunk_of(&mut buffer, bytes - at);
        from.read_exact_at(chunk, at)?;
        crc = crc32c::crc32c_append(crc, chunk);
        if zeros == Zeros::Written || chunk.iter().any(|byte| *byte != 0) {
            to.write_all_at(chunk, at)?;
        }
        at += chunk.len() as u64;
        advance(chunk.len() as u64);
    }
    Ok(crc)
}

/// The CRC-32C of a file's first `bytes` bytes.
pub fn crc_of(file: &File, bytes: u64) -> io::Result<u32> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut crc, mut at) = (0, 0);
    while at < bytes {
        let chunk = chunk_of(&mut buffer, bytes - at);
        file.read_exact_at(chunk, at)?;
        crc = crc32c::crc32c_append(crc, chunk);
        at += chunk.len() as u64;
    }
    Ok(crc)
}

fn chunk_of(buffer: &mut [u8], left: u64) -> &mut [u8] {
    let length = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
    &mut buffer[..length]
}
