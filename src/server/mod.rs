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
mod backup;
mod backup_cut;
mod backup_list;
mod backup_restore;
mod backup_source;
mod backup_target;
mod backup_watch;
mod birth;
mod buffers;
mod checkpointer;
mod checkpoints;
mod clock;
mod commit;
mod cores;
mod counters;
mod data_dir;
mod disk;
mod errands;
mod error;
mod fetcher;
mod files;
mod half_open;
mod host;
mod listener;
mod manifest;
pub mod mesh;
mod offline;
mod operation;
mod options;
mod preparer;
mod reactor;
mod rebuild;
mod receive;
mod ring;
mod secret;
mod segment;
mod shared;
mod socket;
mod start;
mod stop;
mod tend;
pub mod waker;

pub use backup::{Backup, BackupReport, ShardReport};
pub use backup_restore::{Restore, RestoreReport};
pub use backup_watch::Watched;
pub use counters::{Counters, Summary};
pub use data_dir::Archive;
pub use disk::ArchivedLog;
pub use error::{RunError, StartError};
pub use manifest::Manifest;
pub use offline::Offline;
pub use options::{Durability, Options};
pub use rebuild::{Rebuild, Rebuilt};
pub use secret::Secret;
pub use start::{Server, Stopper, serve};

use ring::Ring;

#[cfg(test)]
mod poison_tests;
