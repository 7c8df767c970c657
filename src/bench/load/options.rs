//! The flags that all scenarios share.

use crate::bench::load::client::Acks;
use crate::bench::load::template::{BODY_BYTES_MAX, BODY_BYTES_MIN, LoadDialect};
use crate::terminal::failure::Failure;
use crate::terminal::progress::Progress;
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
pub struct LoadOptions {
    #[arg(long, value_enum, default_value_t = Protocols::Both)]
    pub protocol: Protocols,
    /// Duration of the measurement
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    seconds: f64,
    /// Bytes of one message's content, 64 to 65536
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub body_bytes: usize,
    #[arg(long, value_enum, default_value_t = Policy::Fsync)]
    pub durability: Policy,
    #[arg(long, value_name = "NAME", default_value = "balanced")]
    pub profile: String,
    /// Core on which all shards of the server run
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub server_core: usize,
    /// Core for the server's other threads, which share that of the shards otherwise
    #[arg(long, value_name = "N", conflicts_with = "url")]
    pub spare_core: Option<usize>,
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub shards: u16,
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub client_core: usize,
    /// Load this server instead of starting one; tokens are made from --data-dir
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Load over TLS: PEM file with the server's certificate, which must be for localhost
    #[arg(long, value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with that certificate's key, for a server that is started here
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// Process whose CPU is measured, with --url
    #[arg(long, value_name = "PID", requires = "url")]
    pub server_pid: Option<u32>,
    /// With --url the server's data directory, otherwise the parent of a temporary one [default: the system's]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Readers do not acknowledge messages
    #[arg(long)]
    no_acks: bool,
    /// Count the server's system calls with perf, in a second measurement
    #[arg(long)]
    pub syscalls: bool,
    /// Print one JSON object per protocol
    #[arg(long)]
    pub json: bool,
    /// Write a chart of latencies and throughput to this file
    #[arg(long, value_name = "FILE.svg")]
    pub chart: Option<PathBuf>,
    /// Write the results and the conditions to this file
    #[arg(long, value_name = "FILE.md")]
    pub report: Option<PathBuf>,
    /// Only prove that everything works, in a short and small run
    #[arg(long)]
    pub smoke: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocols {
    Binary,
    Jsonrpc,
    Both,
    /// Frames for a relay that parses nothing (benches/floor), with --url
    Bare,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Policy {
    Fsync,
    Interval,
    None,
}

impl Policy {
    pub fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Interval => "interval",
            Self::None => "none",
        }
    }
}

impl LoadOptions {
    pub fn check(&self) -> Result<(), Failure> {
        if !(BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&self.body_bytes) {
            return Err(Failure::new(format!("--body-bytes must be from {BODY_BYTES_MIN} to {BODY_BYTES_MAX}")));
        }
        if !(0.1..=3_600.0).contains(&self.seconds) {
            return Err(Failure::new("--seconds must be from 0.1 to 3600"));
        }
        let is_bare = self.protocol == Protocols::Bare;
        if self.url.is_some() && !is_bare && self.data_dir.is_none() {
            return Err(Failure::new("--url needs the server's --data-dir, to make tokens from its secret"));
        }
        if is_bare && self.url.is_none() {
            return Err(Failure::new("--protocol bare needs the --url of a relay"));
        }
        if self.url.is_none() && self.tls_certificate.is_some() != self.tls_key.is_some() {
            return Err(Failure::new("--tls-certificate needs --tls-key where the server is started here"));
        }
        if cfg!(not(feature = "chart")) && self.chart.is_some() {
            return Err(Failure::new("this build cannot draw charts: build it with the feature chart"));
        }
        Ok(())
    }

    pub fn dialects(&self) -> &'static [LoadDialect] {
        match self.protocol {
            Protocols::Binary => &[LoadDialect::Binary],
            Protocols::Jsonrpc => &[LoadDialect::JsonRpc],
            Protocols::Both => &[LoadDialect::Binary, LoadDialect::JsonRpc],
            Protocols::Bare => &[LoadDialect::Bare],
        }
    }

    pub fn span(&self) -> Duration {
        if self.smoke { Duration::from_secs(1) } else { Duration::from_secs_f64(self.seconds) }
    }

    /// `usual`, or `smoke` in a run that only proves that everything works.
    pub fn scaled(&self, usual: usize, smoke: usize) -> usize {
        if self.smoke { smoke } else { usual }
    }

    /// The settings of a server that is started here for a load over TLS.
    pub fn tls_environment(&self) -> Vec<(String, String)> {
        let files = [("CERTIFICATE", &self.tls_certificate), ("KEY", &self.tls_key)];
        let named = files.into_iter().filter_map(|(name, file)| {
            let file = std::path::absolute(file.as_ref()?).ok()?;
            Some((format!("MUSHAN_TLS__{name}_FILE"), file.display().to_string()))
        });
        named.collect()
    }

    pub fn acks(&self) -> Acks {
        if self.no_acks { Acks::Withheld } else { Acks::Sent }
    }

    pub fn progress(&self, doing: &str) -> Progress {
        if self.json { Progress::none() } else { Progress::of_span(doing, self.span()) }
    }

    pub fn progress_of(&self, doing: &str, count: usize) -> Progress {
        if self.json { Progress::none() } else { Progress::of_count(doing, count as u64) }
    }
}
