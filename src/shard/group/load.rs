//! The load of each group under way to its members, and its bound.
//!
//! Lives on the shard that owns a group. The fan-out knows the load on this shard; other shards report their load at a
//! start, and later what they have completed. Invariants: no group takes more than half of the remaining space on a
//! shard, so that others always find space; a group without load may always begin.

use crate::log::Storage;
use crate::model::{Conversation, Message, ShardId};
use crate::shard::peers::message::{AckedKind, JobLoad};
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::{Effect, Shard, ShardMessage};
use std::collections::BTreeMap;

/// Whether one more message fits, where `own` of the group and `total` of all groups are under way.
fn has_place(own: u64, total: u64, own_max: u64, total_max: u64) -> bool {
    let free = total_max.saturating_sub(total);
    free > 0 && (own == 0 || own < own_max.min(free / 2))
}

impl<S: Storage> Shard<S> {
    /// Whether a message to the group must be refused because too many are under way.
    pub(in crate::shard) fn is_too_busy(&self, conversation: &Conversation, conversation_key: Fingerprint) -> bool {
        let Conversation::Group(_) = conversation else { return false };
        let Some(group) = self.state.groups.rosters.find(conversation_key) else { return false };
        let limits = &self.settings.limits;
        let (mut links, mut is_under_way) = (group.members.len() as u64, false);
        for (shard, members) in group.members_by_shard() {
            let (own, total) = self.jobs_on(conversation_key, conversation, shard);
            let fits = has_place(
                own.count.into(),
                total.count.into(),
                limits.group_fan_out_messages_max as u64,
                limits.fan_out_messages_max as u64,
            ) && has_place(own.bytes, total.bytes, u64::MAX, limits.fan_out_bytes_max as u64);
            if !fits {
                return true;
            }
            is_under_way |= own.count > 0;
            links += u64::from(own.count) * members;
        }
        is_under_way && links > limits.group_fan_out_entries_max as u64
    }

    /// The load of the group, and of all of this shard's groups, on that shard.
    fn jobs_on(
        &self,
        conversation_key: Fingerprint,
        conversation: &Conversation,
        shard: ShardId,
    ) -> (JobLoad, JobLoad) {
        if shard != self.settings.me {
            return (self.state.groups.loads.on(conversation_key, shard), self.state.groups.loads.total_on(shard));
        }
        let at = self.state.tables.conversations.find(conversation_key, conversation, &self.state.tables.inboxes);
        let own = at.map(|at| self.state.groups.fan_out.jobs_of(at)).unwrap_or_default();
        (own, self.state.groups.fan_out.jobs())
    }

    /// Whether each of these shards has space for one more entry of the group, whoever sends it.
    pub(in crate::shard) fn may_fan_out(&self, conversation: &Conversation, targets: &[ShardId]) -> bool {
        let jobs_max = self.settings.limits.fan_out_messages_max;
        let has_place = |jobs: JobLoad| (jobs.count as usize) < jobs_max;
        matches!(conversation, Conversation::Pair(..))
            || has_place(self.state.groups.fan_out.jobs())
                && targets.iter().all(|target| has_place(self.state.groups.loads.total_on(*target)))
    }

    /// Counts a group's entry that is sent to another shard.
    pub(in crate::shard) fn note_fanning_out(&mut self, to: ShardId, message: &Message, conversation_key: Fingerprint) {
        if let Conversation::Group(_) = message.conversation {
            self.state.groups.loads.add(conversation_key, to, JobLoad { count: 1, bytes: message.held_bytes() as u64 });
        }
    }

    /// Reports to each owner of groups the load that the log has for them at a start.
    pub(in crate::shard) fn send_fan_out_load(&self, effects: &mut Vec<Effect>) {
        let mut owners: BTreeMap<ShardId, Vec<(Fingerprint, JobLoad)>> = BTreeMap::new();
        for (at, jobs) in self.state.groups.fan_out.groups() {
            let conversation_key = self.state.identity.fingerprints.of_conversation(&self.state.conversation_at(at));
            owners
                .entry(self.settings.placement.owner_of_key(conversation_key))
                .or_default()
                .push((conversation_key, jobs));
        }
        owners.remove(&self.settings.me);
        for (to, groups) in owners {
            effects.push(Effect::forward(to, ShardMessage::FanningOut { groups }));
        }
    }

    pub(in crate::shard) fn on_fan_out_load(&mut self, from: ShardId, groups: &[(Fingerprint, JobLoad)]) {
        groups.iter().for_each(|(conversation_key, jobs)| self.state.groups.loads.add(*conversation_key, from, *jobs));
    }

    /// Counts an entry that has reached the last member on this shard.
    pub(in crate::shard) fn note_fanned_out(&mut self, message: &Message) {
        let conversation_key = self.state.identity.fingerprints.of_conversation(&message.conversation);
        let owner = self.settings.placement.owner_of_key(conversation_key);
        if owner != self.settings.me {
            self.state.groups.loads.note_done(owner, conversation_key, message.held_bytes() as u64);
        }
    }

    /// At the end of each input: reports to other shards the entries of their groups that are complete.
    pub(in crate::shard) fn send_fanned_out(&mut self, effects: &mut Vec<Effect>) {
        if !self.state.groups.loads.has_done() {
            return;
        }
        for to in self.state.peers.outbound.others() {
            if let Some(groups) = self.state.groups.loads.next_done(to) {
                effects.push(Effect::forward(to, ShardMessage::FannedOut { groups }));
            }
        }
    }

    pub(in crate::shard) fn on_fanned_out(
        &mut self,
        from: ShardId,
        groups: &[(Fingerprint, JobLoad)],
        effects: &mut Vec<Effect>,
    ) {
        groups
            .iter()
            .for_each(|(conversation_key, done)| self.state.groups.loads.take_off(*conversation_key, from, *done));
        effects.push(Effect::forward(from, ShardMessage::Ack(AckedKind::FannedOut)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
