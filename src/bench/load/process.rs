//! Numbers from /proc and perf about a process under load, and this process's limit of open files.

use crate::terminal::failure::Failure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Descriptors beside the connections, in this process and in the server.
const FILES_BESIDE: u64 = 128;

/// CPU time that a process has used so far, of all threads together, in ns.
pub fn cpu_ns(pid: u32) -> Result<u64, Failure> {
    cpu_ns_of(pid, |_name| true)
}

/// Of the threads with these names.
fn cpu_ns_of(pid: u32, is_meant: impl Fn(&str) -> bool) -> Result<u64, Failure> {
    let tasks = format!("/proc/{pid}/task");
    let entries = std::fs::read_dir(&tasks).map_err(Failure::because(&tasks))?;
    let of_task = |path: PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
    };
    let name = |path: &Path| std::fs::read_to_string(path.join("comm")).unwrap_or_default();
    let meant = entries.flatten().map(|entry| entry.path()).filter(|path| is_meant(&name(path)));
    Ok(meant.map(of_task).sum())
}

/// The same of the threads of its shards alone: what serves HTTP or reads logs beside them does not count.
pub fn shards_cpu_ns(pid: u32) -> Result<u64, Failure> {
    cpu_ns_of(pid, |name| {
        let number = name.trim_end().strip_prefix("mushan-");
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// Anonymous memory of a process in RAM: its allocations, without the log's mapped pages.
pub fn anonymous_bytes(pid: u32) -> Result<u64, Failure> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).map_err(Failure::because(&path))?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| Failure::new(format!("{path} has no RssAnon")))
}

/// Raises this process's limit of open files as far as permitted, and fails if that is not enough. The server inherits
/// the limit and needs as many.
pub fn need_files(connections: usize) -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // If the limit cannot be raised, the check below fails.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = connections as u64 + FILES_BESIDE;
    if needed <= files {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{connections} connections need {needed} open files in the generator and as many in the server, and a process \
         may open {files} here: raise the limit (ulimit -n, LimitNOFILE) or take at most {} connections",
        files.saturating_sub(FILES_BESIDE)
    )))
}

/// A perf process that counts the system calls of another process.
pub struct CallCount {
    perf: Child,
}

impl CallCount {
    /// Counts for at least `span`.
    pub fn start(pid: u32, span: Duration) -> Result<Self, String> {
        let seconds = format!("{:.3}", span.as_secs_f64());
        let started = Command::new("perf")
            .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &pid.to_string(), "--", "sleep", &seconds])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        match started {
            Ok(perf) => Ok(Self { perf }),
            Err(error) => Err(format!("perf cannot be started: {error}")),
        }
    }

    /// Waits for perf, and returns the number of calls, or why there is none.
    pub fn finish(self) -> Result<u64, String> {
        let output = self.perf.wait_with_output().map_err(|error| format!("perf: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        counted_calls(&said).ok_or_else(|| {
            let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing").trim().to_owned();
            format!("perf counts no system calls here: {first}")
        })
    }
}

fn counted_calls(said: &str) -> Option<u64> {
    said.lines().find(|line| line.contains("raw_syscalls:sys_enter"))?.split(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_cpu_time_and_memory() {
        let me = std::process::id();
        let before = cpu_ns(me).unwrap();
        let mut sum = 0_u64;
        while cpu_ns(me).unwrap() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu_ns(u32::MAX).is_err());
        assert!(anonymous_bytes(me).unwrap() > 0);
    }

    #[test]
    fn too_many_connections_are_told_before_they_are_tried() {
        need_files(10).expect("ten files are few");
        let refused = need_files(1 << 40).unwrap_err();
        assert!(refused.sentence.contains("ulimit -n"), "{}", refused.sentence);
    }

    #[test]
    fn the_count_is_read_from_what_perf_says() {
        assert_eq!(counted_calls("\n29,,raw_syscalls:sys_enter,727561,100.00,,\n"), Some(29));
        assert_eq!(counted_calls("<not supported>,,raw_syscalls:sys_enter,0,0.00,,"), None);
        assert_eq!(counted_calls("event syntax error"), None);
    }
}
