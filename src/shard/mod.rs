//! F2, the shard: one core's share of users and conversations, pure and deterministic.
//!
//! `Shard::handle` is the only entrance and its effects are the only exit; time, chance, disk and network are
//! arguments. Invariants: an effect that depends on a record leaves only after `Synced` (or `Waived`) covers that
//! record, in order; every queue is bounded by a window or a limit; no input of a client, a peer shard or a disk causes
//! an assertion to fail.

#![warn(missing_docs)]

mod audit;
mod core;
mod group;
mod heal;
mod live;
mod peers;
mod query;
mod read;
mod replay;
mod rewrite;
mod rows;
mod session;
mod table;
#[cfg(test)]
mod testing;
mod work;
mod write;

mod background;
mod dispatch;
mod inspect;

pub use self::core::effect::{Effect, ExternalEffect};
pub use self::core::input::Input;
pub use self::core::settings::ShardSettings;
pub use self::core::shard::Shard;
pub use audit::examined::Examined;
pub use audit::findings::{AuditTally, Findings, Promise, Violation};
pub use audit::{audit, conversations as audited_conversations};
pub use live::sessions::CatchUp;
pub use peers::message::{
    AckedKind, Asker, ConversationRequest, GivenBack, JobLoad, PresenceQuestion, RequestKind, ShardMessage, UserStatus,
    VisiblePresence, Windows,
};
pub use peers::ticket::Ticket;
pub use query::fetch::{Fetch, FetchKind, Fetched, Step as FetchStep};
pub use replay::checkpoint::{Made, OpenedShard, survey};
pub use rewrite::digest::Digest;
pub use rewrite::recover::{Recovery, Restored};
pub use rewrite::source_log::{DamagePolicy, Lost, RewriteError, ScanCounts, SourceShard, expect_checkpointed};
pub use rewrite::{OldDirectory, Rewritten, rewrite};
pub use table::cost::Cost;
pub use table::outstanding::Unfinished;
pub use table::placement::{Placement, SLOTS};
pub use table::stats::Stats;
pub use work::hook_lines::{HookQuestion, HookTicket};
pub use work::retention::Upkeep;

use self::core::state::State;

#[cfg(test)]
mod clock_tests;
