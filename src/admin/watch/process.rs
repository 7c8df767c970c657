//! The kernel's numbers of this process and of the disk, under Prometheus' usual names.

use crate::server::DiskRoom;
use crate::server::base::console;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::path::Path;

/// The unit of times in /proc, whatever the kernel's own clock rate: fixed on x86-64 and aarch64.
const TICKS_A_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    cpu_seconds: f64,
    /// Seconds since 1970.
    start_seconds: f64,
    resident_bytes: u64,
    open_files: u64,
    files_max: u64,
    disk_free_bytes: Option<u64>,
    disk_bytes: Option<u64>,
}

impl Process {
    /// Reads the numbers; one that cannot be read is 0 or left out.
    pub fn look(data_dir: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let disk = DiskRoom::of(data_dir).ok();
        Self {
            open_files: std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
            files_max: files.unwrap_or(u64::MAX),
            disk_bytes: disk.map(|disk| disk.total_bytes),
            disk_free_bytes: disk.map(|disk| disk.free_bytes),
            ..Self::parse(&read("/proc/self/stat"), &read("/proc/self/status"), &read("/proc/stat"))
        }
    }

    fn parse(stat: &str, status: &str, system: &str) -> Self {
        // The second field is the program's name in brackets, which may contain any character.
        let fields: Vec<f64> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(1).map(number).collect();
        let field = |index: usize| fields.get(index - 4).copied().unwrap_or_default();
        let line = |text: &str, name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map_or(0.0, number);
        Self {
            cpu_seconds: (field(14) + field(15)) / TICKS_A_SECOND,
            start_seconds: line(system, "btime ") + field(22) / TICKS_A_SECOND,
            resident_bytes: line(status, "VmRSS:") as u64 * 1_024,
            ..Self::default()
        }
    }

    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "User and system CPU time spent";
        let cpu = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(self.cpu_seconds).encode(cpu)?;
        let help = "Start of the process, in seconds since 1970";
        let start = encoder.encode_descriptor("process_start_time_seconds", help, None, MetricType::Gauge)?;
        ConstGauge::new(self.start_seconds).encode(start)?;
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Resident memory", Some(self.resident_bytes)),
            ("process_open_fds", "Open files", Some(self.open_files)),
            ("process_max_fds", "Limit of open files", Some(self.files_max)),
            ("mushan_disk_bytes", "Size of the file system of the data directory", self.disk_bytes),
            ("mushan_disk_free_bytes", "Bytes free on the disk of the data directory", self.disk_free_bytes),
        ] {
            let Some(value) = value else { continue };
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(gauge)?;
        }
        let help = "Lines for stdout or stderr that could not be written";
        let lost = encoder.encode_descriptor("mushan_diagnostics_lost", help, None, MetricType::Counter)?;
        ConstCounter::new(console::lost()).encode(lost)
    }
}

/// The number at the beginning of a text.
fn number(text: &str) -> f64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read_whatever_the_program_is_called() {
        let stat = "77 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 17 18 600 20 21";
        let process = Process::parse(stat, "Name:\tx\nVmRSS:\t    2048 kB\n", "cpu 1 2\nbtime 1000\n");
        assert_eq!((process.cpu_seconds, process.start_seconds, process.resident_bytes), (3.0, 1_006.0, 2_097_152));
    }

    #[test]
    fn this_process_has_files_memory_and_a_start() {
        let process = Process::look(Path::new("/"));
        assert!(process.open_files > 2 && process.resident_bytes > 0 && process.start_seconds > 1e9, "{process:?}");
        assert!(process.files_max >= process.open_files && process.disk_free_bytes.is_some());
    }
}
