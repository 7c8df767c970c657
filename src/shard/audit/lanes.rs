//! One log's view of its deliveries from and to other shards, and of conversation seqs that are lost for good.

use crate::model::Position;
use crate::shard::table::fingerprint::Fingerprint;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// What this log says about deliveries to and from one other shard.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::shard) struct PeerDeliveries {
    /// The newest owed to it.
    pub sent: u64,
    /// The newest taken from it, and where.
    pub taken: Option<u64>,
    pub taken_at: Position,
    /// So many of its deliveries are said to be gone for good.
    pub forgone: u64,
    /// Where its newest confirmation stands.
    pub confirmed_at: Position,
}

impl PeerDeliveries {
    pub fn forgo(&mut self, through: u64, position: Position) {
        self.forgone += through.saturating_sub(self.taken.unwrap_or_default());
        (self.taken, self.taken_at) = (Some(through), position);
    }
}

/// Of each conversation, first and last places of stretches, ascending.
pub(in crate::shard) type Gaps = HashMap<Fingerprint, Vec<(u64, u64)>, FixedState>;
