//! What a shard knows: what its log tells it about itself, and what its sessions add while it runs.

use crate::model::ShardId;
use crate::shard::core::settings::ShardSettings;
use crate::shard::live::sessions::Sessions;
use crate::shard::live::streams::Streams;
use crate::shard::live::watch::Watch;
use crate::shard::peers::outbound::Outbound;
use crate::shard::peers::pending_requests::PendingRequests;
use crate::shard::query::fetch::Apart;
use crate::shard::query::recount::Recounts;
use crate::shard::rows::accounts::Accounts;
use crate::shard::rows::conversation::ConversationTable;
use crate::shard::rows::dedupe::Dedupe;
use crate::shard::rows::groups::Groups;
use crate::shard::rows::inbox::InboxTable;
use crate::shard::rows::marks::{Blocks, Consumed, Receipts, Revoked};
use crate::shard::rows::segment_times::SegmentTimes;
use crate::shard::rows::unmade::UnmadeGroups;
use crate::shard::table::cost::RowMeter;
use crate::shard::table::fingerprint::Fingerprints;
use crate::shard::table::placement::Placement;
use crate::shard::work::directory::DirectoryQueries;
use crate::shard::work::fan_out::FanOut;
use crate::shard::work::group_loads::GroupLoads;
use crate::shard::work::retention::SegmentDependencies;
use crate::shard::work::transients::Transients;
use crate::shard::work::typing::TypingTimes;

/// What the log tells a shard about itself, and what its sessions add while it runs.
pub(in crate::shard) struct State {
    pub fingerprints: Fingerprints,
    pub sessions: Sessions,
    pub inboxes: InboxTable,
    pub conversations: ConversationTable,
    pub dedupe: Dedupe,
    pub in_flight: PendingRequests,
    pub relay: Outbound,
    pub ages: SegmentTimes,
    pub outlasted: SegmentDependencies,
    pub fan_out: FanOut,
    pub groups: Groups,
    pub loads: GroupLoads,
    pub accounts: Accounts,
    pub unmade_groups: UnmadeGroups,
    pub blocks: Blocks,
    pub revoked: Revoked,
    pub consumed: Consumed,
    pub receipts: Receipts,
    pub recounts: Recounts,
    pub apart: Apart,
    pub typing: TypingTimes,
    pub transients: Transients,
    pub streams: Streams,
    pub vouching: DirectoryQueries,
    pub watch: Watch,
    /// Rows that the input being handled has visited.
    pub rows_visited: RowMeter,
    pub me: ShardId,
    pub placement: Placement,
}

impl State {
    pub fn new(settings: &ShardSettings) -> Self {
        let ShardSettings { me, seed, fingerprint_seed, windows, .. } = *settings;
        Self {
            fingerprints: Fingerprints::new(fingerprint_seed),
            sessions: Sessions::new(seed),
            inboxes: InboxTable::new(seed),
            conversations: ConversationTable::new(me),
            dedupe: Dedupe::new(settings.limits.dedupe_window_ms),
            in_flight: PendingRequests::new(seed),
            relay: Outbound::new(me, settings.placement.shards(), windows, seed),
            ages: SegmentTimes::default(),
            outlasted: SegmentDependencies::default(),
            fan_out: FanOut::new(seed),
            groups: Groups::new(seed, settings.placement),
            loads: GroupLoads::new(seed, settings.placement.shards()),
            accounts: Accounts::default(),
            unmade_groups: UnmadeGroups::default(),
            blocks: Blocks::default(),
            revoked: Revoked::default(),
            consumed: Consumed::default(),
            receipts: Receipts::new(seed),
            recounts: Recounts::default(),
            apart: Apart::default(),
            typing: TypingTimes::default(),
            transients: Transients::default(),
            streams: Streams::default(),
            vouching: DirectoryQueries::default(),
            watch: Watch::new(seed, settings.placement.shards()),
            rows_visited: RowMeter::default(),
            me,
            placement: settings.placement,
        }
    }
}
