//! The groups that this shard owns: members, roles and shards.
//!
//! Invariant: everything follows from the group's changes in the log; `per_shard` counts exactly the members.

use crate::log::record::bytes::{Put, Reader};
use crate::log::record::fact::{put_role, read_role};
use crate::model::{GroupChange, Message, Millis, Role, ShardId, UserId};
use crate::shard::Placement;
use crate::shard::table::fingerprint::Fingerprint;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) struct MemberStatus {
    pub role: Role,
    pub muted_until: Millis,
}

#[derive(Clone, Debug)]
pub(in crate::shard) struct Group {
    pub owner: UserId,
    pub created: Millis,
    pub members: BTreeMap<UserId, MemberStatus>,
    /// Members on each shard.
    per_shard: Vec<u32>,
}

pub(in crate::shard) struct Groups {
    placement: Placement,
    groups: HashMap<Fingerprint, Group, FixedState>,
    /// Of all groups.
    members: u64,
    /// Those of groups that are dissolved, whose memory is given back a part at a time.
    left: Vec<BTreeMap<UserId, MemberStatus>>,
}

/// Members whose memory a turn gives back.
const DROPPED_A_TURN_MAX: usize = 1_024;

impl Group {
    fn new(owner: UserId, created: Millis, placement: Placement) -> Self {
        Self { owner, created, members: BTreeMap::new(), per_shard: vec![0; usize::from(placement.shards())] }
    }

    /// The shards that have members.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.members_by_shard().map(|(shard, _)| shard)
    }

    /// The shards that have members, and how many.
    pub fn members_by_shard(&self) -> impl Iterator<Item = (ShardId, u32)> + '_ {
        (0..).map(ShardId).zip(self.per_shard.iter().copied()).filter(|(_, members)| *members > 0)
    }

    fn add(&mut self, user: &UserId, standing: MemberStatus, placement: Placement) {
        if self.members.insert(user.clone(), standing).is_none() {
            self.per_shard[usize::from(placement.owner_of(user).0)] += 1;
        }
    }

    fn remove(&mut self, user: &UserId, placement: Placement) {
        if self.members.remove(user).is_some() {
            self.per_shard[usize::from(placement.owner_of(user).0)] -= 1;
        }
    }
}

fn role_of(user: &UserId, owner: &UserId) -> Role {
    if user == owner { Role::Owner } else { Role::Member }
}

impl Groups {
    pub fn new(seed: u64, placement: Placement) -> Self {
        Self { placement, groups: HashMap::with_hasher(FixedState::with_seed(seed)), members: 0, left: Vec::new() }
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
    pub fn change(&mut self, conversation_key: Fingerprint, message: &Message, change: &GroupChange) {
        self.counting(conversation_key, |groups| groups.make_change(conversation_key, message, change));
    }

    fn make_change(&mut self, conversation_key: Fingerprint, message: &Message, change: &GroupChange) {
        let placement = self.placement;
        match change {
            GroupChange::Created { owner, members } => {
                let mut group = Group::new(owner.clone(), message.server_time, placement);
                let standing = |user| MemberStatus { role: role_of(user, owner), muted_until: Millis(0) };
                // Sorted already, so that it is made in one pass.
                group.members = members.iter().map(|user| (user.clone(), standing(user))).collect();
                for user in group.members.keys() {
                    group.per_shard[usize::from(placement.owner_of(user).0)] += 1;
                }
                self.groups.insert(conversation_key, group);
            }
            GroupChange::Dissolved => {
                let group = self.groups.remove(&conversation_key);
                self.left.extend(group.map(|group| group.members).filter(|members| members.len() > DROPPED_A_TURN_MAX));
            }
            GroupChange::Added { members } => {
                let Some(group) = self.groups.get_mut(&conversation_key) else { return };
                members.iter().for_each(|user| group.add(user, MemberStatus::default(), placement));
            }
            GroupChange::Removed { members } => {
                let Some(group) = self.groups.get_mut(&conversation_key) else { return };
                members.iter().for_each(|user| group.remove(user, placement));
            }
            GroupChange::Changed { member, role, muted_until } => {
                let Some(group) = self.groups.get_mut(&conversation_key) else { return };
                if *role == Role::Owner && group.members.contains_key(member) {
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
    }

    /// For a checkpoint: how many groups, then each with its members.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.groups.len()).expect("groups are fewer than conversations"));
        for (conversation_key, group) in &self.groups {
            conversation_key.put(out);
            out.put_short(group.owner.as_str().as_bytes());
            out.put_u64(group.created.0);
            out.put_u32(u32::try_from(group.members.len()).expect("members are fewer than users"));
            for (user, standing) in &group.members {
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
