//! Contenders under the same load, in turn, round by round: what else goes on hits all of them. The load generator and
//! the server are the program itself, `mushan bench p2p --json`; each run starts a server of its own.
//!
//! | variable | means |
//! |---|---|
//! | `MUSHAN_BENCH_ROUNDS` | rounds (3) |
//! | `MUSHAN_BENCH_SECONDS` | of each measured span (2) |
//! | `MUSHAN_BENCH_CONNECTIONS` | connections, as in `100,1000` |
//! | `MUSHAN_BENCH_MEMBERS` | members of a group, as in `200,1000` |
//! | `MUSHAN_BENCH_IN_FLIGHT` | messages under way per pair, as in `1,16` |
//! | `MUSHAN_BENCH_SERVER_CORE`, `MUSHAN_BENCH_CLIENT_CORE` | 0 and 1 |
//! | `MUSHAN_BENCH_NO_ACKS` | readers do not acknowledge, to any contender |
//! | `MUSHAN_BENCH_DIR` | where the data directories are made |

// Each bench prints its own part of an outcome.
#![allow(dead_code)]

use super::common::is_smoke;
use serde_json::Value;
use std::process::Command;

/// How a contest is held.
pub struct Rules {
    pub rounds: usize,
    pub seconds: f64,
    pub connections: Vec<usize>,
    pub members: Vec<usize>,
    pub in_flight: Vec<usize>,
    pub server_core: usize,
    pub client_core: usize,
}

/// One load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub connections: usize,
    pub in_flight: usize,
}

/// What one run showed.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub cpu_us: f64,
    pub delivered_per_s: f64,
    pub server_busy: f64,
    pub client_busy: f64,
    pub answer_p50_us: f64,
    pub answer_p99_us: f64,
    pub push_p50_us: f64,
    pub push_p99_us: f64,
    pub push_p999_us: f64,
    pub records_per_sync: Option<f64>,
}

/// What `median`, least and most of some rounds are.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Rules {
    pub fn read(connections: &[usize], in_flight: &[usize]) -> Self {
        let usual = if is_smoke() { (1, 0.3, &[2][..], &[1][..]) } else { (3, 2.0, connections, in_flight) };
        Self {
            rounds: number("MUSHAN_BENCH_ROUNDS").unwrap_or(usual.0),
            seconds: number("MUSHAN_BENCH_SECONDS").unwrap_or(usual.1),
            connections: numbers("MUSHAN_BENCH_CONNECTIONS").unwrap_or_else(|| usual.2.to_vec()),
            members: numbers("MUSHAN_BENCH_MEMBERS")
                .unwrap_or_else(|| if is_smoke() { vec![8] } else { vec![200, 1_000] }),
            in_flight: numbers("MUSHAN_BENCH_IN_FLIGHT").unwrap_or_else(|| usual.3.to_vec()),
            server_core: number("MUSHAN_BENCH_SERVER_CORE").unwrap_or(0),
            client_core: number("MUSHAN_BENCH_CLIENT_CORE").unwrap_or(1),
        }
    }

    pub fn cells(&self) -> Vec<Cell> {
        let of = |&connections| self.in_flight.iter().map(move |&in_flight| Cell { connections, in_flight });
        self.connections.iter().flat_map(of).collect()
    }

    /// Groups' members, and messages under way.
    pub fn groups(&self) -> Vec<(usize, usize)> {
        let of = |&members| self.in_flight.iter().map(move |&in_flight| (members, in_flight));
        self.members.iter().flat_map(of).collect()
    }

    /// `mushan bench p2p`, with what all contenders share; `pace` is `--in-flight` or `--rate`.
    pub fn command(&self, connections: usize, pace: (&str, String)) -> Command {
        let mut command = self.command_for("p2p");
        command.args(["--connections", &connections.to_string(), pace.0, &pace.1]);
        command
    }

    /// `mushan bench group`, with one author.
    pub fn group_command(&self, members: usize, pace: (&str, String)) -> Command {
        let mut command = self.command_for("group");
        command.args(["--members", &members.to_string(), "--authors", "1", pace.0, &pace.1]);
        command
    }

    fn command_for(&self, scenario: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mushan"));
        command.args(["bench", scenario, "--json", "--body-bytes", "128"]);
        command.args(["--seconds", &self.seconds.to_string()]);
        command.args(["--server-core", &self.server_core.to_string()]);
        command.args(["--client-core", &self.client_core.to_string()]);
        if std::env::var_os("MUSHAN_BENCH_NO_ACKS").is_some() {
            command.arg("--no-acks");
        }
        command
    }

    pub fn conditions(&self) -> String {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
        let acks = std::env::var_os("MUSHAN_BENCH_NO_ACKS").map_or("acknowledge", |_| "do not acknowledge");
        format!(
            "{} cores of {}, Linux {}, load average {}; contender on core {}, load generator on core {}; loopback, \
             128-byte bodies, readers {acks}; median of {} interleaved rounds of {} s, [least–most]",
            core_affinity::get_core_ids().map_or(1, |cores| cores.len()),
            model.map_or("unknown", |(_, name)| name.trim()),
            read("/proc/sys/kernel/osrelease"),
            read("/proc/loadavg"),
            self.server_core,
            self.client_core,
            self.rounds,
            self.seconds
        )
    }
}

/// Runs one load to its end. A run that is not exact does not count, and ends the contest.
pub fn run(mut command: Command) -> Outcome {
    let output = command.output().expect("the program can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{said}", output.status);
    let json: Value = serde_json::from_str(text.trim()).expect("one JSON object");
    let at = |path: &str| json.pointer(path).and_then(Value::as_f64);
    let must = |path: &str| at(path).unwrap_or_else(|| panic!("{path} is missing in {text}"));
    Outcome {
        cpu_us: must("/server_cpu_us_per_delivered"),
        delivered_per_s: must("/delivered_per_s"),
        server_busy: must("/server_busy"),
        client_busy: must("/client_busy"),
        answer_p50_us: must("/send_to_answer/p50_us"),
        answer_p99_us: must("/send_to_answer/p99_us"),
        push_p50_us: must("/send_to_push/p50_us"),
        push_p99_us: must("/send_to_push/p99_us"),
        push_p999_us: must("/send_to_push/p999_us"),
        records_per_sync: at("/records_per_sync"),
    }
}

/// Adds the flags of an own server.
pub fn of_server(mut command: Command, protocol: &str, durability: &str) -> Command {
    command.args(["--protocol", protocol, "--durability", durability]);
    if let Some(directory) = std::env::var_os("MUSHAN_BENCH_DIR") {
        command.arg("--data-dir").arg(directory);
    }
    command
}

pub fn spread(values: impl IntoIterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (least, most) = (values[0], values[values.len() - 1]);
    Spread { median: values[values.len() / 2], least, most }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = out.precision().unwrap_or(2);
        let Self { median, least, most } = self;
        write!(out, "{median:.digits$} [{least:.digits$}–{most:.digits$}]")
    }
}

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn numbers(variable: &str) -> Option<Vec<usize>> {
    let text = std::env::var(variable).ok()?;
    Some(text.split(',').map(|part| part.trim().parse().unwrap_or_else(|_| panic!("{variable} is numbers"))).collect())
}
