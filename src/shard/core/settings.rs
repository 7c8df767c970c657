//! What a shard is told once, when it is opened.

use crate::model::{Limits, Policies, ShardId};
use crate::shard::peers::message::Windows;
use crate::shard::table::placement::Placement;
use crate::shard::work::retention::Upkeep;

/// What one shard is told at its birth.
#[derive(Clone, Copy, Debug)]
pub struct ShardSettings {
    pub me: ShardId,
    pub placement: Placement,
    pub limits: Limits,
    pub policies: Policies,
    pub windows: Windows,
    pub upkeep: Upkeep,
    /// For hash maps: user ids are chosen by strangers.
    pub seed: u64,
    /// For the names that tables and checkpoints hold in place of long keys: the data directory's own, for ever.
    pub fingerprint_seed: u64,
}
