//! Whether this machine and this process's limits are fit to serve, said in one sentence when not.

use super::{Options, Ring, StartError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// glommio does not start a core with less.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;
/// Files that are not client sockets: logs, rings, eventfds, standard streams, each shard's share included.
const FILES_BESIDE_SOCKETS: u64 = 64;

/// Refuses what the first shard would fail at.
pub fn check() -> Result<(), StartError> {
    if let Some(bytes) = getrlimit(Resource::Memlock).current.filter(|bytes| *bytes < MEMLOCK_BYTES_MIN) {
        return Err(StartError::Host(format!(
            "this process may lock only {bytes} bytes of memory and needs {MEMLOCK_BYTES_MIN}: raise the memlock limit \
             (ulimit -l 8192, or LimitMEMLOCK= in the unit)"
        )));
    }
    // On a thread of its own: a ring that is taken down interrupts system calls of the thread that made it.
    let probe = std::thread::scope(|scope| scope.spawn(Ring::probe).join());
    probe.expect("the probe does not panic").map_err(|error| {
        StartError::Host(format!("this kernel does not give us io_uring as we need it (Linux 6.1 or newer): {error}"))
    })
}

/// Raises the limit of open files as far as it goes, and says how many connections each shard may then hold.
pub fn connections_max(options: &Options, shards: u16) -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files stays where it is");
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let of_admin = options.admin.listen.map_or(0, |_address| options.admin.connections_max as u64);
    let allowed = share_of_files(files.saturating_sub(of_admin), shards);
    if allowed < options.connections_max {
        tracing::info!(files, allowed, "the limit of open files allows fewer connections per shard than configured");
    }
    allowed.min(options.connections_max)
}

fn share_of_files(files: u64, shards: u16) -> usize {
    let shards = u64::from(shards);
    let share = files.saturating_sub(FILES_BESIDE_SOCKETS * (shards + 1)) / shards;
    usize::try_from(share.max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_the_files_and_leave_some_for_logs() {
        assert_eq!(share_of_files(20_000, 2), (20_000 - 192) / 2);
        assert_eq!(share_of_files(10, 2), 1);
    }
}
