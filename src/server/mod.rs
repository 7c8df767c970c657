//! F3, the edge: sockets, disks, clocks and cores. Everything that is not pure; it drives `turn`, which is.

// clippy.toml bans clocks, files and sockets for the floors below; this floor is allowed to use them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod acme;
mod auth;
mod backup;
pub mod base;
pub mod config;
mod data;
mod disk;
pub mod event;
pub mod follow;
mod hook;
mod host;
mod offline;
mod outbound;
mod peer;
mod reactor;
mod ring;
mod start;
mod state;
mod tls;
pub mod turn;

pub use acme::renewal::AcmeMeters;
pub use acme::store::{StoredCertificate, certificate_file as acme_certificate_file, stored_certificate};
pub use auth::keyring::{KeySource, Keyring, PublicKeys};
pub use auth::secret::{Secret, hex, random as random_bytes};
pub use backup::last_backup;
pub use backup::restore::{Restore, RestoreReport};
pub use backup::watch::Watched;
pub use backup::{Backup, BackupReport, ShardReport};
pub use base::clock::wall_now;
pub use base::error::{ConfigurationError, DiskError, HostError, RunError, StartError, sentence};
pub use base::files::{is_open_to_others, write_atomically};
pub use base::helper_thread::spawn as spawn_helper;
pub use base::networks::Networks;
pub use config::acme::{AcmeChallenge, AcmeOptions};
pub use config::in_force::{SettingInForce, settings_in_force};
pub use config::knob_parsers::{cores_of, list_of};
pub use config::options::{AdminOptions, AuthOptions, DemoAccess, Durability, HugePages, MetricsAccess, Options};
pub use config::telemetry::TelemetryOptions;
pub use config::tls::{TlsOptions, TlsVersion};
pub use config::webhooks::{WebhookBegin, WebhookNumbers, WebhookOptions};
pub use data::directory::{AUDIT_DIRECTORY, Archive, WEBHOOKS_DIRECTORY, make_directory, segments_in, shard_path};
pub use data::manifest::Manifest;
pub use data::runs::{Misfit, Runs};
pub use data::succession::Succession;
pub use disk::ArchivedLog;
pub use disk::space::DiskRoom;
pub use hook::meters::{HookFault, HookMeters, HookNumbers, LATENCY_BOUNDS_MS};
pub use host::clock::is_synchronised as clock_is_synchronised;
pub use host::cores::choose as choose_cores;
pub use host::{locked_bytes_of_shard, maps_of_logs, room_of_this_host};
pub use offline::Offline;
pub use offline::audit::{Audit, Audited};
pub use offline::rebuild::{Rebuild, RebuildStep, Rebuilt};
pub use outbound::addresses::AddressPolicy;
pub use outbound::client::{OutboundAnswer, OutboundClient, OutboundError};
pub use outbound::endpoint::Endpoint;
pub use outbound::pool::{OfferedHttp, OutboundPool};
pub use outbound::retry_after::retry_after;
pub use outbound::signature::SigningSecret;
pub use start::demo::{DEMO_GROUP, DEMO_PATH, DEMO_PEOPLE};
pub use start::stopper::{DrainStarted, Stopper};
pub use start::take_over::Predecessor;
pub use start::{Operator, Server, serve, serve_with_operator};
pub use state::control::{Answers, Control, ControlLanes, KeepServing, ServerPhase, ShardEnded};
#[cfg(test)]
pub use state::control::{ControlEndpoint, ControlTestBench};
pub use state::counters::{Counters, Summary};
pub use state::histograms::ShardHistograms;
pub use state::listener::refused as refused_to_listen;
pub use state::mesh;
pub use state::mesh::LaneLoad;
pub use state::outboxes::SlowSession;
pub use state::pulse::ShardPulse;
#[cfg(test)]
pub use state::shared::Shared;
pub use state::snapshot::{LogRecovery, LogShape, Snapshot};
pub use state::tracing_list::Trace;
pub use tls::identity::{TlsFileError, TlsIdentity};
pub use tls::watch::{Identities, Reload, read_again as read_certificate_again};
pub use turn::{TraceLine, TraceStep, TracedUser};

use ring::Ring;
