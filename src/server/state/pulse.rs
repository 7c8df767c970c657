//! Whether each shard still runs: a running one publishes a snapshot every second.

use crate::server::state::snapshot::Snapshot;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::time::Duration;

/// Without a snapshot for this time a shard counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// The snapshots of all shards, in order.
#[derive(Clone, Debug)]
pub struct ShardPulse(pub(in crate::server) Arc<[ArcSwapOption<Snapshot>]>);

impl ShardPulse {
    /// The shards that ran and have published nothing for long: they do not recover by themselves. A long start is no fault.
    pub fn stuck_shards(&self) -> Vec<usize> {
        stuck(self.0.iter().map(|shown| shown.load().as_ref().map(|shown| shown.taken.elapsed())))
    }
}

fn stuck(ages: impl Iterator<Item = Option<Duration>>) -> Vec<usize> {
    let is_stuck = |age: &Option<Duration>| age.is_some_and(|age| age > STUCK_AFTER);
    ages.enumerate().filter(|(_, age)| is_stuck(age)).map(|(shard, _)| shard).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_stuck_when_it_ran_and_has_shown_nothing_for_long() {
        let ages = [None, Some(Duration::from_secs(2)), Some(Duration::from_secs(31))];
        assert_eq!(stuck(ages.into_iter()), [2]);
    }
}
