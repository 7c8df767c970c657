//! `mushan bench size`: the cost of a message on servers with few or many users, and with a short or a long log.
//!
//! Each size is a data directory that the shard itself has written. All sizes are measured alternately in rounds, so
//! that other load on the machine affects all of them.

use crate::bench::load::crowd::Crowd;
use crate::bench::load::generator::{Load, LoadPace, Mix};
use crate::bench::load::options::LoadOptions;
use crate::bench::load::report::Conditions;
use crate::bench::load::server::{AdminApi, Prefill, ServerProcess};
use crate::bench::load::settings::ComparedSettings;
use crate::bench::load::target::{LoadRequest, LoadTarget, on_core};
use crate::bench::load::template::LoadDialect;
use crate::bench::scenario::history::{Scale, fill};
use crate::bench::scenario::p2p::{RunPairs, let_pairs_in, pair_streams};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::progress::Progress;
use crate::terminal::run_id::run_id;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The cost of a message with few and many known users, and with a short and a long log
///
/// Prints the server's CPU per delivered message for each size, the median of the rounds, and whether it stays within
/// 20 % of the smallest size's.
#[derive(clap::Args)]
pub struct Arguments {
    /// Known users, each with an inbox and a device
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "10,1000,100000,1000000")]
    users: Vec<u64>,
    /// Lengths of the log in GB, with 1000 known users
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "0,1,10")]
    gigabytes: Vec<f64>,
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    connections: u32,
    #[command(flatten)]
    options: LoadOptions,
}

/// The greatest ratio to the smallest size's cost that counts as equal.
const FLAT: f64 = 1.2;
const DAY_MS: u64 = 24 * 3_600 * 1_000;
const USERS_BESIDE_A_LONG_LOG: u64 = 1_000;
/// The bytes of the two messages that each step of filling a log writes.
const STEP_BYTES: u64 = 10_000;

#[derive(Serialize)]
struct Size {
    users: u64,
    log_bytes: u64,
    protocol: &'static str,
    #[serde(skip)]
    parent: PathBuf,
    /// One value for each round.
    cpu_us_per_delivered: Vec<f64>,
    median: f64,
    /// The ratio to the smallest size of its kind.
    ratio: f64,
}

#[derive(Serialize)]
struct Sizes {
    conditions: Conditions,
    connections: u32,
    rounds: u32,
    by_users: Vec<Size>,
    by_log: Vec<Size>,
    is_flat: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.options.check()?;
    let home = arguments.options.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    let home = home.join(format!("mushan-size-{}", std::process::id()));
    let measured = arguments.measure(&home);
    // A directory that cannot be removed only takes space.
    let _ = std::fs::remove_dir_all(&home);
    let sizes = measured?;
    print(&if arguments.options.json { serde_json::to_string(&sizes).expect("plain data") } else { sizes.to_string() })
}

impl Arguments {
    fn measure(&self, home: &Path) -> Result<Sizes, Failure> {
        let options = &self.options;
        let (users, gigabytes, rounds) = if options.smoke {
            (vec![10, 1_000], vec![0.0], 1)
        } else {
            (self.users.clone(), self.gigabytes.clone(), self.rounds)
        };
        let protocols = options.dialects();
        let mut by_users = Vec::new();
        for &users in &users {
            by_users.extend(written(home, (users, 0.0), protocols, options)?);
        }
        let mut by_log = Vec::new();
        for &gigabytes in &gigabytes {
            by_log.extend(written(home, (USERS_BESIDE_A_LONG_LOG, gigabytes), protocols, options)?);
        }
        let count = (by_users.len() + by_log.len()) * rounds as usize;
        let progress = options.progress_of("measuring", count);
        for _round in 0..rounds {
            for size in by_users.iter_mut().chain(&mut by_log) {
                size.cpu_us_per_delivered.push(self.cost(size)?);
                progress.advance(1);
            }
        }
        let is_flat = [&mut by_users, &mut by_log].map(|sizes| compare(sizes)).iter().all(|is_flat| *is_flat);
        let durability = options.durability.name();
        Ok(Sizes {
            conditions: Conditions::of_own_server(
                options.server_core,
                options.client_core,
                &options.profile,
                durability,
            ),
            connections: self.connections,
            rounds,
            by_users,
            by_log,
            is_flat,
        })
    }

    /// The cost of one message on a server that starts on this directory, between users that are not in it.
    fn cost(&self, size: &Size) -> Result<f64, Failure> {
        let options = &self.options;
        let dialect =
            if size.protocol == LoadDialect::Binary.name() { LoadDialect::Binary } else { LoadDialect::JsonRpc };
        let connections = options.scaled(self.connections as usize, 8) / 2 * 2;
        let settings = ComparedSettings::default();
        let load_request = LoadRequest { api: AdminApi::Off, contents: Prefill::Kept, settings: &settings };
        let target = LoadTarget::open_in(options, (dialect, connections), load_request, &size.parent)?;
        let measured = on_core(options.client_core, || {
            let (run, mut crowd) = (run_id()?, Crowd::new()?);
            let_pairs_in(&target, &mut crowd, RunPairs { run: &run, connections }, options, &Progress::none())?;
            let streams = pair_streams(dialect, &run, connections / 2, options.body_bytes);
            let mut load = Load::new(crowd, streams, LoadPace::Closed { in_flight: 1 }, Mix::Even);
            target.measure(&mut load, options, "size")
        })?;
        target.close()?;
        if !measured.whole.is_exact() {
            return Err(Failure::new(format!("not every message was delivered exactly once: {:?}", measured.whole)));
        }
        let ns = measured.span.server_cpu_ns.ok_or_else(|| Failure::new("the server's CPU time is not known"))?;
        Ok(ns as f64 / 1e3 / measured.tally.delivered as f64)
    }
}

/// A directory of this size for each protocol.
fn written(
    home: &Path,
    (users, gigabytes): (u64, f64),
    protocols: &'static [LoadDialect],
    options: &LoadOptions,
) -> Result<Vec<Size>, Failure> {
    if !(1..=100_000_000).contains(&users) || !(0.0..=1_000.0).contains(&gigabytes) {
        return Err(Failure::new("--users must be from 1 to 100000000, --gigabytes from 0 to 1000"));
    }
    let mut sizes = Vec::new();
    let parent = home.join(format!("{users}-users-{gigabytes}-gb"));
    let directory = ServerProcess::directory(&parent);
    std::fs::create_dir_all(&parent).map_err(Failure::because(parent.display()))?;
    let progress = options.progress_of("writing", 1);
    let bytes = (gigabytes * 1e9) as u64;
    let backlog = users.max(1_000).max(bytes / STEP_BYTES);
    let log_bytes = fill(&directory, &Scale { bytes, users, backlog, span_ms: DAY_MS })?;
    if log_bytes < bytes / 10 * 9 {
        return Err(Failure::new(format!("the log has {log_bytes} bytes instead of {bytes}")));
    }
    progress.advance(1);
    for dialect in protocols {
        sizes.push(Size {
            users,
            log_bytes,
            protocol: dialect.name(),
            parent: parent.clone(),
            cpu_us_per_delivered: Vec::new(),
            median: 0.0,
            ratio: 1.0,
        });
    }
    Ok(sizes)
}

/// Computes medians and ratios; returns whether all are close to the first of their protocol.
fn compare(sizes: &mut [Size]) -> bool {
    for size in &mut *sizes {
        let mut costs = size.cpu_us_per_delivered.clone();
        costs.sort_by(f64::total_cmp);
        size.median = costs.get(costs.len() / 2).copied().unwrap_or(0.0);
    }
    let firsts: Vec<(&str, f64)> = sizes.iter().map(|size| (size.protocol, size.median)).collect();
    let first = |protocol| firsts.iter().find(|(other, _)| *other == protocol).map_or(1.0, |(_, median)| *median);
    for size in &mut *sizes {
        size.ratio = size.median / first(size.protocol).max(f64::MIN_POSITIVE);
    }
    sizes.iter().all(|size| size.ratio <= FLAT)
}

impl std::fmt::Display for Sizes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(out, "size: {} connections, {} rounds in turn", self.connections, self.rounds)?;
        writeln!(out, "  conditions      {}", self.conditions)?;
        writeln!(out, "  {:>10} {:>10} {:>9} {:>12} {:>7}", "users", "log", "protocol", "µs/message", "ratio")?;
        for size in self.by_users.iter().chain(&self.by_log) {
            let Size { users, log_bytes, protocol, median, ratio, .. } = size;
            let log = format!("{:.2} GB", *log_bytes as f64 / 1e9);
            writeln!(out, "  {users:>10} {log:>10} {protocol:>9} {median:>12.2} {ratio:>7.2}")?;
        }
        let verdict = if self.is_flat { "flat" } else { "NOT flat" };
        write!(out, "  {verdict}: flat means at most {FLAT} times the first of its kind")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(protocol: &'static str, costs: &[f64]) -> Size {
        let cpu_us_per_delivered = costs.to_vec();
        Size { users: 1, log_bytes: 0, protocol, parent: PathBuf::new(), cpu_us_per_delivered, median: 0.0, ratio: 0.0 }
    }

    #[test]
    fn medians_are_compared_with_the_first_of_their_protocol() {
        let mut sizes = [
            size("binary", &[10.0, 90.0, 11.0]),
            size("jsonrpc", &[20.0, 20.0, 20.0]),
            size("binary", &[12.0, 12.0, 1.0]),
        ];
        assert!(compare(&mut sizes));
        assert_eq!((sizes[0].median, sizes[1].ratio, sizes[2].median), (11.0, 1.0, 12.0));
        sizes[2] = size("binary", &[14.0, 14.0, 14.0]);
        assert!(!compare(&mut sizes));
    }
}
