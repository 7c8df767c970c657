//! The groups that this shard owns: members, roles and shards.
//!
//! Invariants: everything follows from the group's changes in the log; `per_shard` counts exactly the members. No turn
//! takes thousands of members into memory, or gives back theirs: that goes on from turn to turn.

use crate::log::record::bytes::{Put, Reader};
use crate::log::record::fact::{put_role, read_role};
use crate::model::{Fact, GroupChange, JoinStep, Message, Millis, Role, ShardId, UserId};
use crate::shard::Placement;
use crate::shard::rows::profiles::GroupProfiles;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::table::join_requests::JoinRequestTable;
use crate::shard::table::roster::{Contradictions, MemberStatus, Roster};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(in crate::shard) struct Group {
    pub owner: UserId,
    pub created: Millis,
    pub members: Roster,
    /// Members on each shard.
    per_shard: Vec<i64>,
}

pub(in crate::shard) struct Groups {
    placement: Placement,
    groups: HashMap<Fingerprint, Group, FixedState>,
    /// Those of the groups that have one.
    pub profiles: GroupProfiles,
    /// Those of the groups that are joined by request.
    pub requests: JoinRequestTable,
    /// Of all groups.
    members: u64,
    /// Those of groups that are dissolved, whose memory is given back a part at a time.
    left: Vec<BTreeMap<UserId, MemberStatus>>,
    /// Groups of which a change is not merged.
    unmerged: VecDeque<Fingerprint>,
}

/// Members whose memory a turn gives back.
const DROPPED_A_TURN_MAX: usize = 1_024;
/// Members of a change whom a turn merges.
const MERGED_A_TURN_MAX: usize = 512;

impl Group {
    fn new(owner: UserId, created: Millis, placement: Placement) -> Self {
        Self { owner, created, members: Roster::default(), per_shard: vec![0; usize::from(placement.shards())] }
    }

    /// The shards that have members.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.members_by_shard().map(|(shard, _)| shard)
    }

    /// The shards that have members, and how many.
    pub fn members_by_shard(&self) -> impl Iterator<Item = (ShardId, u64)> + '_ {
        let members = self.per_shard.iter().map(|members| u64::try_from(*members).unwrap_or_default());
        (0..).map(ShardId).zip(members).filter(|(_, members)| *members > 0)
    }

    fn add(&mut self, user: &UserId, standing: MemberStatus, placement: Placement) {
        if self.members.insert(user, standing) {
            self.per_shard[usize::from(placement.owner_of(user).0)] += 1;
        }
    }

    /// A change that names members: it counts at once.
    fn begin(&mut self, message: &Arc<Message>, change: &GroupChange, placement: Placement) {
        let found = self.members.begin(message);
        self.count_right(&found, placement);
        let is_removal = matches!(change, GroupChange::Removed { .. });
        for user in change.members() {
            let members = &mut self.per_shard[usize::from(placement.owner_of(user).0)];
            *members += if is_removal { -1 } else { 1 };
        }
    }

    /// A part of a change is merged; whether that was the last.
    fn merge_some(&mut self, count: usize, placement: Placement) -> bool {
        let found = self.members.merge_some(count);
        self.count_right(&found, placement);
        self.members.is_merged()
    }

    fn count_right(&mut self, Contradictions { members, strangers }: &Contradictions, placement: Placement) {
        members.iter().for_each(|user| self.per_shard[usize::from(placement.owner_of(user).0)] -= 1);
        strangers.iter().for_each(|user| self.per_shard[usize::from(placement.owner_of(user).0)] += 1);
    }
}

impl Groups {
    pub fn new(seed: u64, placement: Placement) -> Self {
        let groups = HashMap::with_hasher(FixedState::with_seed(seed));
        let profiles = GroupProfiles::default();
        let requests = JoinRequestTable::default();
        Self { placement, groups, profiles, requests, members: 0, left: Vec::new(), unmerged: VecDeque::new() }
    }

    /// A group that is there and not dissolved.
    pub fn find(&self, conversation_key: Fingerprint) -> Option<&Group> {
        self.groups.get(&conversation_key)
    }

    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Members of all groups together.
    pub fn members(&self) -> u64 {
        self.members
    }

    /// Whether `drop_some` has something to do.
    pub fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Whether `merge_some` has something to do.
    pub fn has_unmerged(&self) -> bool {
        !self.unmerged.is_empty()
    }

    /// Merges one turn's share of large changes. Returns the most members that this may have concerned.
    pub fn merge_some(&mut self) -> usize {
        let Some(conversation_key) = self.unmerged.front().copied() else { return 0 };
        self.merge(conversation_key, MERGED_A_TURN_MAX);
        MERGED_A_TURN_MAX
    }

    /// Merges all changes; for a replay.
    pub fn merge_all(&mut self) {
        while let Some(conversation_key) = self.unmerged.front().copied() {
            self.merge(conversation_key, usize::MAX);
        }
    }

    /// Merges a part of the change of the first unmerged group.
    fn merge(&mut self, conversation_key: Fingerprint, count: usize) {
        let is_merged = self.counting(conversation_key, |groups| {
            let placement = groups.placement;
            groups.groups.get_mut(&conversation_key).is_none_or(|group| group.merge_some(count, placement))
        });
        if is_merged {
            self.unmerged.pop_front();
        }
    }

    /// A turn's share of what dissolving large groups takes.
    pub fn drop_some(&mut self) {
        let Some(members) = self.left.last_mut() else { return };
        for _member in 0..DROPPED_A_TURN_MAX {
            if members.pop_first().is_none() {
                self.left.pop();
                return;
            }
        }
    }

    /// Makes the change to one group, and keeps count of members.
    fn counting<R>(&mut self, conversation_key: Fingerprint, change: impl FnOnce(&mut Self) -> R) -> R {
        let count = |groups: &Self| groups.find(conversation_key).map_or(0, |group| group.members.len() as u64);
        let before = count(self);
        let changed = change(self);
        self.members = self.members + count(self) - before;
        changed
    }

    pub fn all(&self) -> impl Iterator<Item = (Fingerprint, &Group)> + '_ {
        self.groups.iter().map(|(conversation_key, group)| (*conversation_key, group))
    }

    /// What `message` says has changed.
    pub fn change(&mut self, conversation_key: Fingerprint, message: &Arc<Message>) {
        match message.fact.as_deref() {
            Some(Fact::Group(change)) => {
                self.counting(conversation_key, |groups| groups.make_change(conversation_key, message, change));
            }
            Some(Fact::Joining { asker, step: JoinStep::Asked }) if self.groups.contains_key(&conversation_key) => {
                self.requests.insert(conversation_key, asker, message.server_time);
            }
            Some(Fact::Joining { asker, step: JoinStep::Declined { .. } }) => {
                self.requests.remove(conversation_key, asker);
            }
            _ => {}
        }
    }

    fn make_change(&mut self, conversation_key: Fingerprint, message: &Arc<Message>, change: &GroupChange) {
        let placement = self.placement;
        match change {
            GroupChange::Created { owner, .. } => {
                let group = Group::new(owner.clone(), message.server_time, placement);
                self.groups.insert(conversation_key, group);
                self.profiles.forget(conversation_key);
                self.requests.forget(conversation_key);
                self.begin(conversation_key, message, change);
            }
            GroupChange::Dissolved => {
                let group = self.groups.remove(&conversation_key);
                self.profiles.forget(conversation_key);
                self.requests.forget(conversation_key);
                let members = group.map(|group| group.members.into_map());
                self.left.extend(members.filter(|members| members.len() > DROPPED_A_TURN_MAX));
            }
            GroupChange::Profiled(profile) => {
                if self.groups.contains_key(&conversation_key) {
                    self.profiles.set(conversation_key, profile.clone());
                }
            }
            GroupChange::Added { members } => {
                self.requests.remove_all(conversation_key, members);
                self.begin(conversation_key, message, change);
            }
            GroupChange::Removed { .. } => self.begin(conversation_key, message, change),
            GroupChange::Changed { member, role, muted_until } => {
                let Some(group) = self.groups.get_mut(&conversation_key) else { return };
                group.merge_some(usize::MAX, placement);
                if *role == Role::Owner && group.members.contains(member) {
                    if let Some(before) = group.members.get_mut(&group.owner) {
                        before.role = Role::Admin;
                    }
                    group.owner = member.clone();
                }
                if let Some(standing) = group.members.get_mut(member) {
                    *standing = MemberStatus { role: *role, muted_until: *muted_until };
                }
            }
        }
    }

    /// What names few is merged at once.
    fn begin(&mut self, conversation_key: Fingerprint, message: &Arc<Message>, change: &GroupChange) {
        let placement = self.placement;
        let Some(group) = self.groups.get_mut(&conversation_key) else { return };
        group.begin(message, change, placement);
        match change.members().len() {
            0..=MERGED_A_TURN_MAX => drop(group.merge_some(usize::MAX, placement)),
            _ => self.unmerged.push_back(conversation_key),
        }
    }

    /// A group as a rewriting of the directory found it.
    pub fn restore(
        &mut self,
        conversation_key: Fingerprint,
        owner: &UserId,
        created: Millis,
        members: &[(UserId, MemberStatus)],
    ) {
        let placement = self.placement;
        self.counting(conversation_key, |groups| {
            let group =
                groups.groups.entry(conversation_key).or_insert_with(|| Group::new(owner.clone(), created, placement));
            members.iter().for_each(|(user, standing)| group.add(user, *standing, placement));
        });
    }

    /// One group as another table has it, or not at all.
    pub fn replace(&mut self, conversation_key: Fingerprint, mut other: Self) {
        self.counting(conversation_key, |groups| match other.groups.remove(&conversation_key) {
            Some(group) => drop(groups.groups.insert(conversation_key, group)),
            None => drop(groups.groups.remove(&conversation_key)),
        });
        let profile = other.profiles.find(conversation_key).cloned();
        self.profiles.set(conversation_key, Box::new(profile.unwrap_or_default()));
    }

    /// For a checkpoint: how many groups, then each with its members.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.groups.len()).expect("groups are fewer than conversations"));
        for (conversation_key, group) in &self.groups {
            conversation_key.put(out);
            out.put_short(group.owner.as_str().as_bytes());
            out.put_u64(group.created.0);
            out.put_u32(u32::try_from(group.members.len()).expect("members are fewer than users"));
            for (user, standing) in group.members.iter() {
                out.put_short(user.as_str().as_bytes());
                put_role(standing.role, out);
                out.put_u64(standing.muted_until.0);
            }
        }
    }

    pub fn read(seed: u64, placement: Placement, reader: &mut Reader<'_>) -> Option<Self> {
        let mut groups = Self::new(seed, placement);
        let user = |reader: &mut Reader<'_>| UserId::new(std::str::from_utf8(reader.short()?).ok()?).ok();
        for _group in 0..reader.u32()? {
            let conversation_key = Fingerprint::read(reader)?;
            let owner = user(reader)?;
            let mut group = Group::new(owner, Millis(reader.u64()?), placement);
            for _member in 0..reader.u32()? {
                let member = user(reader)?;
                let standing = MemberStatus { role: read_role(reader)?, muted_until: Millis(reader.u64()?) };
                group.add(&member, standing, placement);
            }
            groups.counting(conversation_key, |groups| groups.groups.insert(conversation_key, group));
        }
        Some(groups)
    }
}
