//! The options of a server. The configuration fills them; the defaults are the profile `balanced`.

use crate::model::{HookPolicy, Limits, OnHookFailure, Policies, SendKinds};
use crate::server::base::logging::LogFormat;
use crate::server::base::networks::Networks;
use crate::server::config::acme::AcmeOptions;
use crate::server::config::telemetry::TelemetryOptions;
use crate::server::config::tls::TlsOptions;
use crate::server::config::webhooks::WebhookOptions;
use crate::server::outbound::addresses::AddressPolicy;
use crate::server::outbound::endpoint::Endpoint;
use crate::server::peer::proxies::Proxies;
use crate::shard::{SLOTS, Upkeep, Windows};
use crate::wire::token::Expiry;
use crate::wire::{AllowedOrigins, ForwardedHeader, TokenAlgorithm};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// When an acknowledged message is on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before it is acknowledged.
    Fsync,
    /// At most this long afterwards: an acknowledged message survives the end of the process, but not always a power
    /// cut.
    Interval { interval_ms: u64 },
    /// Whenever the kernel writes it.
    None,
}

impl std::fmt::Display for Durability {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fsync => out.write_str("fsync"),
            Self::Interval { interval_ms } => write!(out, "interval ({interval_ms} ms)"),
            Self::None => out.write_str("none"),
        }
    }
}

impl Durability {
    /// The policy's name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Interval { .. } => "interval",
            Self::None => "none",
        }
    }

    /// The promise of an acknowledgement under the policy, as a sentence.
    pub fn promise(self) -> String {
        match self {
            Self::Fsync => "acknowledged means on stable storage: it survives a power cut".to_owned(),
            Self::Interval { interval_ms } => {
                format!("acknowledged survives the end of the process, and a power cut after {interval_ms} ms")
            }
            Self::None => {
                "acknowledged survives the end of the process; a power cut may take what the kernel has not written"
                    .to_owned()
            }
        }
    }
}

/// The operator's HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminOptions {
    /// `None`: there is none.
    pub listen: Option<SocketAddr>,
    pub tls: TlsOptions,
    pub metrics: MetricsAccess,
    pub connections_max: usize,
    /// The most orders that shards have not answered.
    pub orders_max: usize,
    /// The most event streams.
    pub event_streams_max: usize,
    /// How long an order may take before the request fails with a timeout.
    pub order_ms: u64,
    /// How long a request may take to arrive.
    pub read_ms: u64,
    pub body_bytes_max: usize,
    /// Names of this API in `Host`, beside addresses and names without a dot.
    pub allowed_hosts: Vec<String>,
}

impl AdminOptions {
    /// Descriptors for the API's connections, doubled so that unauthenticated clients cannot take those of operators.
    pub fn files_max(&self) -> u64 {
        2 * self.connections_max as u64
    }
}

/// Who may read the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAccess {
    Token,
    Everybody,
}

impl Default for AdminOptions {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            tls: TlsOptions::default(),
            metrics: MetricsAccess::Token,
            connections_max: 64,
            orders_max: 64,
            event_streams_max: 8,
            order_ms: 10_000,
            read_ms: 10_000,
            body_bytes_max: 1 << 20,
            allowed_hosts: Vec::new(),
        }
    }
}

/// The operator's hook, which is asked before a message is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookOptions {
    /// `None`: there is none.
    pub url: Option<String>,
    /// What becomes of a message without an answer; the operator must choose.
    pub on_failure: Option<OnHookFailure>,
    /// The kinds of sends about which it is asked.
    pub asked: SendKinds,
    /// How long a question may take, its wait for a slot included.
    pub timeout_ms: u64,
    /// The most questions under way.
    pub concurrency_max: usize,
    /// The file of the secret that signs the requests.
    pub secret_file: Option<PathBuf>,
    pub addresses: AddressPolicy,
}

impl Default for HookOptions {
    fn default() -> Self {
        Self {
            url: None,
            on_failure: None,
            asked: SendKinds::OF_CLIENTS,
            timeout_ms: 1_000,
            concurrency_max: 64,
            secret_file: None,
            addresses: AddressPolicy::Public,
        }
    }
}

impl HookOptions {
    /// What shards do with messages.
    pub fn policy(&self) -> HookPolicy {
        match (&self.url, self.on_failure) {
            (Some(_), Some(on_failure)) => HookPolicy { asked: self.asked, on_failure },
            _ => HookPolicy::default(),
        }
    }

    /// What is wrong with the settings together, one sentence each.
    fn problems(&self) -> Vec<String> {
        let Some(url) = &self.url else { return Vec::new() };
        let table = [
            (
                self.on_failure.is_none(),
                "hook.on_failure must be open or closed where hook.url is set: whether a message without an answer is accepted",
            ),
            (
                self.secret_file.is_none(),
                "hook.secret_file must name a file where hook.url is set: requests are signed",
            ),
            (self.asked.is_empty(), "hook.asked must name a kind of message where hook.url is set"),
        ];
        let problems = table.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, sentence)| sentence.to_owned());
        let fault = Endpoint::parse(url, self.addresses).err().map(|why| format!("hook.url: {why}"));
        problems.chain(fault).collect()
    }
}

/// Which tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthOptions {
    /// Public keys of other token issuers.
    pub jwks_file: Option<PathBuf>,
    /// The algorithms with which tokens may be signed, if there is a key for them.
    pub algorithms: Vec<TokenAlgorithm>,
    pub expiry: Expiry,
}

impl Default for AuthOptions {
    fn default() -> Self {
        Self { jwks_file: None, algorithms: TokenAlgorithm::ALL.to_vec(), expiry: Expiry::Required }
    }
}

impl AuthOptions {
    pub fn allows(&self, algorithm: TokenAlgorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether tokens signed with the data directory's secret are accepted.
    pub fn allows_own_tokens(&self) -> bool {
        self.allows(TokenAlgorithm::Hs256)
    }

    pub fn shown_algorithms(&self) -> String {
        self.algorithms.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(",")
    }
}

/// The use of the kernel's transparent huge pages in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    /// No request: the host's setting decides.
    Host,
    /// No huge pages, even if the host would provide them.
    Never,
    /// For the receive buffers.
    Advise,
}

/// The chat page of `mushan serve --demo`, which logs anybody in who can open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemoAccess {
    Off,
    /// Only on a loopback address, and only under its names.
    Loopback,
    /// To everybody who can reach the server.
    Anybody,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0 selects a free one, which `Server::address` returns.
    pub listen: SocketAddr,
    /// Of the listener of clients.
    pub tls: TlsOptions,
    /// The same, where an authority issues the certificate.
    pub acme: AcmeOptions,
    pub admin: AdminOptions,
    pub auth: AuthOptions,
    /// Never from a file or the environment: only the command line can ask for it.
    pub demo: DemoAccess,
    pub webhooks: Vec<WebhookOptions>,
    pub hook: HookOptions,
    pub telemetry: TelemetryOptions,
    pub data_dir: PathBuf,
    /// `None`: as in the data directory; one for each core in a new one.
    pub shards: Option<u16>,
    /// Cores for shards, by number; empty: all cores that this process may use, except `cores_left_free`.
    pub cores: Vec<usize>,
    /// The number of lowest cores that are left to interrupts, other threads and the rest of the machine; at least one
    /// core is always used.
    pub cores_left_free: usize,
    pub limits: Limits,
    pub policies: Policies,
    pub windows: Windows,
    pub durability: Durability,
    /// How long the first record of a batch waits for more before the log is synced, under `Durability::Fsync`.
    pub commit_delay_ms: u64,
    /// How long an idle core looks for work before it sleeps, in microseconds.
    pub spin_us: u64,
    /// Submissions that one turn can queue for the kernel; a power of two.
    pub ring_entries: u32,
    /// Provided buffers of one shard; a power of two, at most 32,768.
    pub receive_buffers: u16,
    pub receive_buffer_bytes: u32,
    /// The most bytes of one socket that one turn processes, so that a flood does not delay others.
    pub receive_bytes_per_turn_max: usize,
    /// The most completions, messages of one lane, and handed-over connections that one turn processes.
    pub events_per_turn_max: usize,
    /// For new data directories; an existing one keeps its own. A multiple of 4,096.
    pub segment_bytes: u32,
    /// Checkpoints and retention of each shard's log.
    pub upkeep: Upkeep,
    /// Bytes of the disk that segments leave free for checkpoints and the end of the run.
    pub reserve_bytes: u64,
    /// Threads that read cold history, for all shards together.
    pub fetch_threads: usize,
    /// WebSocket subprotocols that are accepted if clients request them, beside the protocols' own names.
    pub subprotocols: Vec<String>,
    /// The most connections of one shard. The process's limit of open files may lower it.
    pub connections_max: usize,
    /// The most connections of all shards together; 0: as many as the shards may have.
    pub connections_total_max: usize,
    /// The most connections of one address (IPv6: one /64) to the server; 0: no bound.
    pub connections_per_address_max: u32,
    /// The most connections that one shard accepts in a second, and the most logins; 0: no bound.
    pub accepts_per_second: u64,
    pub logins_per_second: u64,
    /// The most connections that one shard accepts from one address in a minute, and the most logins; 0: no bound.
    pub accepts_per_address_per_minute: u64,
    pub logins_per_address_per_minute: u64,
    /// The most bytes queued for sockets that do not take them, in all shards together; 0: a quarter of the memory that the
    /// process may use.
    pub outbox_bytes_total_max: u64,
    /// The most unauthenticated connections of one address (IPv6: one /64) to one shard.
    pub handshakes_per_address_max: usize,
    /// The most connections of one proxy to one shard that owe their PROXY header.
    pub unannounced_per_proxy_max: usize,
    /// Proxies that are believed.
    pub proxies: Proxies,
    /// Pages that may connect.
    pub allowed_origins: AllowedOrigins,
    /// A session whose socket takes no byte for this time is closed as too slow.
    pub send_stalled_ms: u64,
    /// How long TCP waits for the acknowledgement of sent bytes.
    pub tcp_user_timeout_ms: u64,
    pub keepalive_ms: u64,
    /// 0: the kernel may delay a small segment until earlier ones are acknowledged.
    pub tcp_nodelay: u32,
    /// The most unsent bytes in one socket's kernel buffer; 0: as configured on the host.
    pub tcp_notsent_lowat_bytes: u32,
    /// Connections of one shard that wait to be accepted; the host's `somaxconn` bounds it further.
    pub listen_backlog: u32,
    pub log_format: LogFormat,
    pub huge_pages: HugePages,
    /// How long the allocator keeps freed memory before it returns it to the kernel.
    pub allocator_purge_ms: u64,
    /// How long sessions are asked to go before a graceful stop; 0: they all end with the stop.
    pub drain_ms: u64,
    /// How long a graceful stop may take.
    pub stop_deadline_ms: u64,
    /// Added to a token's expiry, because clocks differ.
    pub token_leeway_ms: u64,
    /// The source of each setting's value, in the order of the settings; empty where they were not read from sources.
    pub sources: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8081)),
            tls: TlsOptions::default(),
            acme: AcmeOptions::default(),
            admin: AdminOptions::default(),
            auth: AuthOptions::default(),
            demo: DemoAccess::Off,
            webhooks: Vec::new(),
            hook: HookOptions::default(),
            telemetry: TelemetryOptions::default(),
            data_dir: PathBuf::from("mushan-data"),
            shards: None,
            cores: Vec::new(),
            cores_left_free: 0,
            limits: Limits::default(),
            policies: Policies::default(),
            windows: Windows::default(),
            durability: Durability::Fsync,
            commit_delay_ms: 0,
            spin_us: 10,
            ring_entries: 4_096,
            receive_buffers: 1_024,
            receive_buffer_bytes: 4_096,
            receive_bytes_per_turn_max: 16 << 10,
            events_per_turn_max: 1_024,
            segment_bytes: 64 << 20,
            upkeep: Upkeep::default(),
            reserve_bytes: 64 << 20,
            fetch_threads: 2,
            subprotocols: Vec::new(),
            connections_max: 65_536,
            connections_total_max: 0,
            connections_per_address_max: 0,
            accepts_per_second: 0,
            logins_per_second: 0,
            accepts_per_address_per_minute: 0,
            logins_per_address_per_minute: 0,
            outbox_bytes_total_max: 0,
            handshakes_per_address_max: 64,
            unannounced_per_proxy_max: 4_096,
            proxies: Proxies {
                trusted: Networks::loopback(),
                announcing: Networks::default(),
                header: ForwardedHeader::XForwardedFor,
            },
            allowed_origins: AllowedOrigins::default(),
            send_stalled_ms: 10_000,
            tcp_user_timeout_ms: 30_000,
            keepalive_ms: 60_000,
            tcp_nodelay: 1,
            tcp_notsent_lowat_bytes: 0,
            listen_backlog: 4_096,
            log_format: LogFormat::Text,
            huge_pages: HugePages::Host,
            allocator_purge_ms: 1_000,
            drain_ms: 0,
            stop_deadline_ms: 5_000,
            token_leeway_ms: 5_000,
            sources: Vec::new(),
        }
    }
}

impl Options {
    pub const SEGMENT_BYTES_MIN: u32 = 64 << 10;
    pub const PAGE_BYTES: u32 = 4_096;

    /// All problems, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut expect = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        expect(
            self.shards.is_none_or(|shards| (1..=SLOTS).contains(&shards)),
            &format!("shards must be between 1 and {SLOTS}"),
        );
        expect(self.ring_entries.is_power_of_two(), &power_of_two("server.ring_entries", self.ring_entries));
        expect((64..=32_768).contains(&self.ring_entries), "server.ring_entries must be between 64 and 32768");
        let receive_buffers = u32::from(self.receive_buffers);
        expect(receive_buffers.is_power_of_two(), &power_of_two("server.receive_buffers", receive_buffers));
        expect((16..=32_768).contains(&self.receive_buffers), "server.receive_buffers must be between 16 and 32768");
        expect(
            (512..=65_536).contains(&self.receive_buffer_bytes),
            "server.receive_buffer_bytes must be between 512 and 65536",
        );
        expect(self.receive_bytes_per_turn_max > 0, "server.receive_bytes_per_turn_max must not be 0");
        expect(self.events_per_turn_max > 0, "server.events_per_turn_max must not be 0");
        expect(
            self.segment_bytes.is_multiple_of(Self::PAGE_BYTES) && self.segment_bytes >= Self::SEGMENT_BYTES_MIN,
            "server.segment_bytes must be a multiple of 4096 and at least 65536",
        );
        expect((1..=1_000_000).contains(&self.connections_max), "server.connections_max must be between 1 and 1000000");
        expect(self.fetch_threads > 0, "log.fetch_threads must not be 0");
        expect(self.handshakes_per_address_max > 0, "server.handshakes_per_address_max must not be 0");
        expect(self.unannounced_per_proxy_max > 0, "server.unannounced_per_proxy_max must not be 0");
        expect(
            !matches!(self.durability, Durability::Interval { interval_ms: 0 }),
            "durability.interval_ms must not be 0",
        );
        expect(
            self.demo != DemoAccess::Loopback || self.listen.ip().is_loopback(),
            &format!(
                "--demo lets everybody in who can reach {}; use --listen 127.0.0.1:{}, or --demo-anybody if that is intended",
                self.listen,
                self.listen.port()
            ),
        );
        expect(
            self.demo == DemoAccess::Off || self.auth.allows_own_tokens(),
            "--demo signs tokens of its own, so auth.algorithms must have HS256",
        );
        problems.extend(self.hook.problems());
        problems.extend(self.telemetry.problems(self.admin.listen.is_some()));
        problems.extend(self.tls.problems("tls."));
        problems.extend(self.acme.problems(self.tls.is_on()));
        problems.extend(self.admin.tls.problems("admin.tls_"));
        problems
    }
}

/// The message suggests the nearest powers of two.
fn power_of_two(key: &str, value: u32) -> String {
    let above = value.checked_next_power_of_two().unwrap_or(1 << 31);
    format!("{key} = {value} must be a power of two, for example {} or {above}", (above / 2).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_problem() {
        assert_eq!(Options::default().problems(), Vec::<String>::new());
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let options = Options {
            shards: Some(0),
            ring_entries: 100,
            durability: Durability::Interval { interval_ms: 0 },
            segment_bytes: 65_537,
            demo: DemoAccess::Loopback,
            ..Options::default()
        };
        assert_eq!(options.problems().len(), 5, "{:?}", options.problems());
    }
}
