//! The state of a shard: the part that follows from its log, and the part that lives with its sessions.

use crate::model::{MessageId, ShardId};
use crate::shard::core::settings::ShardSettings;
use crate::shard::core::waiting_orders::WaitingOrders;
use crate::shard::live::sessions::Sessions;
use crate::shard::live::streams::Streams;
use crate::shard::live::watch::Watch;
use crate::shard::peers::outbound::Outbound;
use crate::shard::peers::pending_requests::PendingRequests;
use crate::shard::query::fetch::Apart;
use crate::shard::query::list_search::ListSearch;
use crate::shard::query::recount::Recounts;
use crate::shard::rows::accounts::{Accounts, Erased};
use crate::shard::rows::cleared::ClearedTable;
use crate::shard::rows::conversation::ConversationTable;
use crate::shard::rows::dedupe::Dedupe;
use crate::shard::rows::groups::Groups;
use crate::shard::rows::inbox::InboxTable;
use crate::shard::rows::logged_presence::LoggedPresence;
use crate::shard::rows::marks::{Blocks, Consumed, Receipts, Revoked};
use crate::shard::rows::profiles::UserProfiles;
use crate::shard::rows::push_devices::PushDevices;
use crate::shard::rows::segment_times::SegmentTimes;
use crate::shard::table::cost::RowMeter;
use crate::shard::table::fingerprint::Fingerprints;
use crate::shard::table::placement::Placement;
use crate::shard::work::admissions::Admissions;
use crate::shard::work::author_lines::AuthorLines;
use crate::shard::work::directory::DirectoryQueries;
use crate::shard::work::fan_out::FanOut;
use crate::shard::work::group_loads::GroupLoads;
use crate::shard::work::hook_lines::HookLines;
use crate::shard::work::retention::SegmentDependencies;
use crate::shard::work::transients::Transients;
use crate::shard::work::typing::TypingTimes;
use crate::shard::work::unmade::UnmadeGroups;
use std::collections::VecDeque;

/// The state of a shard.
pub(in crate::shard) struct State {
    pub identity: ShardIdentity,
    pub tables: RowTables,
    pub groups: GroupTables,
    pub peers: PeerTables,
    pub live: LiveTables,
    pub reads: ReadsUnderWay,
    pub segments: SegmentTables,
    /// Counts the rows that the current input visits.
    pub rows_visited: RowMeter,
}

/// The shard's number, and the fingerprints of what it knows.
pub(in crate::shard) struct ShardIdentity {
    pub me: ShardId,
    pub placement: Placement,
    pub fingerprints: Fingerprints,
}

/// Rows of users and conversations, and marks on messages. All of it follows from the log.
pub(in crate::shard) struct RowTables {
    pub inboxes: InboxTable,
    pub conversations: ConversationTable,
    pub dedupe: Dedupe,
    pub accounts: Accounts,
    pub erased: Erased,
    pub profiles: UserProfiles,
    pub push_devices: PushDevices,
    pub blocks: Blocks,
    pub revoked: Revoked,
    pub consumed: Consumed,
    pub cleared: ClearedTable,
    pub receipts: Receipts,
    pub presence: LoggedPresence,
}

/// The groups that this shard owns, and the entries on their way to members here.
pub(in crate::shard) struct GroupTables {
    pub rosters: Groups,
    pub unmade: UnmadeGroups,
    pub fan_out: FanOut,
    pub loads: GroupLoads,
    pub transients: Transients,
    pub orders: WaitingOrders,
}

/// Requests and deliveries under way between this shard and others.
pub(in crate::shard) struct PeerTables {
    pub outbound: Outbound,
    pub requests: PendingRequests,
    pub directory: DirectoryQueries,
    pub admissions: Admissions,
}

/// Sessions, and state that lives with them. Apart from streams nothing of it is in the log.
pub(in crate::shard) struct LiveTables {
    pub sessions: Sessions,
    pub streams: Streams,
    pub watch: Watch,
    pub typing: TypingTimes,
    pub hook_lines: HookLines,
}

/// Fetches for which no session is paused, orders that wait for some, and searches in memory.
#[derive(Default)]
pub(in crate::shard) struct ReadsUnderWay {
    pub recounts: Recounts,
    /// Lists that take more than a turn; their sessions are paused.
    pub listings: VecDeque<ListSearch>,
    pub apart: Apart,
    pub author_lines: AuthorLines,
}

/// The conditions under which retention may drop a segment.
#[derive(Default)]
pub(in crate::shard) struct SegmentTables {
    pub times: SegmentTimes,
    pub dependencies: SegmentDependencies,
    /// What was revoked and consumed is not known any more of messages with smaller ids, since retention has dropped
    /// them.
    pub marks_from: MessageId,
}

impl State {
    pub fn new(settings: &ShardSettings) -> Self {
        let ShardSettings { me, placement, seed, fingerprint_seed, windows, .. } = *settings;
        Self {
            identity: ShardIdentity { me, placement, fingerprints: Fingerprints::new(fingerprint_seed) },
            tables: RowTables {
                inboxes: InboxTable::new(seed),
                conversations: ConversationTable::new(me),
                dedupe: Dedupe::new(settings.limits.dedupe_window_ms),
                accounts: Accounts::default(),
                erased: Erased::default(),
                profiles: UserProfiles::default(),
                push_devices: PushDevices::default(),
                blocks: Blocks::default(),
                revoked: Revoked::default(),
                consumed: Consumed::default(),
                cleared: ClearedTable::default(),
                receipts: Receipts::new(seed),
                presence: LoggedPresence::default(),
            },
            groups: GroupTables {
                rosters: Groups::new(seed, placement),
                unmade: UnmadeGroups::default(),
                fan_out: FanOut::new(seed),
                loads: GroupLoads::new(seed, placement.shards()),
                transients: Transients::default(),
                orders: WaitingOrders::default(),
            },
            peers: PeerTables {
                outbound: Outbound::new(me, placement.shards(), windows, seed),
                requests: PendingRequests::new(seed),
                admissions: Admissions::default(),
                directory: DirectoryQueries::default(),
            },
            live: LiveTables {
                sessions: Sessions::new(seed),
                streams: Streams::default(),
                watch: Watch::new(seed, placement.shards()),
                typing: TypingTimes::default(),
                hook_lines: HookLines::new(seed),
            },
            reads: ReadsUnderWay::default(),
            segments: SegmentTables::default(),
            rows_visited: RowMeter::default(),
        }
    }
}
