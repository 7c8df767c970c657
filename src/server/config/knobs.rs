//! The table of settings: every value of the configuration, with its range and its meaning in one line.
//!
//! A default is the value in `Options::default`, so it is written once. The unit is the last part of the key.

use crate::server::config::options::{Durability, MetricsAccess, Options};
use crate::server::config::{acme_parsers, hook_parsers, knob_parsers, peer_parsers, telemetry_parsers, tls_parsers};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// A number in the options. Reads, writes and defaults use the same field.
pub enum OptionField<'a> {
    U16(&'a mut u16),
    U32(&'a mut u32),
    U64(&'a mut u64),
    Usize(&'a mut usize),
}

impl OptionField<'_> {
    pub fn read(&self) -> u64 {
        match self {
            Self::U16(place) => u64::from(**place),
            Self::U32(place) => u64::from(**place),
            Self::U64(place) => **place,
            Self::Usize(place) => **place as u64,
        }
    }

    /// Returns `false` and writes nothing if the number does not fit.
    pub fn write(self, number: u64) -> bool {
        match self {
            Self::U16(place) => number.try_into().map(|number| *place = number).is_ok(),
            Self::U32(place) => number.try_into().map(|number| *place = number).is_ok(),
            Self::U64(place) => {
                *place = number;
                true
            }
            Self::Usize(place) => number.try_into().map(|number| *place = number).is_ok(),
        }
    }
}

/// The type of a knob's values.
pub enum KnobKind {
    Number {
        least: u64,
        most: u64,
        place: fn(&mut Options) -> OptionField<'_>,
    },
    Address,
    /// `off` for none.
    AdminAddress,
    MetricsOpen,
    Directory,
    /// 0 means "as in the data directory".
    Shards,
    Policy,
    /// Used by the policy `interval`; the other policies ignore it.
    Interval,
    /// A text with its own parser in `knob_parsers`.
    Choice {
        show: fn(&Options) -> String,
        set: fn(&mut Options, &str) -> Result<(), String>,
    },
}

pub struct Knob {
    pub key: &'static str,
    pub kind: KnobKind,
    pub doc: &'static str,
}

pub const SHARDS_MAX: u64 = crate::shard::SLOTS as u64;
pub const INTERVAL_MS_DEFAULT: u64 = 10;
pub const INTERVAL_MS_MAX: u64 = 60_000;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const fn special(key: &'static str, kind: KnobKind, doc: &'static str) -> Knob {
    Knob { key, kind, doc }
}

macro_rules! number {
    ($key:literal, $least:expr, $most:expr, $variant:ident, $($field:ident).+, $doc:literal) => {
        Knob {
            key: $key,
            kind: KnobKind::Number { least: $least, most: $most, place: |options| OptionField::$variant(&mut options.$($field).+) },
            doc: $doc,
        }
    };
}

#[rustfmt::skip]
pub static KNOBS: &[Knob] = &[
    special("listen", KnobKind::Address, "address and port for WebSocket clients"),
    special("data_dir", KnobKind::Directory, "directory of the logs and the token secret"),
    special("shards", KnobKind::Shards, "shards of a new data directory; 0 = one per core, or as in the existing directory"),
    special("server.cores", KnobKind::Choice { show: knob_parsers::show_cores, set: knob_parsers::set_cores }, "cores for shards, such as 2-5,8; empty = all except server.cores_left_free"),
    number!("server.cores_left_free", 0, 1_024, Usize, cores_left_free, "number of lowest cores not used by shards if server.cores is empty; at least one core is always used"),
    special("directory", KnobKind::Choice { show: knob_parsers::show_directory, set: knob_parsers::set_directory }, "who may receive messages: open = any well-formed id, closed = only users known to the server"),
    special("sessions.same_platform", KnobKind::Choice { show: knob_parsers::show_same_platform, set: knob_parsers::set_same_platform }, "whether a new binary session ends an older one on the same platform: allow (both stay) or kick"),
    special("auth.jwks_file", KnobKind::Choice { show: knob_parsers::show_jwks_file, set: knob_parsers::set_jwks_file }, "JSON file with the public keys of other token issuers (a JWK Set); empty = none"),
    special("auth.algorithms", KnobKind::Choice { show: knob_parsers::show_algorithms, set: knob_parsers::set_algorithms }, "allowed signature algorithms of tokens: HS256 uses the token secret; RS256, ES256 and EdDSA use auth.jwks_file"),
    special("auth.exp", KnobKind::Choice { show: knob_parsers::show_expiry, set: knob_parsers::set_expiry }, "whether a token must have an expiry time: required or optional"),
    special("tls.certificate_file", KnobKind::Choice { show: tls_parsers::show_certificate_file, set: tls_parsers::set_certificate_file }, "PEM file with the certificate of the listener of clients and those that sign it; empty = no TLS"),
    special("tls.key_file", KnobKind::Choice { show: tls_parsers::show_key_file, set: tls_parsers::set_key_file }, "PEM file with the private key of tls.certificate_file"),
    special("tls.min_version", KnobKind::Choice { show: tls_parsers::show_version, set: tls_parsers::set_min_version }, "oldest version of TLS that clients may speak: 1.2 or 1.3"),
    special("tls.acme_directory_url", KnobKind::Choice { show: acme_parsers::show_directory_url, set: acme_parsers::set_directory_url }, "https URL of the directory of an authority that issues the certificate by itself (ACME); empty = none. Setting it agrees to the authority's terms"),
    special("tls.acme_names", KnobKind::Choice { show: acme_parsers::show_names, set: acme_parsers::set_names }, "names in that certificate, separated by commas"),
    special("tls.acme_contact", KnobKind::Choice { show: acme_parsers::show_contact, set: acme_parsers::set_contact }, "address of mail that the authority may write to; empty = none"),
    special("tls.acme_challenge", KnobKind::Choice { show: acme_parsers::show_challenge, set: acme_parsers::set_challenge }, "how the authority sees that the names are this server's: tls-alpn-01 (port 443 leads to listen) or http-01 (port 80 leads to tls.acme_http_listen)"),
    special("tls.acme_http_listen", KnobKind::Choice { show: acme_parsers::show_http_listen, set: acme_parsers::set_http_listen }, "address and port that answer the challenge http-01 while a certificate is ordered"),
    special("tls.acme_ca_file", KnobKind::Choice { show: tls_parsers::show_acme_ca_file, set: tls_parsers::set_acme_ca_file }, "PEM file with the certificate that signs the authority's own; empty = those that this machine trusts"),
    special("durability.policy", KnobKind::Policy, "when a message counts as stored: fsync, interval or none"),
    special("durability.interval_ms", KnobKind::Interval, "how often the log is synced under the policy interval"),
    number!("durability.commit_delay_ms", 0, 1_000, U64, commit_delay_ms, "how long the first message of a batch waits for others before a sync, under the policy fsync"),
    special("admin.listen", KnobKind::AdminAddress, "address and port of the operator's HTTP API, or off"),
    special("admin.tls_certificate_file", KnobKind::Choice { show: tls_parsers::show_admin_certificate_file, set: tls_parsers::set_admin_certificate_file }, "PEM file with the certificate of the HTTP API and those that sign it; empty = no TLS"),
    special("admin.tls_key_file", KnobKind::Choice { show: tls_parsers::show_admin_key_file, set: tls_parsers::set_admin_key_file }, "PEM file with the private key of admin.tls_certificate_file"),
    special("admin.tls_client_ca_file", KnobKind::Choice { show: tls_parsers::show_admin_client_ca_file, set: tls_parsers::set_admin_client_ca_file }, "PEM file with the certificates that sign those of the HTTP API's clients; empty = clients need none"),
    special("admin.tls_min_version", KnobKind::Choice { show: tls_parsers::show_admin_version, set: tls_parsers::set_admin_min_version }, "oldest version of TLS that the HTTP API's clients may speak: 1.2 or 1.3"),
    special("admin.metrics_open", KnobKind::MetricsOpen, "whether GET /metrics is answered without the admin token"),
    number!("admin.connections_max", 1, 65_536, Usize, admin.connections_max, "connections to the HTTP API; further ones wait to be accepted"),
    number!("admin.orders_max", 1, 4_096, Usize, admin.orders_max, "orders that shards have not answered; further ones are refused"),
    number!("admin.event_streams_max", 0, 1_024, Usize, admin.event_streams_max, "open event streams of the HTTP API; further ones are refused"),
    number!("admin.order_ms", 1, 10 * MINUTE_MS, U64, admin.order_ms, "how long a shard may take to answer an order"),
    number!("admin.read_ms", 100, 10 * MINUTE_MS, U64, admin.read_ms, "how long a request's head may take to arrive, and how long its body"),
    number!("admin.body_bytes_max", KIB, 64 * MIB, Usize, admin.body_bytes_max, "bytes of a request's body"),
    special("admin.allowed_hosts", KnobKind::Choice { show: peer_parsers::show_allowed_hosts, set: peer_parsers::set_allowed_hosts }, "names in Host under which the HTTP API answers requests without the token, beside addresses and names without a dot; * = all"),
    special("hook.url", KnobKind::Choice { show: hook_parsers::show_url, set: hook_parsers::set_url }, "https URL that is asked before a message is accepted, or http on this machine; empty = none"),
    special("hook.on_failure", KnobKind::Choice { show: hook_parsers::show_on_failure, set: hook_parsers::set_on_failure }, "what becomes of a message about which the hook gives no answer in time: open (accepted) or closed (refused); no default"),
    special("hook.asked", KnobKind::Choice { show: hook_parsers::show_asked, set: hook_parsers::set_asked }, "kinds of messages about which the hook is asked: stored, unstored, chunk, backend, system"),
    number!("hook.timeout_ms", 1, MINUTE_MS, U64, hook.timeout_ms, "how long the hook may take to answer, waiting for its turn included"),
    number!("hook.concurrency_max", 1, 4_096, Usize, hook.concurrency_max, "questions to the hook under way; further ones wait"),
    special("hook.secret_file", KnobKind::Choice { show: hook_parsers::show_secret_file, set: hook_parsers::set_secret_file }, "file with the secret that signs the hook's requests, whsec_ and base64"),
    special("hook.addresses", KnobKind::Choice { show: hook_parsers::show_addresses, set: hook_parsers::set_addresses }, "addresses to which the host of hook.url may resolve: public or any"),
    special("telemetry.otlp_url", KnobKind::Choice { show: telemetry_parsers::show_otlp_url, set: telemetry_parsers::set_otlp_url }, "URL of a collector that takes spans of sampled messages, OTLP over https, or over http on this machine; empty = none"),
    number!("telemetry.sample_one_in", 1, 1_000_000_000, U64, telemetry.sample_one_in, "one of so many messages is sampled, with telemetry.otlp_url"),
    number!("server.spin_us", 0, 10_000, U64, spin_us, "how long an idle shard looks for work before it sleeps"),
    number!("server.ring_entries", 64, 32_768, U32, ring_entries, "submission entries of a shard's io_uring, a power of two"),
    number!("server.receive_buffers", 16, 32_768, U16, receive_buffers, "receive buffers that a shard's sockets share, a power of two"),
    number!("server.receive_buffer_bytes", 512, 64 * KIB, U32, receive_buffer_bytes, "size of one receive buffer"),
    number!("server.receive_bytes_per_turn_max", KIB, MIB, Usize, receive_bytes_per_turn_max, "bytes of one connection that one turn processes"),
    number!("server.events_per_turn_max", 1, 1_000_000, Usize, events_per_turn_max, "completions, messages of one lane and handed-over connections that one turn processes"),
    number!("server.segment_bytes", 64 * KIB, KIB * MIB, U32, segment_bytes, "size of one log segment of a new data directory, a multiple of 4096"),
    number!("log.checkpoint_bytes", 0, 64 * KIB * MIB, U64, upkeep.checkpoint_bytes, "bytes of closed segments of a shard after which the next checkpoint is due; 0 = after each segment"),
    number!("log.retention_ms", 0, 100 * 365 * DAY_MS, U64, upkeep.retention_ms, "age above which messages are dropped, by whole segments; 0 = never"),
    number!("log.retention_bytes", 0, u64::MAX >> 1, U64, upkeep.retention_bytes, "length of a shard's log above which its oldest segments are dropped; 0 = never"),
    number!("log.reserve_bytes", 0, u64::MAX >> 1, U64, reserve_bytes, "bytes of the disk that segments leave free for a stop, in addition to twice the last checkpoints"),
    number!("log.fetch_threads", 1, 64, Usize, fetch_threads, "threads that read cold history from the disk, for all shards together"),
    number!("server.connections_max", 1, 1_000_000, Usize, connections_max, "connections per shard"),
    number!("server.connections_total_max", 0, 1_000_000_000, Usize, connections_total_max, "connections of all shards together; 0 = server.connections_max of each"),
    number!("server.connections_per_address_max", 0, 1_000_000, U32, connections_per_address_max, "connections of one client address to the server; 0 = no bound"),
    number!("server.accepts_per_second", 0, 1_000_000, U64, accepts_per_second, "connections that a shard accepts in a second; 0 = no bound"),
    number!("server.accepts_per_address_per_minute", 0, 60_000_000, U64, accepts_per_address_per_minute, "connections that a shard accepts from one client address in a minute; 0 = no bound"),
    number!("server.logins_per_second", 0, 1_000_000, U64, logins_per_second, "logins that a shard looks at in a second; 0 = no bound"),
    number!("server.logins_per_address_per_minute", 0, 60_000_000, U64, logins_per_address_per_minute, "logins that a shard looks at from one client address in a minute; 0 = no bound"),
    number!("server.outbox_bytes_total_max", 0, u64::MAX >> 1, U64, outbox_bytes_total_max, "bytes queued for sockets that do not take them, all shards together; 0 = a quarter of the memory"),
    special("server.subprotocols", KnobKind::Choice { show: knob_parsers::show_subprotocols, set: knob_parsers::set_subprotocols }, "WebSocket subprotocols, separated by commas, that are accepted if clients request them, in addition to mushan.binary.v1 and mushan.jsonrpc.v1"),
    number!("server.handshakes_per_address_max", 1, 1_000_000, Usize, handshakes_per_address_max, "unauthenticated connections per shard and client address; a further one replaces the oldest"),
    number!("server.unannounced_per_proxy_max", 1, 1_000_000, Usize, unannounced_per_proxy_max, "connections per shard and proxy that owe their PROXY header; a further one replaces the oldest"),
    special("server.trusted_proxies", KnobKind::Choice { show: peer_parsers::show_trusted_proxies, set: peer_parsers::set_trusted_proxies }, "networks of proxies, such as 127.0.0.0/8,10.1.2.3: without bounds by address, and believed about their clients"),
    special("server.forwarded_header", KnobKind::Choice { show: peer_parsers::show_forwarded_header, set: peer_parsers::set_forwarded_header }, "header in which trusted proxies name their clients: x-forwarded-for, forwarded or off"),
    special("server.proxy_protocol_from", KnobKind::Choice { show: peer_parsers::show_announcing, set: peer_parsers::set_announcing }, "networks whose connections must begin with a PROXY header, version 1 or 2; empty = none"),
    special("server.allowed_origins", KnobKind::Choice { show: peer_parsers::show_allowed_origins, set: peer_parsers::set_allowed_origins }, "origins of web pages that may connect, beside those of the server's own host, such as https://app.example.org; * = all"),
    number!("server.shard_requests_max", 1, 65_536, Usize, windows.requests_max, "unanswered requests from one shard to another"),
    number!("server.shard_deliveries_max", 1, 65_536, Usize, windows.deliveries_max, "unconfirmed deliveries from one shard to another"),
    number!("server.window_bytes_max", 64 * KIB, KIB * MIB, Usize, windows.bytes_max, "bytes of unanswered requests, and of unconfirmed deliveries, from one shard to another"),
    number!("server.send_stalled_ms", 100, 10 * MINUTE_MS, U64, send_stalled_ms, "time after which a session whose socket takes no byte is closed as too slow"),
    number!("server.tcp_user_timeout_ms", 0, 10 * MINUTE_MS, U64, tcp_user_timeout_ms, "how long TCP waits for the acknowledgement of sent bytes; 0 = the kernel's default"),
    number!("server.keepalive_ms", 1_000, DAY_MS, U64, keepalive_ms, "idle time after which TCP probes whether the peer is there"),
    number!("server.tcp_nodelay", 0, 1, U32, tcp_nodelay, "1 = send small segments at once; 0 = delay them until earlier ones are acknowledged"),
    number!("server.tcp_notsent_lowat_bytes", 0, KIB * MIB, U32, tcp_notsent_lowat_bytes, "unsent bytes in one socket's kernel buffer; 0 = the host's default"),
    number!("server.listen_backlog", 1, 65_536, U32, listen_backlog, "connections per shard that wait to be accepted; bounded by the host's somaxconn"),
    special("server.log_format", KnobKind::Choice { show: knob_parsers::show_log_format, set: knob_parsers::set_log_format }, "how lines of the log on stderr are written: text or json"),
    special("server.huge_pages", KnobKind::Choice { show: knob_parsers::show_huge_pages, set: knob_parsers::set_huge_pages }, "transparent huge pages in this process: host, never or advise"),
    number!("server.allocator_purge_ms", 0, 60 * MINUTE_MS, U64, allocator_purge_ms, "how long freed memory is kept before it is returned to the kernel"),
    number!("server.drain_ms", 0, DAY_MS, U64, drain_ms, "how long SIGTERM and SIGINT ask sessions to go, evenly spread, before the stop; 0 = all end at once with the stop"),
    number!("server.stop_deadline_ms", 0, 10 * MINUTE_MS, U64, stop_deadline_ms, "how long a graceful stop may take"),
    number!("server.token_leeway_ms", 0, 10 * MINUTE_MS, U64, token_leeway_ms, "how long after its expiry a token still opens a session"),
    number!("limits.handshake_ms", 100, 10 * MINUTE_MS, U64, limits.handshake_ms, "time from accept to the end of the WebSocket handshake"),
    number!("limits.auth_binary_ms", 100, 10 * MINUTE_MS, U64, limits.auth_binary_ms, "time from the handshake to authentication, binary protocol"),
    number!("limits.auth_json_rpc_ms", 100, 10 * MINUTE_MS, U64, limits.auth_json_rpc_ms, "time from the handshake to authentication, JSON-RPC"),
    number!("limits.idle_binary_ms", 100, DAY_MS, U64, limits.idle_binary_ms, "time without an inbound frame after which a session is closed, binary protocol"),
    number!("limits.idle_json_rpc_ms", 100, DAY_MS, U64, limits.idle_json_rpc_ms, "time without an inbound frame after which a session is closed, JSON-RPC"),
    number!("limits.token_grace_ms", 0, DAY_MS, U64, limits.token_grace_ms, "how long a session stays open after its token has expired; at least server.token_leeway_ms"),
    number!("limits.close_timeout_ms", 0, MINUTE_MS, U64, limits.close_timeout_ms, "how long the peer of a closed connection may take to read the reason"),
    number!("limits.handshake_bytes_max", 512, MIB, Usize, limits.handshake_bytes_max, "bytes of the WebSocket handshake's head"),
    number!("limits.frame_bytes_max", KIB, 64 * MIB, Usize, limits.frame_bytes_max, "bytes of one WebSocket message, all fragments together"),
    number!("limits.login_frame_bytes_max", KIB, 64 * MIB, Usize, limits.login_frame_bytes_max, "bytes of one WebSocket message before authentication"),
    number!("limits.content_bytes_max", 1, 16 * MIB, Usize, limits.content_bytes_max, "bytes of one message's content"),
    number!("limits.extra_bytes_max", 0, MIB, Usize, limits.extra_bytes_max, "bytes of extra, topic, streamNo and msgKey of one message together"),
    number!("limits.token_bytes_max", 64, 64 * KIB, Usize, limits.token_bytes_max, "bytes of one token"),
    number!("limits.bad_requests_max", 1, 1_000_000, U32, limits.bad_requests_max, "consecutive undecodable requests after which the connection is closed"),
    number!("limits.outbox_bytes_max", 4 * KIB, KIB * MIB, Usize, limits.outbox_bytes_max, "bytes queued for one session: pushes use half of it and wait beyond that, the rest is for replies"),
    number!("limits.sessions_per_user_max", 1, 1_024, Usize, limits.sessions_per_user_max, "sessions of one user; a further one replaces the oldest"),
    number!("limits.sends_per_second", 1, 1_000_000, U32, limits.sends_per_second, "messages of one user per second, sustained"),
    number!("limits.sends_burst", 1, 100_000_000, U32, limits.sends_burst, "messages of one user in a burst"),
    number!("limits.send_unit_bytes", 64, KIB * MIB, Usize, limits.send_unit_bytes, "bytes of a message that count as one more message"),
    number!("limits.send_unit_members", 1, 1_000_000_000, Usize, limits.send_unit_members, "members of a group that count as one more message"),
    number!("limits.sends_per_day", 0, u64::MAX >> 20, U64, limits.sends_per_day, "messages of one user per day; 0 = 6 hours of sends_per_second"),
    number!("limits.written_bytes_per_day", 0, u64::MAX >> 20, U64, limits.written_bytes_per_day, "bytes of one user's messages in the log per day; 0 = 4096 for each of sends_per_day"),
    number!("limits.new_conversations_per_day", 0, u64::MAX >> 20, U64, limits.new_conversations_per_day, "users to whom one user writes for the first time per day; 0 = 100 times sends_per_second"),
    number!("limits.queries_per_second", 1, 1_000_000, U32, limits.queries_per_second, "syncs, history, lists and presence queries of one user per second, sustained"),
    number!("limits.queries_burst", 1, 100_000_000, U32, limits.queries_burst, "syncs, history, lists and presence queries of one user in a burst"),
    number!("limits.sync_entries_default", 1, 100_000, U32, limits.sync_entries_default, "entries of a sync without a limit of its own"),
    number!("limits.sync_entries_max", 1, 100_000, U32, limits.sync_entries_max, "the most entries of a sync"),
    number!("limits.sync_bytes_max", KIB, 64 * MIB, Usize, limits.sync_bytes_max, "the most bytes of one page of a reply; a page has at least one entry"),
    number!("limits.fan_out_members_at_once_max", 1, 100_000, Usize, limits.fan_out_members_at_once_max, "members on one shard that receive a group's message in its first turn"),
    number!("limits.fan_out_members_per_turn_max", 64, 1_000_000, Usize, limits.fan_out_members_per_turn_max, "members on one shard that receive groups' messages in each further turn"),
    number!("limits.fan_out_messages_max", 1, 1_000_000, Usize, limits.fan_out_messages_max, "groups' messages under way to members on one shard"),
    number!("limits.fan_out_bytes_max", KIB, KIB * MIB, Usize, limits.fan_out_bytes_max, "bytes of groups' messages under way to members on one shard"),
    number!("limits.group_fan_out_messages_max", 1, 1_000_000, Usize, limits.group_fan_out_messages_max, "messages of one group under way to members on one shard"),
    number!("limits.group_fan_out_entries_max", 1, 1_000_000_000, Usize, limits.group_fan_out_entries_max, "messages of one group under way to members on one shard, times those members; one message is always accepted"),
    number!("limits.dedupe_window_ms", 0, 365 * DAY_MS, U64, limits.dedupe_window_ms, "how long a client message id is remembered"),
    number!("limits.revoke_window_ms", 0, 365 * DAY_MS, U64, limits.revoke_window_ms, "how long an author may revoke a message"),
    number!("limits.typing_members_max", 2, 100_000, Usize, limits.typing_members_max, "the most members of a group whose typing notices are delivered"),
    number!("limits.backlog_entries_max", 0, 100_000, U64, limits.backlog_entries_max, "the most unacknowledged entries that a new JSON-RPC session is pushed"),
    number!("limits.conversation_names_max", 0, 1_000_000, Usize, limits.conversation_names_max, "conversations to which one user has given names"),
    number!("limits.group_members_max", 1, 10_000_000, Usize, limits.group_members_max, "members of one group"),
    number!("limits.groups_per_user_max", 1, 1_000_000, Usize, limits.groups_per_user_max, "groups of which one user is a member"),
    number!("limits.group_requests_max", 1, 10_000, Usize, limits.group_requests_max, "unanswered requests to join one group"),
    number!("limits.profile_name_bytes_max", 0, 4 * KIB, Usize, limits.profile_name_bytes_max, "bytes of the name in a profile of a user or a group"),
    number!("limits.profile_avatar_bytes_max", 0, 16 * KIB, Usize, limits.profile_avatar_bytes_max, "bytes of the avatar in a profile"),
    number!("limits.profile_attributes_bytes_max", 0, 64 * KIB, Usize, limits.profile_attributes_bytes_max, "bytes of all keys and values in a profile's attributes"),
    number!("limits.open_streams_max", 1, 1_000_000, Usize, limits.open_streams_max, "open streams of one user"),
    number!("limits.stream_idle_ms", 1_000, DAY_MS, U64, limits.stream_idle_ms, "time without a chunk after which a stream is ended"),
    number!("limits.presence_subscriptions_max", 1, 100_000, Usize, limits.presence_subscriptions_max, "users whose presence one session may watch"),
    number!("limits.presence_subscribers_max", 1, 10_000_000, Usize, limits.presence_subscribers_max, "sessions on one shard that may watch one user's presence"),
];

impl Knob {
    pub fn named(key: &str) -> Option<&'static Self> {
        KNOBS.iter().find(|knob| knob.key == key)
    }

    /// Whether the knob's values are numbers where a source has types.
    pub fn is_number(&self) -> bool {
        matches!(self.kind, KnobKind::Number { .. } | KnobKind::Shards | KnobKind::Interval)
    }

    /// Whether the knob's values are true and false where a source has types.
    pub fn is_switch(&self) -> bool {
        matches!(self.kind, KnobKind::MetricsOpen)
    }

    /// The least and the most a number knob takes.
    pub fn range(&self) -> Option<(u64, u64)> {
        match self.kind {
            KnobKind::Number { least, most, .. } => Some((least, most)),
            KnobKind::Shards => Some((0, SHARDS_MAX)),
            KnobKind::Interval => Some((1, INTERVAL_MS_MAX)),
            KnobKind::Address
            | KnobKind::AdminAddress
            | KnobKind::MetricsOpen
            | KnobKind::Directory
            | KnobKind::Policy
            | KnobKind::Choice { .. } => None,
        }
    }

    /// Sets the knob; `Err` says what is wrong with the value.
    pub fn set_number(&self, options: &mut Options, number: u64) -> Result<(), String> {
        let (least, most) = self.range().ok_or_else(|| "takes no number".to_owned())?;
        if !(least..=most).contains(&number) {
            return Err(format!("{number} is out of range, {least} to {most}"));
        }
        let fits = match &self.kind {
            KnobKind::Number { place, .. } => place(options).write(number),
            KnobKind::Shards => {
                options.shards = u16::try_from(number).ok().filter(|&shards| shards > 0);
                true
            }
            KnobKind::Interval => {
                if let Durability::Interval { interval_ms } = &mut options.durability {
                    *interval_ms = number;
                }
                true
            }
            KnobKind::Address
            | KnobKind::AdminAddress
            | KnobKind::MetricsOpen
            | KnobKind::Directory
            | KnobKind::Policy
            | KnobKind::Choice { .. } => false,
        };
        if fits { Ok(()) } else { Err(format!("{number} does not fit")) }
    }

    /// Sets the knob; `Err` says what is wrong with the value.
    pub fn set_text(&self, options: &mut Options, text: &str) -> Result<(), String> {
        match self.kind {
            KnobKind::Address => {
                let address = knob_parsers::address_of(text, Ipv4Addr::UNSPECIFIED.into());
                options.listen =
                    address.ok_or_else(|| format!("\"{text}\": expected ADDRESS:PORT, for example 0.0.0.0:8081"))?;
            }
            KnobKind::AdminAddress if text == "off" => options.admin.listen = None,
            KnobKind::AdminAddress => {
                // It speaks plain HTTP: only an address that is named opens it to other machines.
                let address = knob_parsers::address_of(text, Ipv4Addr::LOCALHOST.into());
                let address = address
                    .ok_or_else(|| format!("\"{text}\": expected ADDRESS:PORT, for example 127.0.0.1:8080, or off"))?;
                options.admin.listen = Some(address);
            }
            KnobKind::MetricsOpen => {
                options.admin.metrics = match text {
                    "true" => MetricsAccess::Everybody,
                    "false" => MetricsAccess::Token,
                    _ => return Err(format!("\"{text}\": expected true or false")),
                }
            }
            KnobKind::Directory if text.is_empty() => return Err("is empty, and it names a directory".to_owned()),
            KnobKind::Directory => options.data_dir = PathBuf::from(text),
            KnobKind::Policy => {
                options.durability = match text {
                    "fsync" => Durability::Fsync,
                    "interval" => Durability::Interval { interval_ms: INTERVAL_MS_DEFAULT },
                    "none" => Durability::None,
                    _ => return Err(format!("\"{text}\" is not allowed; use \"fsync\", \"interval\" or \"none\"")),
                }
            }
            KnobKind::Choice { set, .. } => set(options, text)?,
            KnobKind::Number { .. } | KnobKind::Shards | KnobKind::Interval => {
                return Err(format!("\"{text}\" is not a whole number"));
            }
        }
        Ok(())
    }

    /// The value in force, as it would stand in a TOML file.
    pub fn shown(&self, options: &Options) -> String {
        match &self.kind {
            KnobKind::Number { place, .. } => place(&mut options.clone()).read().to_string(),
            KnobKind::Choice { show, .. } => format!("\"{}\"", show(options)),
            KnobKind::Address => format!("\"{}\"", options.listen),
            KnobKind::AdminAddress => match options.admin.listen {
                Some(address) => format!("\"{address}\""),
                None => "\"off\"".to_owned(),
            },
            KnobKind::MetricsOpen => (options.admin.metrics == MetricsAccess::Everybody).to_string(),
            KnobKind::Directory => format!("\"{}\"", options.data_dir.display()),
            KnobKind::Shards => options.shards.unwrap_or(0).to_string(),
            KnobKind::Policy => format!("\"{}\"", options.durability.name()),
            KnobKind::Interval => match options.durability {
                Durability::Interval { interval_ms } => interval_ms.to_string(),
                Durability::Fsync | Durability::None => INTERVAL_MS_DEFAULT.to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_inside_its_own_range() {
        let mut options = Options::default();
        for knob in KNOBS {
            if let KnobKind::Number { least, most, place } = &knob.kind {
                let default = place(&mut options).read();
                assert!((*least..=*most).contains(&default), "{} = {default}, not in {least} to {most}", knob.key);
            }
        }
    }

    #[test]
    fn keys_are_unique_and_no_two_knobs_share_a_place() {
        for (index, knob) in KNOBS.iter().enumerate() {
            assert!(KNOBS[..index].iter().all(|other| other.key != knob.key), "{} stands twice", knob.key);
            let Some((least, most)) = knob.range() else { continue };
            let mut options = Options { durability: Durability::Interval { interval_ms: 7 }, ..Options::default() };
            let before: Vec<_> = KNOBS.iter().map(|knob| knob.shown(&options)).collect();
            let other = if knob.shown(&options) == most.to_string() { least } else { most };
            knob.set_number(&mut options, other).unwrap();
            let changed: Vec<_> = KNOBS
                .iter()
                .zip(before)
                .filter(|(knob, was)| knob.shown(&options) != *was)
                .map(|(k, _)| k.key)
                .collect();
            assert_eq!(changed, [knob.key]);
        }
    }

    #[test]
    fn every_limit_of_the_model_has_a_knob() {
        let fields = format!("{:?}", crate::model::Limits::default()).matches(": ").count();
        assert_eq!(KNOBS.iter().filter(|knob| knob.key.starts_with("limits.")).count(), fields);
    }

    /// Token buckets count microseconds: more than one token in each would be no bound.
    #[test]
    fn a_rate_that_no_bucket_can_keep_is_refused() {
        for knob in KNOBS.iter().filter(|knob| knob.key.ends_with("per_second")) {
            assert!(knob.set_number(&mut Options::default(), 1_000_001).is_err(), "{}", knob.key);
        }
    }

    #[test]
    fn a_number_outside_its_range_is_refused_and_changes_nothing() {
        let mut options = Options::default();
        let knob = Knob::named("server.receive_buffers").unwrap();
        assert_eq!(knob.set_number(&mut options, 1), Err("1 is out of range, 16 to 32768".to_owned()));
        assert_eq!(knob.shown(&options), knob.shown(&Options::default()));
    }
}
