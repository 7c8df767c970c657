//! One segment file, mapped: preallocated and zeroed before its first byte is used, so that a store into the map never
//! meets a hole, a short file or a full disk.
//!
//! The data directory is locked and mode 0700: nobody else changes or shortens these files while they are mapped.

use crate::server::base::files;
use crate::server::disk::space::Space;
use memmap2::{Advice, Mmap, MmapMut, MmapOptions};
use rustix::io::ReadWriteFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSliceMut, Write};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const SUFFIX: &str = ".log";
const PAGE_BYTES: usize = 4_096;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

#[derive(Debug)]
pub struct Segment {
    pub number: u32,
    /// Shared with the thread that syncs it: only a descriptor that was open when a write failed is sure to report the
    /// failure.
    file: Arc<File>,
    map: Map,
}

#[derive(Debug)]
enum Map {
    Writable(MmapMut),
    ReadOnly(Mmap),
}

pub fn path(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number:08}{SUFFIX}"))
}

impl Segment {
    /// Creates a segment of `bytes` zeros, durable with its name on return. Fails if `space` has no room for it.
    pub fn prepare(directory: &Path, number: u32, bytes: u32, space: &Space) -> io::Result<Self> {
        let temporary = directory.join("spare.tmp");
        if let Err(error) = fs::remove_file(&temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let allocated = space.allocate_segment(directory, bytes, || allocate(&temporary, bytes));
        let made = allocated.and_then(|file| fill_with_zeros(file, bytes)).and_then(|file| {
            let map = map_writable(&file)?;
            fs::rename(&temporary, path(directory, number))?;
            files::sync_directory(directory)?;
            Ok(Self { number, file: Arc::new(file), map: Map::Writable(map) })
        });
        if made.is_err() {
            // Frees the blocks at once; a file that cannot be removed is removed by the next attempt.
            let _ = fs::remove_file(&temporary);
        }
        made
    }

    /// Opens an existing segment, which must be `bytes` long: for the shard that owns the log, at its start, and for a
    /// tool that holds the directory's lock. A reader beside a writing shard uses a `SegmentReader`.
    pub fn open(directory: &Path, number: u32, bytes: u32) -> io::Result<Self> {
        let file = open_file(directory, number, bytes)?;
        // SAFETY: as in `map_writable`.
        let map = unsafe { MmapOptions::new().map(&file)? };
        Ok(Self { number, file: Arc::new(file), map: Map::ReadOnly(map) })
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.map {
            Map::Writable(map) => map,
            Map::ReadOnly(map) => map,
        }
    }

    /// Whether the segment has only zeros. False if the disk cannot read it.
    pub fn is_blank(&self) -> bool {
        let mut chunks = self.bytes().chunks(ZEROS.len()).enumerate();
        chunks.all(|(number, chunk)| {
            let start = number * ZEROS.len();
            self.populate(start..start + chunk.len()).is_ok() && chunk == &ZEROS[..chunk.len()]
        })
    }

    /// Makes these bytes resident, as far as they are inside the segment. Fails where the disk cannot read them:
    /// touching them would then end the process with SIGBUS.
    pub fn populate(&self, bytes: Range<usize>) -> io::Result<()> {
        let Range { start, end } = pages_of(bytes, self.bytes().len());
        if start >= end {
            return Ok(());
        }
        match &self.map {
            Map::Writable(map) => map.advise_range(Advice::PopulateRead, start, end - start),
            Map::ReadOnly(map) => map.advise_range(Advice::PopulateRead, start, end - start),
        }
    }

    /// Copies the file's bytes from `offset` on into `into` and returns how many. `None` if some of them are not
    /// resident or cannot be read: the call never waits for a disk.
    pub fn copy_resident(&self, offset: u32, into: &mut [u8]) -> Option<usize> {
        let wanted = self.bytes().len().saturating_sub(offset as usize).min(into.len());
        let buffers = &mut [IoSliceMut::new(&mut into[..wanted])];
        let read = rustix::io::preadv2(&*self.file, buffers, u64::from(offset), ReadWriteFlags::NOWAIT);
        (read == Ok(wanted)).then_some(wanted)
    }

    /// All bytes of the segment. Panics if the segment is not `writable`.
    pub fn writable_bytes(&mut self) -> &mut [u8] {
        let Map::Writable(map) = &mut self.map else { panic!("segment {} is closed", self.number) };
        map
    }

    pub fn writable(mut self) -> Self {
        if let Map::ReadOnly(map) = self.map {
            self.map = Map::Writable(map.make_mut().expect("our own file, opened for writing"));
        }
        self
    }

    /// Makes the map read-only, which protects closed segments from stray stores.
    pub fn read_only(mut self) -> Self {
        if let Map::Writable(map) = self.map {
            self.map = Map::ReadOnly(map.make_read_only().expect("a mapping can always be narrowed"));
        }
        self
    }

    /// Allocates a block for every byte before stores into the map: a file that was copied sparsely may have holes.
    pub fn allocate(&self) -> io::Result<()> {
        let bytes = self.bytes().len() as u64;
        rustix::fs::fallocate(&*self.file, rustix::fs::FallocateFlags::empty(), 0, bytes).map_err(explain_allocation)
    }

    /// Writes the same bytes again, so that the next sync writes them even where the kernel believes that the device
    /// has them.
    pub fn write_again(&mut self, range: Range<u32>) -> io::Result<()> {
        let mut copied = Vec::with_capacity(ZEROS.len());
        for start in range.clone().step_by(ZEROS.len()) {
            let end = range.end.min(start + ZEROS.len() as u32);
            copied.clear();
            copied.extend_from_slice(&self.bytes()[start as usize..end as usize]);
            self.file.write_all_at(&copied, u64::from(start))?;
        }
        Ok(())
    }

    /// Zeroes everything from `offset` on that is not zero. Not durable yet.
    pub fn clear_from(&mut self, offset: u32) -> io::Result<()> {
        let mut at = offset as usize;
        while at < self.bytes().len() {
            let page_end = (at / ZEROS.len() + 1) * ZEROS.len();
            let chunk = &self.bytes()[at..page_end.min(self.bytes().len())];
            let (is_zero, length) = (chunk == &ZEROS[..chunk.len()], chunk.len());
            if !is_zero {
                self.file.write_all_at(&ZEROS[..length], at as u64)?;
            }
            at += length;
        }
        Ok(())
    }

    /// Blocks until all bytes are durable. Never inside a turn.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub fn shared_file(&self) -> Arc<File> {
        self.file.clone()
    }
}

/// Opens a segment's file, which must be `bytes` long.
pub fn open_file(directory: &Path, number: u32, bytes: u32) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(path(directory, number))?;
    let found = file.metadata()?.len();
    if found == u64::from(bytes) {
        return Ok(file);
    }
    let what = format!("it is {found} bytes long and should be {bytes}: it was cut or replaced");
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// The range that the kernel is asked to populate for these bytes of a map of `length` bytes: from the start of a page,
/// and inside the map.
pub fn pages_of(bytes: Range<usize>, length: usize) -> Range<usize> {
    bytes.start / PAGE_BYTES * PAGE_BYTES..bytes.end.min(length)
}

fn allocate(path: &Path, bytes: u32) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, u64::from(bytes))
        .map_err(explain_allocation)?;
    Ok(file)
}

/// Turns the error of an unsupported fallocate into an explanation. Without allocation ahead, a store in a turn could
/// fail.
fn explain_allocation(error: rustix::io::Errno) -> io::Error {
    match error {
        rustix::io::Errno::OPNOTSUPP => io::Error::new(
            io::ErrorKind::Unsupported,
            "this file system cannot allocate space ahead (fallocate); put the data directory on ext4, xfs, btrfs or tmpfs",
        ),
        error => error.into(),
    }
}

/// Writes zeros instead of only allocating: the first sync of a page then has no unwritten extent to convert.
fn fill_with_zeros(mut file: File, bytes: u32) -> io::Result<File> {
    let mut left = bytes as usize;
    while left > 0 {
        let length = left.min(ZEROS.len());
        file.write_all(&ZEROS[..length])?;
        left -= length;
    }
    file.sync_all()?;
    Ok(file)
}

fn map_writable(file: &File) -> io::Result<MmapMut> {
    // SAFETY: the file lies in a directory that is ours alone (locked, mode 0700); nothing shortens it while it is
    // mapped, and its bytes change only through this map, or through `clear_from` and `write_again`, which hold `&mut
    // Segment` and no slice of it while they write. Other maps of the file only read: `SegmentReader`s of this process
    // read before the log's end, and a `FrozenLog` of another process reads what no start writes again.
    unsafe { MmapOptions::new().populate().map_mut(file) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_file_system_that_sets_no_space_aside_is_named_with_the_remedy() {
        let told = super::explain_allocation(rustix::io::Errno::OPNOTSUPP).to_string();
        assert!(told.contains("fallocate") && told.contains("ext4"), "{told}");
        assert_eq!(super::explain_allocation(rustix::io::Errno::NOSPC).raw_os_error(), Some(libc::ENOSPC));
    }

    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_segment_has_all_its_blocks_before_it_is_mapped() {
        let temporary = tempfile::tempdir().expect("a directory");
        let file =
            allocate(&temporary.path().join("spare.tmp"), 1 << 20).and_then(|file| fill_with_zeros(file, 1 << 20));
        let file = file.expect("there is room");
        let found = file.metadata().expect("open");
        assert!(found.len() == 1 << 20 && found.blocks() * 512 >= found.len(), "a store into a hole may find no block");
    }
}
