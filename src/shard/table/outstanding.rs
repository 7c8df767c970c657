//! The work that keeps a shard from stopping cleanly.

/// Counts of the unfinished work of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Requests that other shards have not answered.
    pub requests: usize,
    /// Deliveries that other shards have not confirmed.
    pub deliveries: usize,
    /// Of these, deliveries to shards that have no room for them.
    pub to_full_shards: usize,
    /// Effects that wait for a sync.
    pub unsynced: usize,
    /// Authors with a message about which the operator's hook is asked.
    pub hooked: usize,
}

impl std::fmt::Display for Unfinished {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { requests, deliveries, to_full_shards, unsynced, hooked } = self;
        write!(
            out,
            "{unsynced} answers wait for a sync, {requests} requests for another shard's answer, {deliveries} deliveries for a \
             confirmation, {to_full_shards} of them by shards whose storage is full, {hooked} authors for the hook"
        )
    }
}
