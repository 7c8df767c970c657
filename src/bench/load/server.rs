//! The server under load: a process on its own core, started and stopped here.

use crate::terminal::LISTENING_ON;
use crate::terminal::failure::Failure;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Limits that would refuse the load.
const UNLIMITED: [(&str, &str); 6] = [
    ("MUSHAN_LIMITS__SENDS_PER_SECOND", "1000000"),
    ("MUSHAN_LIMITS__SENDS_BURST", "100000000"),
    ("MUSHAN_LIMITS__QUERIES_PER_SECOND", "1000000"),
    ("MUSHAN_LIMITS__QUERIES_BURST", "100000000"),
    ("MUSHAN_SERVER__HANDSHAKES_PER_ADDRESS_MAX", "1000000"),
    ("MUSHAN_SERVER__CONNECTIONS_MAX", "1000000"),
];

pub struct ServerPlan<'a> {
    /// The core of all shards.
    pub core: usize,
    /// The core of all other threads; `None`: the same.
    pub spare_core: Option<usize>,
    pub shards: u16,
    pub profile: &'a str,
    pub durability: &'a str,
    /// Further settings, as environment variables.
    pub environment: &'a [(String, String)],
    /// The directory in which the data directory is created.
    pub parent: &'a Path,
    pub contents: Prefill,
    pub api: AdminApi,
}

/// Whether a scenario needs the operator's HTTP API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminApi {
    Off,
    On,
}

impl AdminApi {
    /// The address on which it listens.
    fn address(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "127.0.0.1:0",
        }
    }
}

/// The contents of the data directory before and after a benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefill {
    /// Empty before, and removed afterwards.
    None,
    /// Filled before, and kept afterwards.
    Kept,
    KeptForTheLastTime,
}

/// A server process that was started here. It is killed when dropped.
pub struct ServerProcess {
    pub url: String,
    pub data_dir: PathBuf,
    contents: Prefill,
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl ServerProcess {
    pub fn start(plan: &ServerPlan<'_>) -> Result<Self, Failure> {
        let data_dir = Self::directory(plan.parent);
        if plan.contents == Prefill::None {
            remove(&data_dir)?;
        }
        let program = std::env::current_exe().map_err(Failure::because("cannot find my own program"))?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", plan.api.address()])
            .args(["--profile", plan.profile, "--data-dir"])
            .arg(&data_dir)
            .env("MUSHAN_DURABILITY__POLICY", plan.durability)
            .env("MUSHAN_SHARDS", plan.shards.to_string())
            .env("MUSHAN_SERVER__CORES", plan.core.to_string())
            .envs(UNLIMITED)
            .envs(plan.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = spawn_on(&[Some(plan.core), plan.spare_core], command)?;
        let stdout = child.stdout.take().expect("it is piped");
        let mut server =
            Self { url: String::new(), data_dir, contents: plan.contents, child, stdout: BufReader::new(stdout) };
        server.url = server.wait_for_address()?;
        Ok(server)
    }

    /// The path of this process's benchmark data.
    pub fn directory(parent: &Path) -> PathBuf {
        parent.join(format!("mushan-bench-{}", std::process::id()))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the server gracefully, and returns its last line.
    pub fn stop(mut self) -> Result<String, Failure> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child's pid is above 0");
        kill_process(pid, Signal::TERM).map_err(Failure::because("cannot stop the server"))?;
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).map_err(Failure::because("cannot read the server's output"))?;
        let status = self.child.wait().map_err(Failure::because("cannot wait for the server"))?;
        if !status.success() {
            return Err(Failure::new(format!("the server did not stop cleanly: {status}")));
        }
        Ok(rest.lines().last().unwrap_or_default().to_owned())
    }

    fn wait_for_address(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).map_err(Failure::because("cannot read the server's output"))? > 0 {
            let address = line.split_once(LISTENING_ON).and_then(|(_, rest)| rest.split_whitespace().next());
            if let Some(address) = address {
                return Ok(format!("ws://{address}"));
            }
            line.clear();
        }
        Err(Failure::new("the server for the benchmark did not start; its messages are above"))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Both fail if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.contents != Prefill::Kept {
            let _ = remove(&self.data_dir);
        }
    }
}

fn remove(directory: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::because(format!("cannot remove {}", directory.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Starts a process on these cores: it inherits those of the thread that starts it.
fn spawn_on(cores: &[Option<usize>], mut command: Command) -> Result<Child, Failure> {
    let mut wanted = CpuSet::new();
    cores.iter().flatten().for_each(|core| wanted.set(*core));
    let starter = std::thread::spawn(move || {
        sched_setaffinity(None, &wanted)?;
        command.spawn()
    });
    let started = starter.join().map_err(|_| Failure::new("the thread that starts the server died"))?;
    started.map_err(Failure::because("cannot start the server"))
}

/// The number before `noun` in the last line.
fn counted(closing_line: &str, noun: &str) -> Option<u64> {
    let words: Vec<&str> = closing_line.split([' ', ',', ';']).collect();
    words.windows(2).find(|pair| pair[1] == noun).and_then(|pair| pair[0].parse().ok())
}

/// The number of syncs in the last line, and of the records that they made durable.
pub fn syncs(closing_line: &str) -> Option<Syncs> {
    Some(Syncs { records: counted(closing_line, "records")?, syncs: counted(closing_line, "syncs")? })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syncs {
    pub records: u64,
    pub syncs: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syncs_are_read_from_the_closing_line() {
        let line = "stopped: 3 connections accepted, closed: 2 Gone; 10 bytes in, 20 out; 84 records, 42 syncs";
        assert_eq!(syncs(line), Some(Syncs { records: 84, syncs: 42 }));
        assert_eq!(syncs("stopped"), None);
    }
}
