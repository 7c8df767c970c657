//! The load of each group of a shard on other shards, and the work that a shard has done for groups of other owners.
//!
//! Invariants: a group without load has no entry; one message is under way to each owner.

use crate::model::ShardId;
use crate::shard::peers::message::JobLoad;
use crate::shard::table::fingerprint::Fingerprint;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// The most groups in one `FannedOut` message.
const GROUPS_AT_ONCE_MAX: usize = 256;

/// The loads of this shard's groups on others, and the work of this shard for groups of other owners.
pub(in crate::shard) struct GroupLoads {
    /// The load of each group of this shard on other shards.
    groups: HashMap<Fingerprint, SmallVec<[(ShardId, JobLoad); 2]>, FixedState>,
    peers: Vec<PeerLoad>,
}

#[derive(Debug, Default)]
struct PeerLoad {
    /// The load of all groups of this shard there.
    total: JobLoad,
    /// Work done here for its groups, and not reported yet.
    done: BTreeMap<Fingerprint, JobLoad>,
    is_under_way: bool,
}

impl GroupLoads {
    pub fn new(seed: u64, shards: u16) -> Self {
        Self {
            groups: HashMap::with_hasher(FixedState::with_seed(seed)),
            peers: (0..shards).map(|_| PeerLoad::default()).collect(),
        }
    }

    fn peer(&mut self, shard: ShardId) -> &mut PeerLoad {
        &mut self.peers[usize::from(shard.0)]
    }

    pub fn total_on(&self, shard: ShardId) -> JobLoad {
        self.peers[usize::from(shard.0)].total
    }

    pub fn on(&self, conversation_key: Fingerprint, shard: ShardId) -> JobLoad {
        let loads = self.groups.get(&conversation_key).map_or(&[][..], |loads| loads);
        loads.iter().find(|(on, _)| *on == shard).map(|(_, jobs)| *jobs).unwrap_or_default()
    }

    /// Adds to the load of a group on a shard.
    pub fn add(&mut self, conversation_key: Fingerprint, shard: ShardId, jobs: JobLoad) {
        self.peer(shard).total.add(jobs);
        let loads = self.groups.entry(conversation_key).or_default();
        match loads.iter_mut().find(|(on, _)| *on == shard) {
            Some((_, load)) => load.add(jobs),
            None => loads.push((shard, jobs)),
        }
    }

    /// Subtracts work that a shard has done for the group. Unknown work, from before a start, is ignored.
    pub fn take_off(&mut self, conversation_key: Fingerprint, shard: ShardId, done: JobLoad) {
        let Some(loads) = self.groups.get_mut(&conversation_key) else { return };
        let Some((_, load)) = loads.iter_mut().find(|(on, _)| *on == shard) else { return };
        let before = *load;
        load.take_off(done);
        let taken = JobLoad { count: before.count - load.count, bytes: before.bytes - load.bytes };
        loads.retain(|(_, load)| load.count > 0);
        if loads.is_empty() {
            self.groups.remove(&conversation_key);
        }
        self.peer(shard).total.take_off(taken);
    }

    /// Notes that an entry of one of the owner's groups has reached the last member on this shard.
    pub fn note_done(&mut self, owner: ShardId, conversation_key: Fingerprint, bytes: u64) {
        self.peer(owner).done.entry(conversation_key).or_default().add(JobLoad { count: 1, bytes });
    }

    /// The work to report to an owner now, if there is any and no report is under way.
    pub fn next_done(&mut self, owner: ShardId) -> Option<Vec<(Fingerprint, JobLoad)>> {
        let peer = self.peer(owner);
        if peer.is_under_way || peer.done.is_empty() {
            return None;
        }
        peer.is_under_way = true;
        Some((0..GROUPS_AT_ONCE_MAX).map_while(|_| peer.done.pop_first()).collect())
    }

    pub fn has_done(&self) -> bool {
        self.peers.iter().any(|peer| !peer.done.is_empty() && !peer.is_under_way)
    }

    pub fn on_ack(&mut self, owner: ShardId) {
        self.peer(owner).is_under_way = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobLoad = JobLoad { count: 1, bytes: 100 };

    fn conversation_key(number: u64) -> Fingerprint {
        Fingerprint::of_halves([number, number])
    }

    #[test]
    fn what_another_shard_has_done_is_taken_off_and_never_more() {
        let mut loads = GroupLoads::new(1, 2);
        let there = ShardId(1);
        loads.add(conversation_key(1), there, JOB);
        loads.add(conversation_key(1), there, JOB);
        loads.add(conversation_key(2), there, JOB);
        loads.take_off(conversation_key(1), there, JOB);
        assert_eq!(
            (loads.on(conversation_key(1), there), loads.total_on(there)),
            (JOB, JobLoad { count: 2, bytes: 200 })
        );
        loads.take_off(conversation_key(1), there, JobLoad { count: 7, bytes: 900 });
        loads.take_off(conversation_key(3), there, JOB);
        assert_eq!((loads.on(conversation_key(1), there), loads.total_on(there)), (JobLoad::default(), JOB));
        assert_eq!(loads.groups.len(), 1, "a group with nothing on its way is not remembered");
    }

    #[test]
    fn one_word_is_under_way_and_holds_what_was_done_meanwhile() {
        let mut loads = GroupLoads::new(1, 2);
        let owner = ShardId(0);
        loads.note_done(owner, conversation_key(1), 10);
        assert_eq!(loads.next_done(owner), Some(vec![(conversation_key(1), JobLoad { count: 1, bytes: 10 })]));
        loads.note_done(owner, conversation_key(1), 10);
        loads.note_done(owner, conversation_key(1), 5);
        assert_eq!((loads.has_done(), loads.next_done(owner)), (false, None));
        loads.on_ack(owner);
        assert_eq!(loads.next_done(owner), Some(vec![(conversation_key(1), JobLoad { count: 2, bytes: 15 })]));
    }
}
