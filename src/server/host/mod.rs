//! Checks whether this machine and this process's limits suffice, with a remedy in the message if not, and adapts the
//! server where that helps.

pub mod clock;
pub(super) mod container;
pub(super) mod cores;
pub(super) mod memory;

use super::{Options, Ring, StartError};
use crate::server::base::error::HostError;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};
use std::io;

/// glommio does not start an executor with a lower limit, whatever the process may do.
const GLOMMIO_BYTES_MIN: u64 = 512 << 10;
/// Bytes that glommio registers for file I/O, three times for each core. We read nothing through it; this is its minimum.
pub const IO_MEMORY_BYTES: usize = 64 << 10;
const PAGE_BYTES: u64 = 4_096;
/// glommio's three rings have 128 entries each.
const GLOMMIO_RINGS_BYTES: u64 = 3 * (4 * PAGE_BYTES + IO_MEMORY_BYTES as u64);
/// Ring headers and rounding in the kernel.
const SLACK_BYTES: u64 = 64 << 10;
/// The fewest entries of a ring that is reduced for lack of locked memory.
const RING_ENTRIES_MIN: u32 = 256;
/// Mappings of the program, the threads' stacks, the allocator's arenas and the rings.
const MAPS_BESIDE_LOGS: u64 = 2_000;
/// Descriptors of one shard that are neither client sockets nor log files: rings, eventfds, files of jobs.
const FILES_BESIDE_SOCKETS: u64 = 64;

/// The memory that one shard locks. Kernels since 6.13 count rings against the limit, earlier ones only what glommio
/// registers.
pub fn locked_bytes_of_shard(options: &Options) -> u64 {
    let pages = |bytes: u64| bytes.next_multiple_of(PAGE_BYTES);
    let entries = u64::from(options.ring_entries);
    // Submission entries of 64 bytes; four times as many completion entries of 16 bytes; an index of the submissions.
    let ring = pages(64 * entries) + pages(4 * 16 * entries + 4 * entries);
    ring + pages(16 * u64::from(options.receive_buffers)) + GLOMMIO_RINGS_BYTES + SLACK_BYTES
}

/// Bytes that this process may lock; `None`: without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockable(Option<u64>);

impl Lockable {
    /// Raises the limit as far as permitted, and reads it.
    pub fn of_this_process() -> Result<Self, StartError> {
        let limit = getrlimit(Resource::Memlock);
        raise(Resource::Memlock, Rlimit { current: limit.maximum, maximum: limit.maximum });
        if getrlimit(Resource::Memlock).current.is_some_and(|bytes| bytes < GLOMMIO_BYTES_MIN) {
            // Only a process that may raise hard limits succeeds; glommio checks the limit even of a process that no
            // limit holds.
            raise(Resource::Memlock, Rlimit { current: Some(GLOMMIO_BYTES_MIN), maximum: Some(GLOMMIO_BYTES_MIN) });
        }
        let bytes = getrlimit(Resource::Memlock).current;
        if let Some(bytes) = bytes.filter(|bytes| *bytes < GLOMMIO_BYTES_MIN) {
            return Err(too_little(1, GLOMMIO_BYTES_MIN, bytes));
        }
        Ok(Self(bytes.filter(|_bytes| !is_exempt())))
    }

    pub fn is_bounded(self) -> bool {
        self.0.is_some()
    }

    /// How many shards of a new data directory fit with the smallest rings; at least one.
    pub fn shards_max(self, options: &Options) -> u64 {
        let smallest = Options { ring_entries: options.ring_entries.min(RING_ENTRIES_MIN), ..options.clone() };
        self.0.map_or(u64::MAX, |bytes| (bytes / locked_bytes_of_shard(&smallest)).max(1))
    }

    /// Reduces the rings of this number of shards as far as needed, or returns what is missing.
    pub fn fit(self, options: &mut Options, shards: u16) -> Result<(), StartError> {
        let configured = options.ring_entries;
        let wanted = u64::from(shards) * locked_bytes_of_shard(options);
        options.ring_entries = self.ring_entries(options, shards)?;
        if options.ring_entries < configured {
            let (ring_entries, remedy) = (options.ring_entries, remedy(wanted));
            tracing::warn!(
                configured,
                ring_entries,
                "rings are smaller than configured because too little memory may be locked: {remedy}"
            );
        }
        Ok(())
    }

    /// The largest rings that this number of shards can have, at most as configured.
    pub fn ring_entries(self, options: &Options, shards: u16) -> Result<u32, StartError> {
        let Some(bytes) = self.0 else { return Ok(options.ring_entries) };
        let needed =
            |ring_entries: u32| u64::from(shards) * locked_bytes_of_shard(&Options { ring_entries, ..options.clone() });
        let mut ring_entries = options.ring_entries;
        while needed(ring_entries) > bytes {
            if ring_entries <= RING_ENTRIES_MIN {
                return Err(too_little(shards, needed(options.ring_entries), bytes));
            }
            ring_entries /= 2;
        }
        Ok(ring_entries)
    }
}

/// The number of shards of a new data directory: one for each of `cores` cores, or fewer if not all of them could
/// start.
pub fn shards_of_new(options: &Options, lockable: Lockable, cores: usize) -> usize {
    let shards_max = usize::try_from(lockable.shards_max(options)).unwrap_or(usize::MAX);
    if cores > shards_max {
        let remedy = remedy(cores as u64 * locked_bytes_of_shard(options));
        tracing::warn!(
            cores,
            shards = shards_max,
            "a new data directory gets fewer shards than cores because too little memory may be locked: {remedy}"
        );
    }
    cores.min(shards_max)
}

fn too_little(shards: u16, wanted: u64, bytes: u64) -> StartError {
    HostError::LockedMemory { shards, wanted, bytes, remedy: remedy(wanted) }.into()
}

fn remedy(bytes: u64) -> String {
    format!("raise the limit (ulimit -l {}, or LimitMEMLOCK={bytes} in the unit)", bytes.div_ceil(1_024))
}

fn raise(resource: Resource, to: Rlimit) {
    // A limit that cannot be raised is checked as it is.
    let _ = setrlimit(resource, to);
}

/// The kernel counts nothing for a process with the capability in the initial user namespace; root in a container does
/// not have it there.
fn is_exempt() -> bool {
    let is_capable = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    is_capable && map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Refuses a host on which the first shard could not start.
pub fn check() -> Result<Lockable, StartError> {
    let lockable = Lockable::of_this_process()?;
    // On another thread: a ring that is torn down interrupts system calls of the thread that made it.
    let probe = std::thread::scope(|scope| scope.spawn(Ring::probe).join());
    let refused = |source: io::Error| HostError::Ring { explained: refused_ring(&source), source };
    probe.expect("the probe does not panic").map_err(refused)?;
    Ok(lockable)
}

/// Explains why a ring cannot be made, and what helps.
pub fn refused_ring(error: &io::Error) -> String {
    let switch = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    explain_ring(error, switch.trim())
}

/// `switch`: the value of the sysctl kernel.io_uring_disabled.
fn explain_ring(error: &io::Error, switch: &str) -> String {
    match (error.raw_os_error(), switch) {
        (Some(libc::EPERM), "1") => "io_uring is for privileged processes only on this host: sysctl \
             kernel.io_uring_disabled=0, or make this user a member of kernel.io_uring_group"
            .to_owned(),
        (Some(libc::EPERM), "2") => {
            "io_uring is disabled on this host; enable it with sysctl kernel.io_uring_disabled=0".to_owned()
        }
        (Some(libc::EPERM | libc::EACCES), _) => "this process may not use io_uring: a seccomp filter or a security \
             module forbids it; a container needs a profile that allows io_uring_setup, io_uring_enter and \
             io_uring_register (docker run --security-opt seccomp=FILE)"
            .to_owned(),
        (Some(libc::ENOSYS), _) => "this kernel has no io_uring; boot Linux 6.1 or newer".to_owned(),
        (Some(libc::ENOMEM), _) => {
            "there is no memory for io_uring: either the host has none, or this user's processes \
             lock all that they may together (ulimit -l; LimitMEMLOCK= in the unit)"
                .to_owned()
        }
        (Some(libc::EMFILE | libc::ENFILE), _) => {
            format!("io_uring needs open files: {error}; raise the limit (ulimit -n)")
        }
        _ => format!("this kernel's io_uring lacks a feature that mushan needs: {error}; boot Linux 6.1 or newer"),
    }
}

/// Warns if logs with this number of segments approach the number of mappings that this host permits.
pub fn check_maps(options: &Options, segments: u64) {
    let maps = maps_of_logs(segments, options.fetch_threads);
    let maps_max = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok());
    if maps_max.is_some_and(|most: u64| maps > most / 2) {
        tracing::warn!(
            segments,
            maps,
            maps_max,
            "the logs need more than half of the mappings that vm.max_map_count allows: raise it (sysctl -w \
             vm.max_map_count=1048576)"
        );
    }
}

/// The mappings of logs with this number of segments: each segment is mapped by its shard, and by every thread that
/// reads cold history.
pub fn maps_of_logs(segments: u64, fetch_threads: usize) -> u64 {
    segments.saturating_mul(1 + fetch_threads as u64).saturating_add(MAPS_BESIDE_LOGS)
}

/// Raises the limit of open files as far as permitted. Returns how many sockets and logs may use together.
pub fn files_for_sockets_and_logs(options: &Options, shards: u16) -> usize {
    let limit = getrlimit(Resource::Nofile);
    raise(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let of_admin = options.admin.listen.map_or(0, |_address| options.admin.files_max());
    share_of_files(files, of_admin, shards)
}

fn share_of_files(files: u64, of_admin: u64, shards: u16) -> usize {
    let beside = of_admin.saturating_add(FILES_BESIDE_SOCKETS * (u64::from(shards) + 1));
    usize::try_from(files.saturating_sub(beside)).unwrap_or(usize::MAX)
}

/// Says what this host and its control groups grant, and what the configuration makes of it, in one line.
pub fn room_of_this_host(options: &Options) -> String {
    const MIB: u64 = 1 << 20;
    let limits = container::ContainerLimits::of_this_process();
    let cpus = limits.cpu_millis.map_or_else(
        || "no CPU quota".to_owned(),
        |millis| format!("a CPU quota of {}.{:03}", millis / 1_000, millis % 1_000),
    );
    let whose = if limits.memory_bytes.is_some() { "control group's memory.max" } else { "host" };
    let memory = container::memory_bytes();
    let outboxes = outbox_bytes_max(options);
    let warning = if outboxes > memory / 2 {
        "; more than half of the memory: clients that do not read could use it up (server.outbox_bytes_total_max)"
    } else {
        ""
    };
    format!(
        "room {cpus}, memory {} MiB ({whose}); outboxes together at most {} MiB{warning}",
        memory / MIB,
        outboxes / MIB
    )
}

/// The connections of all shards together.
pub fn connections_total_max(options: &Options) -> usize {
    if options.connections_total_max == 0 { usize::MAX } else { options.connections_total_max }
}

/// The bytes that outboxes of all shards may hold together.
pub fn outbox_bytes_max(options: &Options) -> u64 {
    match options.outbox_bytes_total_max {
        0 => container::memory_bytes() / 4,
        bytes => bytes,
    }
}

/// The connections that each shard may have. Warns if that is far below the configuration.
pub fn connections_max(options: &Options, shards: u16, files: usize) -> usize {
    let allowed = (files / usize::from(shards)).max(1);
    let configured = options.connections_max;
    if allowed < configured / 10 {
        tracing::warn!(
            configured,
            allowed,
            "the limit of open files allows far fewer connections per shard than configured: raise it (ulimit -n, or \
             LimitNOFILE= in the unit)"
        );
    } else if allowed < configured {
        tracing::info!(
            configured,
            allowed,
            "the limit of open files allows fewer connections per shard than configured"
        );
    }
    allowed.min(configured)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn shards_share_the_files_and_leave_some_for_everything_else() {
        assert_eq!(share_of_files(20_000, 64, 2), 20_000 - 192 - 64);
        assert_eq!(share_of_files(10, 64, 2), 0);
        assert_eq!(connections_max(&Options::default(), 2, 0), 1, "one is always tried");
    }

    #[test]
    fn eight_mebibytes_of_locked_memory_are_enough_for_nine_shards_as_configured() {
        let mut options = Options::default();
        Lockable(Some(8 * MIB)).fit(&mut options, 9).expect("they fit");
        assert_eq!(options.ring_entries, Options::default().ring_entries);
    }

    #[test]
    fn rings_shrink_before_a_start_is_refused() {
        let mut options = Options::default();
        Lockable(Some(8 * MIB)).fit(&mut options, 20).expect("with smaller rings they fit");
        assert!((RING_ENTRIES_MIN..4_096).contains(&options.ring_entries), "{}", options.ring_entries);
        let error = Lockable(Some(8 * MIB)).fit(&mut Options::default(), 64).expect_err("too many");
        assert_eq!(error.exit_status(), 2);
        let wanted = 64 * locked_bytes_of_shard(&Options::default());
        assert!(error.to_string().contains(&format!("ulimit -l {}", wanted / 1_024)), "{error}");
        Lockable(None).fit(&mut Options::default(), 1_024).expect("nothing is counted");
    }

    #[test]
    fn a_new_directory_gets_as_many_shards_as_start() {
        let options = Options::default();
        let shards = shards_of_new(&options, Lockable(Some(8 * MIB)), 64);
        Lockable(Some(8 * MIB)).fit(&mut options.clone(), u16::try_from(shards).expect("few")).expect("they fit");
        assert!((20..64).contains(&shards), "{shards}");
        assert_eq!(shards_of_new(&options, Lockable(None), 64), 64);
    }

    #[test]
    fn each_refusal_of_a_ring_names_its_cause_and_a_remedy() {
        let explained = |code: i32, switch: &str| explain_ring(&io::Error::from_raw_os_error(code), switch);
        assert!(explained(libc::EPERM, "2").contains("sysctl kernel.io_uring_disabled=0"));
        assert!(explained(libc::EPERM, "1").contains("io_uring_group"));
        assert!(explained(libc::EPERM, "0").contains("seccomp") && explained(libc::EPERM, "").contains("seccomp"));
        assert!(explained(libc::ENOSYS, "").contains("Linux 6.1"));
        assert!(explained(libc::EINVAL, "0").contains("Linux 6.1"));
        assert!(explained(libc::ENOMEM, "0").contains("ulimit -l"));
    }
}
