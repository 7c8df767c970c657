//! A shard's counters. One writer, plain integers.

use crate::shard::table::cost::Cost;

/// Counters since the start, and sizes as they are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records for which somebody waited.
    pub records: u64,
    /// Messages that conversations of this shard accepted.
    pub committed: u64,
    /// Messages of other shards' conversations that were put into inboxes here.
    pub taken: u64,
    /// Sends that the dedupe answered.
    pub repeated: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Entries that were put into inboxes of groups' members.
    pub fanned: u64,
    /// Events that were passed to sessions.
    pub pushed: u64,
    /// How often a session's outbox was full, after which a cursor reads its entries.
    pub fell_behind: u64,
    /// Deliveries that were ignored: repeated, or out of order.
    pub ignored: u64,
    /// Messages that this log had lost and another shard returned.
    pub given_back: u64,
    /// Messages that were sent again to shards whose logs had lost them.
    pub redelivered: u64,
    /// Returned messages that contradict this log, which was left unchanged.
    pub contradictions: u64,
    /// Deliveries of other shards that are lost for good.
    pub forgone: u64,
    /// Conversation seqs of this shard whose messages are lost for good.
    pub missing_places: u64,
    /// Records that were sound at the opening and could not be read later.
    pub unreadable: u64,
    /// Requests that waited for a disk.
    pub fetched: u64,
    /// Segments that retention dropped.
    pub dropped_segments: u64,
    /// Jumps of the wall clock.
    pub clock_jumps: u64,
    /// The newest jump in milliseconds; negative: back.
    pub clock_jumped_ms: i64,
    /// Open sessions.
    pub sessions: u64,
    /// Users with a row.
    pub users: u64,
    /// Conversations with a row.
    pub conversations: u64,
    /// Groups that this shard owns.
    pub groups: u64,
    /// Group messages that not all members have yet.
    pub fanning_out: u64,
    /// Client ids in the dedupe window.
    pub dedupe_rows: u64,
    /// Sends that wait because the hook is asked about an earlier one of their author.
    pub hook_waiting: u64,
    /// Effects that wait for the log.
    pub pending: u64,
    /// The maximum of each part of an input's cost.
    pub highest_cost: Cost,
}
