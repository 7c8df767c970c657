//! The settings of a shard, fixed when it is opened.

use crate::model::{Limits, Policies, ShardId};
use crate::shard::peers::message::Windows;
use crate::shard::table::placement::Placement;
use crate::shard::work::retention::Upkeep;

/// The settings of one shard.
#[derive(Clone, Copy, Debug)]
pub struct ShardSettings {
    /// The number of the shard.
    pub me: ShardId,
    /// The division of users among the shards.
    pub placement: Placement,
    /// Limits of sessions and users.
    pub limits: Limits,
    /// Choices of the operator.
    pub policies: Policies,
    /// Bounds between shards.
    pub windows: Windows,
    /// When checkpoints are made and what retention drops.
    pub upkeep: Upkeep,
    /// Seeds the hash tables: clients choose user ids, and must not choose collisions.
    pub seed: u64,
    /// Seeds the fingerprints in tables and checkpoints. Constant for a data directory.
    pub fingerprint_seed: u64,
}
