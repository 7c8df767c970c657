//! What a container may use: the CPU quota and the limit of memory of its control groups (version 2).
//!
//! Read once, at the start. A host without control groups grants everything that it has.

use std::path::{Path, PathBuf};

/// What the control groups of this process grant; `None`: as much as the host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerLimits {
    /// Thousandths of a CPU.
    pub cpu_millis: Option<u64>,
    pub memory_bytes: Option<u64>,
}

impl ContainerLimits {
    pub fn of_this_process() -> Self {
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::of(Path::new("/sys/fs/cgroup"), &groups)
    }

    /// The least of the limits of the group and of those around it. `groups` is the text of /proc/self/cgroup.
    fn of(root: &Path, groups: &str) -> Self {
        let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let mut limits = Self::default();
        // A path above the root of a namespace begins with "..": then only the root is visible.
        let own: PathBuf = Path::new(own).components().filter(|part| part.as_os_str() != "..").collect();
        for group in own.ancestors() {
            let read = |file: &str| std::fs::read_to_string(root.join(group).join(file)).unwrap_or_default();
            limits.cpu_millis = least(limits.cpu_millis, cpu_millis_of(&read("cpu.max")));
            limits.memory_bytes = least(limits.memory_bytes, read("memory.max").trim().parse().ok());
        }
        limits
    }

    /// The most shards that have a CPU each; at least one.
    pub fn shards_max(self) -> usize {
        let whole = self.cpu_millis.map_or(u64::MAX, |millis| (millis / 1_000).max(1));
        usize::try_from(whole).unwrap_or(usize::MAX)
    }
}

/// Memory that this process may use: what its container grants, or what the host has.
pub fn memory_bytes() -> u64 {
    let of_host = rustix::system::sysinfo();
    let total = of_host.totalram.saturating_mul(u64::from(of_host.mem_unit.max(1)));
    least(ContainerLimits::of_this_process().memory_bytes, Some(total)).unwrap_or(total)
}

/// `MAX PERIOD` in microseconds; the word `max` is no limit.
fn cpu_millis_of(text: &str) -> Option<u64> {
    let (most, period) = text.trim().split_once(' ')?;
    let (most, period): (u64, u64) = (most.parse().ok()?, period.parse().ok()?);
    most.saturating_mul(1_000).checked_div(period)
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_all_groups_counts() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        assert_eq!(ContainerLimits::of(root.path(), "0::/a/b\n"), ContainerLimits::default(), "no control groups");
        write("a/cpu.max", "250000 100000\n");
        write("a/memory.max", "1073741824\n");
        write("a/b/cpu.max", "max 100000\n");
        write("a/b/memory.max", "2147483648\n");
        let limits = ContainerLimits::of(root.path(), "1:name=systemd:/x\n0::/a/b\n");
        assert_eq!(limits, ContainerLimits { cpu_millis: Some(2_500), memory_bytes: Some(1 << 30) });
        assert_eq!(limits.shards_max(), 2, "the rest is for other threads");
        write("cpu.max", "50000 100000\n");
        assert_eq!(ContainerLimits::of(root.path(), "0::/\n").shards_max(), 1);
        assert_eq!(ContainerLimits::of(root.path(), "0::/../a/b\n").cpu_millis, Some(500));
        assert_eq!(ContainerLimits::default().shards_max(), usize::MAX);
    }

    #[test]
    fn this_host_has_memory() {
        assert!(memory_bytes() > 16 << 20);
    }
}
