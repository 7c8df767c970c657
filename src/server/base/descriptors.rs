//! The process's open files, divided between logs and sockets: logs come first.
//!
//! Shared by all shards. Invariants: sockets never take the descriptors that logs hold or are about to open, so a
//! server full of connections still stores messages, and when logs grow, shards end connections (`Reactor::shed`); each
//! counted `Descriptor` is subtracted when it is closed.

use crate::model::ShardId;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub struct Descriptors {
    /// The limit of sockets and log files together.
    files_max: usize,
    /// The most sockets whatever the files allow.
    connections_max: usize,
    sockets: AtomicUsize,
    /// Files of each shard's log.
    logs: Vec<AtomicUsize>,
}

/// Sockets already use every descriptor that they may.
#[derive(Debug)]
pub struct Exhausted {
    pub bound: SocketBound,
    /// The socket, uncounted.
    pub socket: OwnedFd,
}

/// What bounds the number of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketBound {
    Files,
    Connections,
}

impl Descriptors {
    pub fn new(files_max: usize, connections_max: usize, shards: u16) -> Arc<Self> {
        let logs = (0..shards).map(|_shard| AtomicUsize::new(0)).collect();
        Arc::new(Self { files_max, connections_max, sockets: AtomicUsize::new(0), logs })
    }

    /// Records how many files a shard's log needs now.
    pub fn note_log(&self, shard: ShardId, files: usize) {
        self.logs[usize::from(shard.0)].store(files, Ordering::Relaxed);
    }

    /// The most sockets of all shards together. One more descriptor for each file of one log is left for a checkpoint
    /// or a backup.
    pub fn sockets_max(&self) -> usize {
        let logs = self.logs.iter().map(|files| files.load(Ordering::Relaxed));
        let (sum, largest) = logs.fold((0, 0), |(sum, largest), files| (sum + files, largest.max(files)));
        self.files_max.saturating_sub(sum + largest)
    }

    /// How many of its `own` sockets a shard must close, in proportion, after logs came to need descriptors that
    /// sockets use.
    pub fn part_of_excess(&self, own: usize) -> usize {
        let sockets = self.sockets.load(Ordering::Relaxed);
        let excess = sockets.saturating_sub(self.sockets_max());
        excess.saturating_mul(own).div_ceil(sockets.max(1)).min(own)
    }

    /// Counts an accepted socket.
    pub fn count(self: &Arc<Self>, socket: OwnedFd) -> Result<Descriptor, Exhausted> {
        let by_files = self.sockets_max();
        let sockets_max = by_files.min(self.connections_max);
        let counted = self.sockets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sockets| {
            (sockets < sockets_max).then_some(sockets + 1)
        });
        match counted {
            Ok(_before) => Ok(Descriptor { socket, counted_by: Some(self.clone()), place: None }),
            Err(sockets) if sockets >= by_files => Err(Exhausted { bound: SocketBound::Files, socket }),
            Err(_sockets) => Err(Exhausted { bound: SocketBound::Connections, socket }),
        }
    }
}

/// An open socket that counts as one of the process's descriptors.
pub struct Descriptor {
    socket: OwnedFd,
    counted_by: Option<Arc<Descriptors>>,
    /// Given back with the socket: what else counts it.
    place: Option<Box<dyn Send>>,
}

impl Descriptor {
    /// Keeps a value until the socket is closed.
    pub fn hold(&mut self, place: impl Send + 'static) {
        self.place = Some(Box::new(place));
    }
}

/// An uncounted descriptor.
impl From<OwnedFd> for Descriptor {
    fn from(socket: OwnedFd) -> Self {
        Self { socket, counted_by: None, place: None }
    }
}

impl std::fmt::Debug for Descriptor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.socket.fmt(out)
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if let Some(descriptors) = &self.counted_by {
            descriptors.sockets.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> OwnedFd {
        std::fs::File::open("/dev/null").expect("there").into()
    }

    #[test]
    fn shards_end_their_parts_of_the_sockets_that_logs_have_come_to_need() {
        let descriptors = Descriptors::new(20, usize::MAX, 2);
        let taken: Vec<_> = (0..12).map(|_socket| descriptors.count(socket()).expect("a place")).collect();
        assert_eq!(descriptors.part_of_excess(12), 0);
        descriptors.note_log(ShardId(0), 8);
        assert_eq!([9, 3, 0].map(|own| descriptors.part_of_excess(own)), [6, 2, 0], "8 of 12, by what each has");
        drop(taken);
        assert_eq!(descriptors.part_of_excess(0), 0);
    }

    #[test]
    fn the_bound_of_the_server_is_told_from_that_of_files() {
        let descriptors = Descriptors::new(10, 2, 1);
        let taken: Vec<_> = (0..2).map(|_socket| descriptors.count(socket()).expect("a place")).collect();
        let bound = |descriptors: &Arc<Descriptors>| descriptors.count(socket()).expect_err("none is left").bound;
        assert_eq!(bound(&descriptors), SocketBound::Connections);
        descriptors.note_log(ShardId(0), 5);
        assert_eq!(bound(&descriptors), SocketBound::Files);
        drop(taken);
    }

    #[test]
    fn sockets_get_what_the_logs_leave_and_never_more() {
        let descriptors = Descriptors::new(10, usize::MAX, 2);
        descriptors.note_log(ShardId(0), 3);
        descriptors.note_log(ShardId(1), 2);
        assert_eq!(descriptors.sockets_max(), 10 - 5 - 3, "the largest log may be opened once more");
        let taken: Vec<_> = (0..2).map(|_socket| descriptors.count(socket()).expect("a place")).collect();
        assert!(descriptors.count(socket()).is_err(), "none is left");
        drop(taken);
        descriptors.note_log(ShardId(1), 200);
        assert!(descriptors.count(socket()).is_err(), "a log has grown");
        descriptors.note_log(ShardId(1), 0);
        assert!(descriptors.count(socket()).is_ok(), "a closed socket gives its place back");
    }
}
