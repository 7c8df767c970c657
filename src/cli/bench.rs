//! `mushan bench`: loads a server and says what a message costs.

use super::bench_ab::{self, Comparison, Settings};
use super::bench_client::Client;
use super::bench_history;
use super::bench_load::{Load, Pair};
use super::bench_report::{Conditions, Report, Shape, Span, Whole};
use super::bench_server::{Contents, ServerPlan, ServerProcess, cpu_ns, syncs};
use super::bench_template::{Authorship, BODY_BYTES_MAX, BODY_BYTES_MIN, Template};
use super::chat::{Protocol, run_id};
use super::chat_binary::BinarySession;
use super::chat_json_rpc::JsonRpcSession;
use super::chat_session::{Identity, Session};
use super::failure::Failure;
use super::print;
use super::token::{Minter, parse_user};
use core_affinity::CoreId;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Load a server and print what a message costs
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(clap::Subcommand)]
enum Scenario {
    P2p(PeerToPeer),
    History(bench_history::Arguments),
}

/// Pairs of users, one sending to the other, each message waiting for its answer and its delivery
///
/// Starts a server of its own (one shard on a core of its own, a temporary data directory, no rate limits) and loads
/// it from another core. A first phase warms up and is not measured. Exits with 1 when a message was lost, duplicated,
/// out of order or refused.
#[derive(clap::Args)]
struct PeerToPeer {
    #[arg(long, value_enum, default_value_t = Protocols::Both)]
    protocol: Protocols,
    /// Connections; half of them send to the other half
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=15_000))]
    connections: u32,
    /// Messages under way per pair
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    in_flight: u32,
    /// How long to measure
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    seconds: f64,
    /// Content of one message, 64 to 65536
    #[arg(long, value_name = "N", default_value_t = 128)]
    body_bytes: usize,
    #[arg(long, value_enum, default_value_t = Policy::Fsync)]
    durability: Policy,
    #[arg(long, value_name = "NAME", default_value = "balanced")]
    profile: String,
    #[arg(long, value_name = "N", default_value_t = 0)]
    server_core: usize,
    #[arg(long, value_name = "N", default_value_t = 1)]
    client_core: usize,
    /// Load this server instead of an own one; its tokens are made from --data-dir
    #[arg(long, value_name = "URL", requires = "data_dir")]
    url: Option<String>,
    /// The process whose CPU is measured, with --url
    #[arg(long, value_name = "PID", requires = "url")]
    server_pid: Option<u32>,
    /// With --url the server's data directory, else where to make a temporary one [default: the system's]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print one JSON object per protocol
    #[arg(long)]
    json: bool,
    /// A short and small run that only proves the way through
    #[arg(long)]
    smoke: bool,
    #[command(flatten)]
    comparison: Comparison,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Protocols {
    Binary,
    Jsonrpc,
    Both,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Policy {
    Fsync,
    Interval,
    None,
}

impl Policy {
    fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Interval => "interval",
            Self::None => "none",
        }
    }
}

const TOKEN_TTL_MS: u64 = 24 * 3_600 * 1_000;
const DRAIN: Duration = Duration::from_secs(10);

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let plan = match &arguments.scenario {
        Scenario::P2p(plan) => plan,
        Scenario::History(arguments) => return bench_history::run(arguments),
    };
    if !(BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&plan.body_bytes) {
        return Err(Failure::new(format!("--body-bytes is {BODY_BYTES_MIN} to {BODY_BYTES_MAX}")));
    }
    if !(0.1..=86_400.0).contains(&plan.seconds) {
        return Err(Failure::new("--seconds is 0.1 to 86400"));
    }
    let protocols: &[Protocol] = match plan.protocol {
        Protocols::Binary => &[Protocol::Binary],
        Protocols::Jsonrpc => &[Protocol::Jsonrpc],
        Protocols::Both => &[Protocol::Binary, Protocol::Jsonrpc],
    };
    if plan.comparison.is_wanted() {
        let print_as = if plan.json { bench_ab::Form::Json } else { bench_ab::Form::Text };
        return bench_ab::run(&plan.comparison, print_as, protocols, |protocol, settings| {
            plan.measure(protocol, settings)
        });
    }
    let mut is_exact = true;
    for &protocol in protocols {
        let report = plan.measure(protocol, &Settings::default())?;
        is_exact &= report.whole.is_exact();
        let json = || serde_json::to_string(&report).expect("a report is plain data");
        print(&if plan.json { json() } else { report.to_string() })?;
    }
    if is_exact { Ok(()) } else { Err(Failure::new("not every message was delivered exactly once and in order")) }
}

impl PeerToPeer {
    fn shape(&self, protocol: Protocol) -> Shape {
        let (connections, in_flight, seconds) =
            if self.smoke { (8, 2, 1.0) } else { (self.connections as usize, self.in_flight as usize, self.seconds) };
        let protocol = match protocol {
            Protocol::Binary => "binary",
            Protocol::Jsonrpc => "jsonrpc",
        };
        Shape { protocol, connections: connections / 2 * 2, in_flight, body_bytes: self.body_bytes, seconds }
    }

    fn measure(&self, protocol: Protocol, settings: &Settings) -> Result<Report, Failure> {
        let parent = self.data_dir.clone().unwrap_or_else(std::env::temp_dir);
        let server = match self.url {
            Some(_) => None,
            None => Some(ServerProcess::start(&ServerPlan {
                core: self.server_core,
                profile: settings.profile().unwrap_or(&self.profile),
                durability: self.durability.name(),
                environment: &settings.environment(),
                parent: &parent,
                contents: Contents::None,
            })?),
        };
        let target = Target {
            protocol,
            shape: self.shape(protocol),
            url: server.as_ref().map_or(self.url.as_deref(), |server| Some(&server.url)).unwrap_or_default().to_owned(),
            minter: Minter::open(server.as_ref().map_or(&parent, |server| &server.data_dir))?,
            pid: server.as_ref().map(ServerProcess::pid).or(self.server_pid),
        };
        let conditions = self.conditions();
        let client_core = self.client_core;
        // Its own thread, so that its core is its own affair.
        let generator = std::thread::spawn(move || {
            core_affinity::set_for_current(CoreId { id: client_core });
            target.load(conditions)
        });
        let mut report = generator.join().map_err(|_| Failure::new("the generator died"))??;
        if let Some(server) = server {
            report.add_syncs(syncs(&server.stop()?));
        }
        Ok(report)
    }

    fn conditions(&self) -> Conditions {
        let ours = Conditions::of_own_server(self.server_core, self.client_core, &self.profile, self.durability.name());
        if self.url.is_none() {
            return ours;
        }
        let unknown = || "unknown".to_owned();
        Conditions { server_core: None, profile: unknown(), durability: unknown(), ..ours }
    }
}

/// One server and the load that is meant for it.
struct Target {
    protocol: Protocol,
    shape: Shape,
    url: String,
    minter: Minter,
    pid: Option<u32>,
}

impl Target {
    /// Warm-up, measured span, drain.
    fn load(&self, conditions: Conditions) -> Result<Report, Failure> {
        let mut load = self.open()?;
        let seconds = self.shape.seconds;
        let mut whole = Whole::default();
        whole.add(&load.run(Duration::from_secs_f64((seconds / 4.0).clamp(0.2, 2.0)))?);

        let (server_before, client_before) = self.cpu()?;
        let started = Instant::now();
        let measured = load.run(Duration::from_secs_f64(seconds))?;
        let took = started.elapsed();
        let (server_after, client_after) = self.cpu()?;
        whole.add(&measured);

        whole.add(&load.drain(DRAIN)?);
        whole.finish(load.under_way());
        let span = Span {
            took,
            server_cpu_ns: server_after.zip(server_before).map(|(after, before)| after.saturating_sub(before)),
            client_cpu_ns: client_after.saturating_sub(client_before),
        };
        Ok(Report::new(conditions, self.shape.clone(), &measured, &span, whole))
    }

    /// CPU time of the server and of this process.
    fn cpu(&self) -> Result<(Option<u64>, u64), Failure> {
        Ok((self.pid.map(cpu_ns).transpose()?, cpu_ns(std::process::id())?))
    }

    fn open(&self) -> Result<Load, Failure> {
        let run = run_id()?;
        let mut clients = Vec::new();
        let mut pairs = Vec::new();
        for pair in 0..self.shape.connections / 2 {
            let (author, reader) = (format!("{run}-a{pair}"), format!("{run}-b{pair}"));
            clients.push(self.client(&author, &reader)?);
            clients.push(self.client(&reader, &author)?);
            let number = u32::try_from(pair).expect("connections are bounded");
            let authorship = Authorship { peer: &reader, run: &run, pair: number, body_bytes: self.shape.body_bytes };
            pairs.push(Pair::new(Template::new(self.protocol, &authorship), self.shape.in_flight));
        }
        Load::new(clients, pairs).map_err(Failure::because("cannot watch the sockets"))
    }

    fn client(&self, user: &str, peer: &str) -> Result<Client, Failure> {
        let token = self.minter.mint(&parse_user(user)?, TOKEN_TTL_MS);
        let identity = Identity { user: user.to_owned(), peer: peer.to_owned(), token, run: String::new(), seen: 0 };
        let session = match self.protocol {
            Protocol::Binary => Session::Binary(BinarySession::new(identity)),
            Protocol::Jsonrpc => Session::JsonRpc(JsonRpcSession::new(identity)),
        };
        Client::open(&self.url, self.protocol, session)
    }
}
