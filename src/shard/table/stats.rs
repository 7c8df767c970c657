//! What a shard counts about itself. One writer, plain numbers.

use crate::shard::table::cost::Cost;

/// Counters since the start, and sizes as they are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that somebody waited for.
    pub records: u64,
    /// Messages that conversations of this shard took.
    pub committed: u64,
    /// Messages of other shards' conversations taken into inboxes here.
    pub taken: u64,
    /// Sends answered from the dedupe.
    pub repeated: u64,
    pub refused: u64,
    /// Entries put into inboxes of groups' members.
    pub fanned: u64,
    /// Events handed to sessions.
    pub pushed: u64,
    /// How often a session's outbox was full, and its entries came by a cursor from there on.
    pub fell_behind: u64,
    /// Deliveries ignored because they had been taken before, or because one before them was missing.
    pub ignored: u64,
    /// Messages that this log had lost and another shard gave back.
    pub given_back: u64,
    /// Messages sent once more to shards whose logs had lost them.
    pub redelivered: u64,
    /// Messages given back that contradict what this log has: left as they are.
    pub contradictions: u64,
    /// Deliveries of other shards that are gone for good.
    pub forgone: u64,
    /// Places of conversations of this shard whose messages are gone for good.
    pub missing_places: u64,
    /// Records that were whole when the log was opened and could not be read back since.
    pub unreadable: u64,
    /// Requests that waited for the disk.
    pub fetched: u64,
    /// Segments dropped by retention.
    pub dropped_segments: u64,
    /// Jumps of the wall clock, and how far the newest was; back is below zero.
    pub clock_jumps: u64,
    pub clock_jumped_ms: i64,
    pub sessions: u64,
    pub users: u64,
    pub conversations: u64,
    /// Groups that this shard orders.
    pub groups: u64,
    /// Group entries that not all members have yet.
    pub fanning_out: u64,
    pub dedupe_rows: u64,
    pub pending: u64,
    /// The most that one input has cost, part by part.
    pub dearest: Cost,
}
