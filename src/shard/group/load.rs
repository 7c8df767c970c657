//! How much of each group is on its way to its members, and when that is too much.
//!
//! Lives on the shard that orders a group. What is on its way here the fan-out knows; other shards say what they began
//! with and what they have done. Invariants: no group takes more than half of what is left on a shard, so that there is
//! always room for others; a group with nothing on its way may always begin.

use crate::log::Storage;
use crate::model::{Conversation, Message, ShardId};
use crate::shard::peers::message::{JobLoad, PresenceMessage};
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::{Effect, Shard, ShardMessage};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Groups that one parcel names at the most.
const GROUPS_AT_ONCE_MAX: usize = 256;

/// Other shards as the owner of groups sees them, and as the one who does its share for other owners.
pub(in crate::shard) struct GroupLoads {
    /// What each group of this shard has on its way on others.
    groups: HashMap<Fingerprint, SmallVec<[(ShardId, JobLoad); 2]>, FixedState>,
    peers: Vec<PeerLoad>,
}

#[derive(Debug, Default)]
struct PeerLoad {
    /// Of all groups of this shard, on its way there.
    total: JobLoad,
    /// Done here for its groups, and not said yet.
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

    pub fn on(&self, name: Fingerprint, shard: ShardId) -> JobLoad {
        let loads = self.groups.get(&name).map_or(&[][..], |loads| loads);
        loads.iter().find(|(on, _)| *on == shard).map(|(_, jobs)| *jobs).unwrap_or_default()
    }

    /// The shard has so much more to do for the group.
    pub fn add(&mut self, name: Fingerprint, shard: ShardId, jobs: JobLoad) {
        self.peer(shard).total.add(jobs);
        let loads = self.groups.entry(name).or_default();
        match loads.iter_mut().find(|(on, _)| *on == shard) {
            Some((_, load)) => load.add(jobs),
            None => loads.push((shard, jobs)),
        }
    }

    /// The shard has done so much for the group. What was not known of, from before a start, counts for nothing.
    pub fn take_off(&mut self, name: Fingerprint, shard: ShardId, done: JobLoad) {
        let Some(loads) = self.groups.get_mut(&name) else { return };
        let Some((_, load)) = loads.iter_mut().find(|(on, _)| *on == shard) else { return };
        let before = *load;
        load.take_off(done);
        let taken = JobLoad { count: before.count - load.count, bytes: before.bytes - load.bytes };
        loads.retain(|(_, load)| load.count > 0);
        if loads.is_empty() {
            self.groups.remove(&name);
        }
        self.peer(shard).total.take_off(taken);
    }

    /// One of that owner's groups has got an entry here, to the last member.
    pub fn note_done(&mut self, owner: ShardId, name: Fingerprint, bytes: u64) {
        self.peer(owner).done.entry(name).or_default().add(JobLoad { count: 1, bytes });
    }

    /// What to say to an owner now, if there is anything and it may be said.
    fn next_done(&mut self, owner: ShardId) -> Option<Vec<(Fingerprint, JobLoad)>> {
        let peer = self.peer(owner);
        if peer.is_under_way || peer.done.is_empty() {
            return None;
        }
        peer.is_under_way = true;
        Some((0..GROUPS_AT_ONCE_MAX).map_while(|_| peer.done.pop_first()).collect())
    }

    fn has_done(&self) -> bool {
        self.peers.iter().any(|peer| !peer.done.is_empty() && !peer.is_under_way)
    }

    pub fn heard(&mut self, owner: ShardId) {
        self.peer(owner).is_under_way = false;
    }
}

/// Whether one more may join `own` where `total` are on their way.
fn has_place(own: u64, total: u64, own_max: u64, total_max: u64) -> bool {
    let free = total_max.saturating_sub(total);
    free > 0 && (own == 0 || own < own_max.min(free / 2))
}

impl<S: Storage> Shard<S> {
    /// Whether somebody's message for a group has to be refused for what is on its way already.
    pub(in crate::shard) fn is_too_busy(&self, conversation: &Conversation, name: Fingerprint) -> bool {
        let Conversation::Group(_) = conversation else { return false };
        let Some(group) = self.state.groups.find(name) else { return false };
        let limits = &self.settings.limits;
        let (mut links, mut is_under_way) = (group.members.len() as u64, false);
        for (shard, members) in group.members_by_shard() {
            let (own, total) = self.jobs_on(name, conversation, shard);
            let fits = has_place(
                own.count.into(),
                total.count.into(),
                limits.group_messages_max as u64,
                limits.fanned_messages_max as u64,
            ) && has_place(own.bytes, total.bytes, u64::MAX, limits.fanned_bytes_max as u64);
            if !fits {
                return true;
            }
            is_under_way |= own.count > 0;
            links += u64::from(own.count) * u64::from(members);
        }
        is_under_way && links > limits.group_links_max as u64
    }

    /// What the group, and all of this shard's, have on their way there.
    fn jobs_on(&self, name: Fingerprint, conversation: &Conversation, shard: ShardId) -> (JobLoad, JobLoad) {
        if shard != self.settings.me {
            return (self.state.loads.on(name, shard), self.state.loads.total_on(shard));
        }
        let at = self.state.conversations.find(name, conversation, &self.state.inboxes);
        let own = at.map(|at| self.state.fan_out.jobs_of(at)).unwrap_or_default();
        (own, self.state.fan_out.jobs())
    }

    /// Whether there is a place for one more entry of a group on each of these shards, whoever it comes from.
    pub(in crate::shard) fn may_fan_out(&self, conversation: &Conversation, targets: &[ShardId]) -> bool {
        let jobs_max = self.settings.limits.fanned_messages_max;
        let has_place = |jobs: JobLoad| (jobs.count as usize) < jobs_max;
        matches!(conversation, Conversation::Pair(..))
            || has_place(self.state.fan_out.jobs())
                && targets.iter().all(|target| has_place(self.state.loads.total_on(*target)))
    }

    /// A group's entry leaves for another shard.
    pub(in crate::shard) fn note_fanning_out(&mut self, to: ShardId, message: &Message, name: Fingerprint) {
        if let Conversation::Group(_) = message.conversation {
            self.state.loads.add(name, to, JobLoad { count: 1, bytes: message.held_bytes() as u64 });
        }
    }

    /// To each owner of groups whose entries are on their way here as the log left them.
    pub(in crate::shard) fn send_fan_out_load(&self, effects: &mut Vec<Effect>) {
        let mut owners: BTreeMap<ShardId, Vec<(Fingerprint, JobLoad)>> = BTreeMap::new();
        for (at, jobs) in self.state.fan_out.groups() {
            let name = self.state.fingerprints.of_conversation(&self.state.conversation_at(at));
            owners.entry(self.settings.placement.owner_of_name(name)).or_default().push((name, jobs));
        }
        owners.remove(&self.settings.me);
        for (to, groups) in owners {
            effects.push(Effect::Forward { to, parcel: ShardMessage::FanningOut { groups } });
        }
    }

    pub(in crate::shard) fn on_fan_out_load(&mut self, from: ShardId, groups: &[(Fingerprint, JobLoad)]) {
        groups.iter().for_each(|(name, jobs)| self.state.loads.add(*name, from, *jobs));
    }

    /// An entry has come to the last member here.
    pub(in crate::shard) fn note_fanned_out(&mut self, message: &Message) {
        let name = self.state.fingerprints.of_conversation(&message.conversation);
        let owner = self.settings.placement.owner_of_name(name);
        if owner != self.settings.me {
            self.state.loads.note_done(owner, name, message.held_bytes() as u64);
        }
    }

    /// At the end of each input: what has been done for other shards' groups.
    pub(in crate::shard) fn send_fanned_out(&mut self, effects: &mut Vec<Effect>) {
        if !self.state.loads.has_done() {
            return;
        }
        for to in self.state.relay.others() {
            if let Some(groups) = self.state.loads.next_done(to) {
                effects.push(Effect::Forward { to, parcel: ShardMessage::FannedOut { groups } });
            }
        }
    }

    pub(in crate::shard) fn on_fanned_out(
        &mut self,
        from: ShardId,
        groups: &[(Fingerprint, JobLoad)],
        effects: &mut Vec<Effect>,
    ) {
        groups.iter().for_each(|(name, done)| self.state.loads.take_off(*name, from, *done));
        effects.push(Effect::Forward { to: from, parcel: ShardMessage::Heard(PresenceMessage::FannedOut) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobLoad = JobLoad { count: 1, bytes: 100 };

    fn name(number: u64) -> Fingerprint {
        Fingerprint::of_halves([number, number])
    }

    #[test]
    fn no_group_takes_more_than_half_of_what_is_left() {
        let (mut greedy, mut total) = (0, 0);
        while has_place(greedy, total, u64::MAX, 1_000) {
            (greedy, total) = (greedy + 1, total + 1);
        }
        assert_eq!(greedy, 333, "a third, with as much left twice");
        let (mut second, before) = (0, total);
        while has_place(second, total, u64::MAX, 1_000) {
            (second, total) = (second + 1, total + 1);
        }
        assert!(second > 200 && total < 600, "{second} behind {before}");
        assert!(has_place(0, 999, 1, 1_000) && !has_place(0, 1_000, 1, 1_000));
        assert!(!has_place(5, 5, 5, 1_000), "nor more than its own bound");
    }

    #[test]
    fn what_another_shard_has_done_is_taken_off_and_never_more() {
        let mut loads = GroupLoads::new(1, 2);
        let there = ShardId(1);
        loads.add(name(1), there, JOB);
        loads.add(name(1), there, JOB);
        loads.add(name(2), there, JOB);
        loads.take_off(name(1), there, JOB);
        assert_eq!((loads.on(name(1), there), loads.total_on(there)), (JOB, JobLoad { count: 2, bytes: 200 }));
        loads.take_off(name(1), there, JobLoad { count: 7, bytes: 900 });
        loads.take_off(name(3), there, JOB);
        assert_eq!((loads.on(name(1), there), loads.total_on(there)), (JobLoad::default(), JOB));
        assert_eq!(loads.groups.len(), 1, "a group with nothing on its way is not remembered");
    }

    #[test]
    fn one_word_is_under_way_and_holds_what_was_done_meanwhile() {
        let mut loads = GroupLoads::new(1, 2);
        let owner = ShardId(0);
        loads.note_done(owner, name(1), 10);
        assert_eq!(loads.next_done(owner), Some(vec![(name(1), JobLoad { count: 1, bytes: 10 })]));
        loads.note_done(owner, name(1), 10);
        loads.note_done(owner, name(1), 5);
        assert_eq!((loads.has_done(), loads.next_done(owner)), (false, None));
        loads.heard(owner);
        assert_eq!(loads.next_done(owner), Some(vec![(name(1), JobLoad { count: 2, bytes: 15 })]));
    }
}
