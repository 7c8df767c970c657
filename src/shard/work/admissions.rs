//! What a change of a group waits for until the shards of the users whom it adds have agreed; and what this shard has
//! agreed to lately, for its own users.
//!
//! In memory only: after a crash nobody waits. Invariants: the change is the first of the waiting orders and requests, so
//! nothing overtakes it, and one question is under way; a user who is admitted to a group counts as its member until
//! the seat is there, or for `GRANTED_MS`.

use crate::model::{Refusal, ShardId, Steady, UserId};
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::table::placement::Placement;
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};

/// How long an admission counts without a seat. A change reaches its users' shards within a turn or two; one that waits
/// longer for room may make a user exceed its limit by the groups that admit it meanwhile.
const GRANTED_MS: u64 = 10_000;

/// How far the first change has got.
#[derive(Debug, Default)]
pub(in crate::shard) enum AdmissionStage {
    /// Nobody was asked for it.
    #[default]
    NotBegun,
    /// These users are still to be asked for.
    Asking(UsersToAsk),
    /// Another shard is asked; these users follow.
    Awaiting(UsersToAsk),
    /// All have agreed, or one shard has refused.
    Judged(Option<Refusal>),
}

/// Users who are still to be asked for. A change may name thousands: they are sorted by their shards a part at a time.
#[derive(Debug, Default)]
pub(in crate::shard) struct UsersToAsk {
    sorted: Vec<UserId>,
    others: Vec<UserId>,
}

/// The most users that are sorted at once.
const SORTED_AT_ONCE_MAX: usize = 1_024;

impl UsersToAsk {
    pub fn of(users: Vec<UserId>) -> Self {
        Self { sorted: Vec::new(), others: users }
    }

    /// Sorts the next users, if no sorted one is left. Returns how many.
    pub fn sort_some(&mut self, placement: Placement) -> usize {
        if !self.sorted.is_empty() {
            return 0;
        }
        self.sorted = self.others.split_off(self.others.len().saturating_sub(SORTED_AT_ONCE_MAX));
        self.sorted.sort_by_cached_key(|user| placement.owner_of(user));
        self.sorted.len()
    }

    /// Takes up to `count` of the sorted users, all of one shard. `None`: there is none.
    pub fn take(&mut self, placement: Placement, count: usize) -> Option<(ShardId, Vec<UserId>)> {
        let shard = placement.owner_of(self.sorted.last()?);
        let is_there = |user: &&UserId| placement.owner_of(user) == shard;
        let count = self.sorted.iter().rev().take(count).take_while(is_there).count();
        Some((shard, self.sorted.split_off(self.sorted.len() - count)))
    }
}

#[derive(Debug, Default)]
pub(in crate::shard) struct Admissions {
    pub stage: AdmissionStage,
    pub granted: GrantedSeats,
}

impl Admissions {
    /// Whether another shard has to answer first.
    pub fn is_awaiting(&self) -> bool {
        matches!(self.stage, AdmissionStage::Awaiting(_))
    }
}

/// The groups to which users were admitted lately, each until when that counts.
#[derive(Debug, Default)]
pub(in crate::shard) struct GrantedSeats {
    groups: BTreeMap<UserId, SmallVec<[(Fingerprint, Steady); 2]>>,
    expiring: VecDeque<(Steady, UserId)>,
}

impl GrantedSeats {
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub fn grant(&mut self, now: Steady, user: &UserId, group: Fingerprint) {
        let until = now.plus(GRANTED_MS);
        let groups = self.groups.entry(user.clone()).or_default();
        groups.retain(|(other, _)| *other != group);
        groups.push((group, until));
        self.expiring.push_back((until, user.clone()));
    }

    /// Groups other than this one to which the user is admitted, and has not been for too long.
    pub fn others(&self, now: Steady, user: &UserId, group: Fingerprint) -> usize {
        let is_coming = |(other, until): &&(Fingerprint, Steady)| *other != group && *until > now;
        self.groups.get(user).map_or(0, |groups| groups.iter().filter(is_coming).count())
    }

    /// The user has its seat.
    pub fn settle(&mut self, user: &UserId, group: Fingerprint) {
        self.retain(user, |(other, _)| *other != group);
    }

    /// Frees what was granted too long ago; a bounded part at a time.
    pub fn forget_some(&mut self, now: Steady, count: usize) {
        for _granted in 0..count {
            let Some((_, user)) = self.expiring.pop_front_if(|(until, _)| *until <= now) else { return };
            self.retain(&user, |(_, until)| *until > now);
        }
    }

    fn retain(&mut self, user: &UserId, is_kept: impl Fn(&(Fingerprint, Steady)) -> bool) {
        if let Some(groups) = self.groups.get_mut(user) {
            groups.retain(|granted| is_kept(granted));
            if groups.is_empty() {
                self.groups.remove(user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::user;

    #[test]
    fn every_user_is_asked_for_once_in_questions_to_one_shard_each_and_few_are_sorted_at_once() {
        let placement = Placement::new(3);
        let all: Vec<UserId> = (0..3_000).map(|number| user(&format!("user-{number}"))).collect();
        let (mut left, mut asked, mut sorted) = (UsersToAsk::of(all.clone()), Vec::new(), Vec::new());
        loop {
            sorted.extend(Some(left.sort_some(placement)).filter(|count| *count > 0));
            let Some((shard, users)) = left.take(placement, 100) else { break };
            assert!((1..=100).contains(&users.len()) && users.iter().all(|user| placement.owner_of(user) == shard));
            asked.push(users);
        }
        assert_eq!(sorted, [SORTED_AT_ONCE_MAX, SORTED_AT_ONCE_MAX, 3_000 - 2 * SORTED_AT_ONCE_MAX]);
        assert!(asked.len() <= 30 + 3 * 3, "{} questions", asked.len());
        let (mut asked, mut all) = (asked.concat(), all);
        asked.sort_unstable();
        all.sort_unstable();
        assert_eq!(asked, all);
    }

    #[test]
    fn what_is_granted_counts_once_for_each_group_and_not_for_ever() {
        let [one, two, three] = [1, 2, 3].map(|number| Fingerprint::of_halves([number, 0]));
        let mut granted = GrantedSeats::default();
        for (now, group) in [(0, one), (5, one), (9, two)] {
            granted.grant(Steady(now), &user("ann"), group);
        }
        let others = |granted: &GrantedSeats, now, group| granted.others(Steady(now), &user("ann"), group);
        assert_eq!([one, two, three].map(|group| others(&granted, 9, group)), [1, 1, 2]);
        let late = [GRANTED_MS + 4, GRANTED_MS + 5, GRANTED_MS + 9].map(|now| others(&granted, now, three));
        assert_eq!(late, [2, 1, 0], "it counts no longer than it holds, though nobody has freed it");
        granted.forget_some(Steady(GRANTED_MS), 9);
        assert_eq!(others(&granted, GRANTED_MS, three), 2, "the second time counts");
        granted.forget_some(Steady(GRANTED_MS + 5), 9);
        assert_eq!(others(&granted, GRANTED_MS + 5, three), 1);
        granted.settle(&user("ann"), two);
        assert!(granted.is_empty());
        granted.forget_some(Steady(GRANTED_MS + 9), 9);
        assert!(granted.expiring.is_empty());
    }
}
