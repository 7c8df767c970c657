//! One log's view of its deliveries from and to other shards, and of conversation seqs that are lost for good.

use crate::model::Position;
use crate::shard::table::fingerprint::Fingerprint;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// The deliveries to and from one other shard, according to this log.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::shard) struct PeerDeliveries {
    /// The number of the newest delivery to it.
    pub sent: u64,
    /// The number of the newest delivery received from it, and its record.
    pub taken: Option<u64>,
    pub taken_at: Position,
    /// The number of its deliveries that are recorded as lost for good.
    pub forgone: u64,
    /// The record of its newest confirmation.
    pub confirmed_at: Position,
}

impl PeerDeliveries {
    pub fn forgo(&mut self, through: u64, position: Position) {
        self.forgone += through.saturating_sub(self.taken.unwrap_or_default());
        (self.taken, self.taken_at) = (Some(through), position);
    }
}

/// Ranges of places of each conversation (first and last), ascending.
pub(in crate::shard) type Gaps = HashMap<Fingerprint, Vec<(u64, u64)>, FixedState>;
