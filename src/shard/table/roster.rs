//! The members of one group and their roles. A change of thousands of members takes effect at once, but is merged into
//! the map of members in parts, so that no turn inserts thousands.
//!
//! Owned by a group. Invariants: at most one change is unmerged, and look-ups of one member include it; callers that
//! read all members merge it before.

use crate::model::{Fact, GroupChange, Message, Millis, Role, UserId};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) struct MemberStatus {
    pub role: Role,
    pub muted_until: Millis,
}

#[derive(Clone, Debug, Default)]
pub(in crate::shard) struct Roster {
    merged: BTreeMap<UserId, MemberStatus>,
    merging: Option<RosterChange>,
    /// The number of members, the unmerged change included. It is negative only if the log contradicts itself, until
    /// the change is merged.
    count: i64,
}

/// A change that is not merged completely.
#[derive(Clone, Debug)]
struct RosterChange {
    message: Arc<Message>,
    /// The number of its users that are merged.
    done: usize,
}

/// Users for whom a merged part contradicts the map. Only logs that contradict themselves have any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) struct Contradictions {
    /// Users who were added and were members before.
    pub members: Vec<UserId>,
    /// Users who were removed and were not members.
    pub strangers: Vec<UserId>,
}

impl RosterChange {
    fn change(&self) -> Option<&GroupChange> {
        match self.message.fact.as_deref() {
            Some(Fact::Group(change)) => Some(change),
            _ => None,
        }
    }

    fn named(&self) -> &[UserId] {
        self.change().map_or(&[], GroupChange::members)
    }

    /// The role of a user whom the change names; `None` if the user is not a member any more.
    fn status_of(&self, user: &UserId) -> Option<MemberStatus> {
        match self.change()? {
            GroupChange::Removed { .. } => None,
            GroupChange::Created { owner, .. } if owner == user => {
                Some(MemberStatus { role: Role::Owner, muted_until: Millis(0) })
            }
            _ => Some(MemberStatus::default()),
        }
    }
}

impl Roster {
    pub fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or_default()
    }

    pub fn get(&self, user: &UserId) -> Option<MemberStatus> {
        let change = self.merging.as_ref().filter(|change| change.named().binary_search(user).is_ok());
        match change {
            Some(change) => change.status_of(user),
            None => self.merged.get(user).copied(),
        }
    }

    pub fn contains(&self, user: &UserId) -> bool {
        self.get(user).is_some()
    }

    /// Whether all changes are merged.
    pub fn is_merged(&self) -> bool {
        self.merging.is_none()
    }

    /// All members, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&UserId, &MemberStatus)> {
        assert!(self.is_merged(), "all changes are merged before all members are read");
        self.merged.iter()
    }

    /// The members whose ids are above `after`.
    pub fn after(&self, after: Option<&UserId>) -> impl Iterator<Item = (&UserId, &MemberStatus)> {
        assert!(self.is_merged(), "all changes are merged before all members are read");
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.merged.range::<UserId, _>((from, Bound::Unbounded))
    }

    /// Begins a change that creates the group, or adds or removes members. A previous change is merged completely
    /// first; callers for which this would take too long wait until it is merged.
    pub fn begin(&mut self, message: &Arc<Message>) -> Contradictions {
        let found = self.merge_some(usize::MAX);
        let change = RosterChange { message: message.clone(), done: 0 };
        let named = change.named().len() as i64;
        match change.change() {
            Some(GroupChange::Removed { .. }) => self.count -= named,
            _ => self.count += named,
        }
        self.merging = Some(change);
        found
    }

    /// Merges the next `count` users of the change.
    pub fn merge_some(&mut self, count: usize) -> Contradictions {
        let mut found = Contradictions::default();
        let Some(mut change) = self.merging.take() else { return found };
        let through = change.named().len().min(change.done.saturating_add(count));
        for user in &change.named()[change.done..through] {
            match change.status_of(user) {
                Some(status) if self.merged.insert(user.clone(), status).is_some() => {
                    self.count -= 1;
                    found.members.push(user.clone());
                }
                None if self.merged.remove(user).is_none() => {
                    self.count += 1;
                    found.strangers.push(user.clone());
                }
                _ => {}
            }
        }
        if through < change.named().len() {
            change.done = through;
            self.merging = Some(change);
        }
        found
    }

    /// Sets a member's role. Returns whether the user is a new member.
    pub fn insert(&mut self, user: &UserId, status: MemberStatus) -> bool {
        let is_new = self.merged.insert(user.clone(), status).is_none();
        self.count += i64::from(is_new);
        is_new
    }

    /// The role of a member; all changes must be merged.
    pub fn get_mut(&mut self, user: &UserId) -> Option<&mut MemberStatus> {
        self.merged.get_mut(user)
    }

    /// The map of members, which may be large.
    pub fn into_map(self) -> BTreeMap<UserId, MemberStatus> {
        self.merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{group, user};
    use crate::model::{Conversation, UnsequencedMessage};

    fn changed(change: GroupChange) -> Arc<Message> {
        let fact = Fact::Group(change);
        UnsequencedMessage::of_fact(Millis(0), Conversation::Group(group("g")), user("u00"), fact).share()
    }

    fn users(numbers: std::ops::Range<usize>) -> Vec<UserId> {
        numbers.map(|number| user(&format!("u{number:02}"))).collect()
    }

    /// Every member, looked up one by one.
    fn members(roster: &Roster) -> Vec<UserId> {
        users(0..100).into_iter().filter(|user| roster.contains(user)).collect()
    }

    #[test]
    fn a_change_counts_at_once_and_is_merged_a_part_at_a_time() {
        let mut roster = Roster::default();
        let changes = [
            (GroupChange::Created { owner: user("u00"), members: users(0..40) }, users(0..40)),
            (GroupChange::Removed { members: users(10..40) }, users(0..10)),
            (GroupChange::Added { members: users(10..50) }, users(0..50)),
        ];
        for (change, expected) in changes {
            let named = change.members().len();
            assert_eq!(roster.begin(&changed(change)), Contradictions::default());
            let mut parts = 0;
            while !roster.is_merged() {
                assert_eq!((members(&roster), roster.len()), (expected.clone(), expected.len()));
                assert_eq!(roster.merge_some(7), Contradictions::default());
                parts += 1;
            }
            assert_eq!(parts, named.div_ceil(7));
            assert!(roster.iter().map(|(user, _)| user).eq(&expected));
            assert_eq!(roster.get(&user("u00")).map(|status| status.role), Some(Role::Owner));
        }
    }

    #[test]
    fn a_log_that_contradicts_itself_is_counted_right_in_the_end() {
        let mut roster = Roster::default();
        roster.begin(&changed(GroupChange::Added { members: users(0..10) }));
        let found = roster.begin(&changed(GroupChange::Added { members: users(5..12) }));
        assert_eq!(found, Contradictions::default());
        let found = roster.begin(&changed(GroupChange::Removed { members: users(0..20) }));
        assert_eq!(found, Contradictions { members: users(5..10), strangers: Vec::new() });
        let found = roster.merge_some(usize::MAX);
        assert_eq!(found, Contradictions { members: Vec::new(), strangers: users(12..20) });
        assert_eq!((roster.len(), members(&roster)), (0, Vec::new()));
    }
}
