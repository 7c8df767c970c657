//! The checkpoint files of a shard's directory: `NNNNNNNN.checkpoint`, named after the segment that each ends with.
//!
//! Invariants: a file appears whole or not at all; the two newest are kept; one that could not be used is set aside
//! under another name and never taken for one again.

use crate::log::checkpoint::CheckpointError;
use crate::server::base::files;
use crate::server::disk::space::Space;
use memmap2::{Advice, Mmap};
use std::fs::{self, File};
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

/// A checkpoint file in memory; empty where the disk cannot read it.
pub struct Mapped(Option<Mmap>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// Maps a checkpoint instead of copying it to the heap: it is read once, in order.
pub fn map(directory: &Path, through: u32) -> io::Result<Mapped> {
    let file = File::open(path(directory, through))?;
    // SAFETY: the file lies in a directory that is ours alone (locked, mode 0700); checkpoints are renamed and removed,
    // never changed or shortened.
    let map = unsafe { Mmap::map(&file)? };
    let is_readable = map.is_empty() || map.advise(Advice::PopulateRead).is_ok();
    Ok(Mapped(is_readable.then_some(map)))
}

/// The last segment that the newest checkpoint covers and the checkpoint's bytes; zeros if there is none.
pub fn newest(directory: &Path) -> io::Result<(u32, u64)> {
    let Some(through) = list(directory)?.first().copied() else { return Ok((0, 0)) };
    Ok((through, fs::metadata(path(directory, through))?.len()))
}

/// Stores a new checkpoint, durable on return, and removes all but the two newest.
pub fn store(directory: &Path, through: u32, bytes: &[u8], space: &Space) -> io::Result<()> {
    let length = bytes.len() as u64;
    let allocate = |file: &File| {
        let blocks = || Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, length)?);
        if length > 0 { space.allocate_checkpoint(length, blocks) } else { Ok(()) }
    };
    if let Err(error) = files::write_allocated(&path(directory, through), bytes, 0o600, allocate) {
        space.give_up_checkpoint();
        return Err(error);
    }
    space.note_checkpoint(directory, through, length);
    for outdated in list(directory)?.into_iter().skip(KEPT) {
        fs::remove_file(path(directory, outdated))?;
    }
    Ok(())
}

/// Renames the unusable checkpoints, which are the first of `numbers`, so that an operator can inspect them and no
/// start reads them again.
pub fn set_aside(directory: &Path, numbers: &[u32], unusable: &[CheckpointError]) -> io::Result<()> {
    for (through, why) in numbers.iter().zip(unusable) {
        let aside = path(directory, *through).with_extension("checkpoint.damaged");
        fs::rename(path(directory, *through), &aside)?;
        files::sync_directory(directory)?;
        tracing::warn!(path = %aside.display(), %why, "a checkpoint could not be used and was set aside");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_newest_are_kept_and_what_is_set_aside_is_not_listed() {
        let temporary = tempfile::tempdir().expect("a directory");
        let (directory, space) = (temporary.path(), Space::default());
        assert_eq!(newest(directory).expect("listed"), (0, 0));
        for through in [3, 9, 12] {
            store(directory, through, b"all there is", &space).expect("stored");
        }
        assert_eq!(list(directory).expect("listed"), [12, 9]);
        assert_eq!(newest(directory).expect("listed"), (12, 12));
        assert_eq!(map(directory, 12).expect("mapped").as_ref(), b"all there is");
        store(directory, 13, b"", &space).expect("stored");
        assert_eq!(map(directory, 13).expect("an empty file is one").as_ref(), b"");
        fs::remove_file(path(directory, 13)).expect("removed");
        store(directory, 9, b"all there is", &space).expect("stored");
        set_aside(directory, &[12, 9], &[CheckpointError::Damaged]).expect("renamed");
        let aside = directory.join("00000012.checkpoint.damaged");
        assert_eq!(fs::read(aside).expect("kept"), b"all there is");
        assert_eq!(list(directory).expect("listed"), [9]);
    }
}
