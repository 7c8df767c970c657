//! F3, the edge: sockets, disks, clocks and cores. It drives `turn`, which is pure, and owns all that is not.

// The bans of clippy.toml keep the floors below this one; here is where the world is allowed in.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod carry;
mod deadlines;
mod link;
pub mod turn;

pub mod config;
mod knobs;

mod accept;
mod admission;
mod audit;
mod backup;
mod backup_cut;
mod backup_list;
mod backup_restore;
mod backup_source;
mod backup_target;
mod backup_watch;
mod birth;
mod block_cache;
mod buffers;
mod checkpointer;
mod checkpoints;
mod choices;
mod clock;
mod commit;
mod complaints;
pub mod console;
mod control;
mod cores;
mod counters;
mod data_dir;
mod descriptors;
mod disk;
mod draft;
mod epoch;
mod errands;
mod error;
mod fair_queue;
mod fetcher;
mod files;
mod frozen_log;
mod half_open;
mod host;
mod judging;
mod keyring;
mod listener;
mod manifest;
mod memory;
pub mod mesh;
mod networks;
mod offline;
mod operation;
mod options;
mod ownership;
mod pace;
mod preparer;
mod reactor;
mod rebuild;
mod receive;
mod remains;
mod ring;
mod secret;
mod segment;
mod shared;
mod snapshot;
mod socket;
mod space;
mod start;
mod stop;
mod swap;
mod tend;
pub mod waker;
mod windows;
mod withheld;

pub use audit::{Audit, Audited};
pub use backup::{Backup, BackupReport, ShardReport};
pub use backup_restore::{Restore, RestoreReport};
pub use backup_watch::Watched;
pub use choices::{cores_of, list_of};
pub use control::{Answers, Attendance, Control, Lanes, Phase, ShardEnded};
#[cfg(test)]
pub use control::{Desk, Rig};
pub use cores::choose as choose_cores;
pub use counters::{Counters, Summary};
pub use data_dir::{Archive, segments_in};
pub use disk::ArchivedLog;
pub use errands::spawn as spawn_helper;
pub use error::{RunError, StartError};
pub use files::write_atomically;
pub use host::{locked_bytes_of_shard, maps_of_logs};
pub use keyring::{KeySource, Keyring, PublicKeys};
pub use listener::refused as refused_to_listen;
pub use manifest::Manifest;
pub use mesh::LaneLoad;
pub use networks::Networks;
pub use offline::Offline;
pub use options::{AdminOptions, AuthOptions, Durability, HugePages, MetricsAccess, Options};
pub use rebuild::{Rebuild, Rebuilt, Step};
pub use secret::{Secret, hex};
#[cfg(test)]
pub use shared::Shared;
pub use snapshot::{LogShape, Snapshot};
pub use start::{Operator, Server, Stopper, serve, serve_attended};

use ring::Ring;

#[cfg(test)]
mod poison_tests;
