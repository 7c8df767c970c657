//! The one table of settings: every value of the configuration, with its range and its meaning in one line.
//!
//! A default is the value in `Options::default`, so it is written once. The unit is the end of the key.

use crate::server::config::knob_parsers;
use crate::server::config::options::{Durability, MetricsAccess, Options};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Where a number lives in the options. Reading, writing and the default all go through it.
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

    /// `false`, and nothing written, when the number does not fit.
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

/// What a knob takes.
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
    /// 0 stands for "as the data directory has it".
    Shards,
    Policy,
    /// Of the policy `interval`; without effect under the others.
    Interval,
    /// A text that `choices` knows.
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
    special("data_dir", KnobKind::Directory, "where logs and the token secret live"),
    special("shards", KnobKind::Shards, "shards of a new data directory; 0 = one per core, or as the directory has it"),
    special("server.cores", KnobKind::Choice { show: knob_parsers::show_cores, set: knob_parsers::set_cores }, "cores for shards, such as 2-5,8; empty = all but those left free"),
    number!("server.cores_left_free", 0, 1_024, Usize, cores_left_free, "lowest cores that shards leave alone where server.cores names none; one is always used"),
    special("directory", KnobKind::Choice { show: knob_parsers::show_directory, set: knob_parsers::set_directory }, "who can be written to: open = any well-formed id, closed = users known to the server"),
    special("sessions.same_platform", KnobKind::Choice { show: knob_parsers::show_same_platform, set: knob_parsers::set_same_platform }, "whether a binary session ends an older one of its platform: allow or kick"),
    special("auth.jwks_file", KnobKind::Choice { show: knob_parsers::show_jwks_file, set: knob_parsers::set_jwks_file }, "JSON file with the public keys of who else signs tokens (a JWK Set); empty = nobody"),
    special("auth.algorithms", KnobKind::Choice { show: knob_parsers::show_algorithms, set: knob_parsers::set_algorithms }, "what tokens may be signed with: HS256 goes with the token secret, RS256, ES256 and EdDSA with auth.jwks_file"),
    special("auth.exp", KnobKind::Choice { show: knob_parsers::show_expiry, set: knob_parsers::set_expiry }, "whether a token has to say when it expires: required or optional"),
    special("durability.policy", KnobKind::Policy, "when a message counts as stored: fsync, interval or none"),
    special("durability.interval_ms", KnobKind::Interval, "how often the log is synced under the policy interval"),
    number!("durability.commit_delay_ms", 0, 1_000, U64, commit_delay_ms, "how long the first of a batch waits for more before a sync under the policy fsync"),
    special("admin.listen", KnobKind::AdminAddress, "address and port of the operator's HTTP API, or off"),
    special("admin.metrics_open", KnobKind::MetricsOpen, "whether GET /metrics is answered without the admin token"),
    number!("admin.connections_max", 1, 65_536, Usize, admin.connections_max, "connections to the HTTP API; more wait to be accepted"),
    number!("admin.orders_max", 1, 4_096, Usize, admin.orders_max, "orders that shards have not answered; more are refused"),
    number!("admin.order_ms", 1, 10 * MINUTE_MS, U64, admin.order_ms, "how long a shard may take to answer an order"),
    number!("admin.read_ms", 100, 10 * MINUTE_MS, U64, admin.read_ms, "how long a request's head, and its body, may take to arrive"),
    number!("admin.body_bytes_max", KIB, 64 * MIB, Usize, admin.body_bytes_max, "body of one request"),
    number!("server.spin_us", 0, 10_000, U64, spin_us, "how long an idle shard looks for work before it sleeps"),
    number!("server.ring_entries", 64, 32_768, U32, ring_entries, "submission entries of a shard's io_uring, a power of two"),
    number!("server.receive_buffers", 16, 32_768, U16, receive_buffers, "buffers that a shard's sockets share for receiving, a power of two"),
    number!("server.receive_buffer_bytes", 512, 64 * KIB, U32, receive_buffer_bytes, "size of one receive buffer"),
    number!("server.receive_bytes_per_turn_max", KIB, MIB, Usize, receive_bytes_per_turn_max, "what one connection may bring into one turn"),
    number!("server.gather_max", 1, 1_000_000, Usize, gather_max, "completions, parcels of one lane and travellers that one turn takes in"),
    number!("server.segment_bytes", 64 * KIB, KIB * MIB, U32, segment_bytes, "size of one log segment of a new data directory, a multiple of 4096"),
    number!("log.checkpoint_bytes", 0, 64 * KIB * MIB, U64, upkeep.checkpoint_bytes, "closed segments of a shard behind which the next checkpoint is due; 0 = each"),
    number!("log.retention_ms", 0, 100 * 365 * DAY_MS, U64, upkeep.retention_ms, "segments whose messages are all older are dropped; 0 = never"),
    number!("log.retention_bytes", 0, u64::MAX >> 1, U64, upkeep.retention_bytes, "length of a shard's log above which its oldest segments are dropped; 0 = never"),
    number!("log.reserve_bytes", 0, u64::MAX >> 1, U64, reserve_bytes, "what segments leave free of the disk for the end, beside twice the last checkpoints"),
    number!("log.fetch_threads", 1, 64, Usize, fetch_threads, "threads that read cold history from the disk, for all shards"),
    number!("server.connections_max", 1, 1_000_000, Usize, connections_max, "connections per shard"),
    special("server.subprotocols", KnobKind::Choice { show: knob_parsers::show_subprotocols, set: knob_parsers::set_subprotocols }, "WebSocket subprotocols, separated by commas, that are chosen when clients ask for them, beside mushan.binary.v1 and mushan.jsonrpc.v1"),
    number!("server.handshakes_per_address_max", 1, 1_000_000, Usize, handshakes_per_address_max, "unauthenticated connections per shard and client address; with more, the oldest goes"),
    special("server.trusted_proxies", KnobKind::Choice { show: knob_parsers::show_trusted_proxies, set: knob_parsers::set_trusted_proxies }, "networks without that bound, such as those of proxies, as in 127.0.0.0/8,10.1.2.3"),
    number!("server.posts_max", 1, 65_536, Usize, windows.requests_max, "unanswered posts from one shard to another"),
    number!("server.deliveries_max", 1, 65_536, Usize, windows.deliveries_max, "unconfirmed deliveries from one shard to another"),
    number!("server.window_bytes_max", 64 * KIB, KIB * MIB, Usize, windows.bytes_max, "bytes of unanswered posts, and of unconfirmed deliveries, from one shard to another"),
    number!("server.send_stalled_ms", 100, 10 * MINUTE_MS, U64, send_stalled_ms, "a session whose socket takes no byte for so long is closed as too slow"),
    number!("server.tcp_user_timeout_ms", 0, 10 * MINUTE_MS, U64, tcp_user_timeout_ms, "TCP's patience with unacknowledged bytes; 0 = the kernel's"),
    number!("server.keepalive_ms", 1_000, DAY_MS, U64, keepalive_ms, "silence after which TCP asks whether the peer is there"),
    number!("server.tcp_nodelay", 0, 1, U32, tcp_nodelay, "0 = small segments wait for the acknowledgement of earlier ones"),
    number!("server.tcp_notsent_lowat_bytes", 0, KIB * MIB, U32, tcp_notsent_lowat_bytes, "unsent bytes that one socket's kernel buffer holds; 0 = as the host has it"),
    number!("server.listen_backlog", 1, 65_536, U32, listen_backlog, "connections per shard that wait to be accepted; the host's somaxconn bounds it"),
    special("server.huge_pages", KnobKind::Choice { show: knob_parsers::show_huge_pages, set: knob_parsers::set_huge_pages }, "host, never or advise: transparent huge pages of this process"),
    number!("server.allocator_purge_ms", 0, 60 * MINUTE_MS, U64, allocator_purge_ms, "how long freed memory is kept before the kernel gets it back"),
    number!("server.stop_deadline_ms", 0, 10 * MINUTE_MS, U64, stop_deadline_ms, "how long a graceful stop may take"),
    number!("server.token_leeway_ms", 0, 10 * MINUTE_MS, U64, token_leeway_ms, "how long past its expiry a token still opens a session"),
    number!("limits.handshake_ms", 100, 10 * MINUTE_MS, U64, limits.handshake_ms, "from accept to the end of the WebSocket handshake"),
    number!("limits.auth_binary_ms", 100, 10 * MINUTE_MS, U64, limits.auth_binary_ms, "from the handshake to authentication, binary protocol"),
    number!("limits.auth_json_rpc_ms", 100, 10 * MINUTE_MS, U64, limits.auth_json_rpc_ms, "from the handshake to authentication, JSON-RPC"),
    number!("limits.idle_binary_ms", 100, DAY_MS, U64, limits.idle_binary_ms, "without any inbound frame, binary protocol"),
    number!("limits.idle_json_rpc_ms", 100, DAY_MS, U64, limits.idle_json_rpc_ms, "without any inbound frame, JSON-RPC"),
    number!("limits.token_grace_ms", 0, DAY_MS, U64, limits.token_grace_ms, "how long a live session outlives its token; never less than server.token_leeway_ms"),
    number!("limits.linger_ms", 0, MINUTE_MS, U64, limits.linger_ms, "how long a closed connection may take to read its goodbye"),
    number!("limits.handshake_bytes_max", 512, MIB, Usize, limits.handshake_bytes_max, "head of the WebSocket handshake"),
    number!("limits.frame_bytes_max", KIB, 64 * MIB, Usize, limits.frame_bytes_max, "one WebSocket message, all its fragments together"),
    number!("limits.login_frame_bytes_max", KIB, 64 * MIB, Usize, limits.login_frame_bytes_max, "the same before authentication"),
    number!("limits.content_bytes_max", 1, 16 * MIB, Usize, limits.content_bytes_max, "content of one message"),
    number!("limits.extra_bytes_max", 0, MIB, Usize, limits.extra_bytes_max, "extra, topic, streamNo and msgKey of one message together"),
    number!("limits.token_bytes_max", 64, 64 * KIB, Usize, limits.token_bytes_max, "one token"),
    number!("limits.bad_requests_max", 1, 1_000_000, U32, limits.bad_requests_max, "undecodable requests in a row before the connection is closed"),
    number!("limits.outbox_bytes_max", 4 * KIB, KIB * MIB, Usize, limits.outbox_bytes_max, "bytes queued for one session: half for pushes, which wait beyond that, half for answers"),
    number!("limits.sessions_per_user_max", 1, 1_024, Usize, limits.sessions_per_user_max, "sessions of one user; one more replaces the oldest"),
    number!("limits.sends_per_second", 1, 100_000_000, U32, limits.sends_per_second, "messages per user, sustained"),
    number!("limits.sends_burst", 1, 100_000_000, U32, limits.sends_burst, "messages per user at once"),
    number!("limits.send_unit_bytes", 64, KIB * MIB, Usize, limits.send_unit_bytes, "bytes of a message that count as one message more"),
    number!("limits.send_unit_members", 1, 1_000_000_000, Usize, limits.send_unit_members, "members of a group that count as one message more"),
    number!("limits.sends_per_day", 0, u64::MAX >> 20, U64, limits.sends_per_day, "messages of one user in a day; 0 = 6 hours of sends_per_second"),
    number!("limits.written_bytes_per_day", 0, u64::MAX >> 20, U64, limits.written_bytes_per_day, "bytes that one user's messages take in the log in a day; 0 = 4096 for each of sends_per_day"),
    number!("limits.new_conversations_per_day", 0, u64::MAX >> 20, U64, limits.new_conversations_per_day, "users that one user writes to for the first time in a day; 0 = 100 times sends_per_second"),
    number!("limits.queries_per_second", 1, 100_000_000, U32, limits.queries_per_second, "syncs, history, lists and presence per user, sustained"),
    number!("limits.queries_burst", 1, 100_000_000, U32, limits.queries_burst, "syncs, history, lists and presence per user at once"),
    number!("limits.sync_entries_default", 1, 100_000, U32, limits.sync_entries_default, "entries of a sync that names no limit"),
    number!("limits.sync_entries_max", 1, 100_000, U32, limits.sync_entries_max, "entries of a sync at the most"),
    number!("limits.sync_bytes_max", KIB, 64 * MIB, Usize, limits.sync_bytes_max, "one page of an answer as it is written at the most; one entry is always given"),
    number!("limits.fanned_at_once_max", 1, 100_000, Usize, limits.fanned_at_once_max, "members of one shard that get a group's message at once"),
    number!("limits.fanned_a_turn_max", 64, 1_000_000, Usize, limits.fanned_a_turn_max, "members that get a group's message in each further turn"),
    number!("limits.fanned_messages_max", 1, 1_000_000, Usize, limits.fanned_messages_max, "groups' messages on their way to members of a shard"),
    number!("limits.fanned_bytes_max", KIB, KIB * MIB, Usize, limits.fanned_bytes_max, "their bytes"),
    number!("limits.group_messages_max", 1, 1_000_000, Usize, limits.group_messages_max, "messages of one group on their way to members of a shard"),
    number!("limits.group_links_max", 1, 1_000_000_000, Usize, limits.group_links_max, "the same, times the members that they go to; one is always taken"),
    number!("limits.dedupe_window_ms", 0, 365 * DAY_MS, U64, limits.dedupe_window_ms, "how long a client message id is remembered"),
    number!("limits.revoke_window_ms", 0, 365 * DAY_MS, U64, limits.revoke_window_ms, "how long an author may revoke a message"),
    number!("limits.typing_members_max", 2, 100_000, Usize, limits.typing_members_max, "members of a group that are told who types"),
    number!("limits.backlog_max", 0, 100_000, U64, limits.backlog_max, "unacknowledged entries that a new JSON-RPC session is pushed"),
    number!("limits.conversation_names_max", 0, 1_000_000, Usize, limits.conversation_names_max, "conversations that one user calls by names of its own"),
    number!("limits.open_streams_max", 1, 1_000_000, Usize, limits.open_streams_max, "streams of one user that have not ended"),
    number!("limits.stream_idle_ms", 1_000, DAY_MS, U64, limits.stream_idle_ms, "without a chunk, after which a stream is ended"),
    number!("limits.subscriptions_max", 1, 100_000, Usize, limits.subscriptions_max, "users whose presence one session is told of"),
    number!("limits.subscribers_max", 1, 10_000_000, Usize, limits.subscribers_max, "sessions of one shard that are told of one user's presence"),
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

    #[test]
    fn a_number_outside_its_range_is_refused_and_changes_nothing() {
        let mut options = Options::default();
        let knob = Knob::named("server.receive_buffers").unwrap();
        assert_eq!(knob.set_number(&mut options, 1), Err("1 is out of range, 16 to 32768".to_owned()));
        assert_eq!(knob.shown(&options), knob.shown(&Options::default()));
    }
}
