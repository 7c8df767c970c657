//! What one turn did, in numbers, for the log of slow turns.

/// Counts of one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnWork {
    /// Completions of the ring: received, sent, accepted, synced.
    pub completions: u32,
    /// Messages of other shards.
    pub shard_messages: u32,
    /// Results of jobs that ran off the core.
    pub job_results: u32,
    /// Operators' orders.
    pub orders: u32,
    /// Connections that other cores handed over.
    pub handovers: u32,
    /// What the turn made the driver do: writes, messages to other shards, ends.
    pub actions: u32,
    /// Whether the periodic tasks of each second ran.
    pub has_ticked: bool,
    /// Bytes received, as of the turn's begin.
    pub received_before: u64,
    /// Log records for which somebody waited, as of the turn's begin.
    pub records_before: u64,
}
