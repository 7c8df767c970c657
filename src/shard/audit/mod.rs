//! Proves the promises of a server from the logs of a data directory, and names the place of each violation.
//!
//! Pure: logs are read, nothing is changed, and no shard runs. `Examined::read` reads one log and follows every link;
//! `audit` recounts unread messages and compares the shards with each other. Invariant: memory grows with users,
//! conversations and the client ids of one window, never with messages.

pub(super) mod across;
pub(super) mod examined;
pub(super) mod findings;
pub(super) mod groups;
pub(super) mod lanes;
pub(super) mod log;
pub(super) mod unread;

use crate::log::Segments;
use crate::shard::audit::examined::Examined;
use crate::shard::audit::findings::Findings;

/// Recounts unread messages, and compares the shards with each other. `shards[n]` is shard n, up to ends that agree
/// with each other. `advance` receives the number of conversations done.
pub fn audit<S: Segments>(shards: &[Examined<'_, S>], findings: &mut Findings, advance: &dyn Fn(u64)) {
    for shard in shards {
        shard.recount(findings, advance);
    }
    across::deliveries(shards, findings);
    across::orders(shards, findings, advance);
    groups::memberships(shards, findings);
}

/// The number of conversations that `audit` examines.
pub fn conversations<S>(shards: &[Examined<'_, S>]) -> u64 {
    2 * shards.iter().map(|shard| shard.state.tables.conversations.len() as u64).sum::<u64>()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
