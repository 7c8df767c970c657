//! Orders that add and remove thousands of members. The members are looked up in the roster in parts, then logged as
//! one change of the group, which the roster merges in parts.
//!
//! Invariant: if the log has no room for both halves, the first one stays, and a repetition does the rest.

use crate::log::Storage;
use crate::model::{Answer, GroupChange, GroupId, Moment, Order, Refusal, Refused, UserId};
use crate::shard::Shard;
use crate::shard::core::waiting_orders::{MemberSelection, OrderTask, Selection};

pub(in crate::shard) const OWNER_STAYS: &str =
    "this user owns the group: make another member the owner first, or dissolve the group";
/// The most users whom one turn looks up in a roster.
const LOOKED_UP_A_TURN_MAX: usize = 512;

/// Sorted and without duplicates. The HTTP API has sorted them already.
pub(in crate::shard) fn in_order(mut users: Vec<UserId>) -> Vec<UserId> {
    if !users.is_sorted_by(|one, other| one < other) {
        users.sort_unstable();
        users.dedup();
    }
    users
}

pub(in crate::shard) fn is_of_group(order: &Order) -> bool {
    match order {
        Order::CreateGroup { .. }
        | Order::ChangeMembers { .. }
        | Order::ChangeMember { .. }
        | Order::DissolveGroup { .. }
        | Order::ShowGroup { .. } => true,
        Order::Block { .. }
        | Order::KnowUser { .. }
        | Order::ShowUser { .. }
        | Order::SetAccount { .. }
        | Order::RevokeTokens { .. }
        | Order::Send { .. }
        | Order::ShowInbox { .. }
        | Order::ShowConversations { .. }
        | Order::ShowHistory { .. }
        | Order::ShowSessions { .. }
        | Order::EndSessions { .. }
        | Order::ShowPresence { .. }
        | Order::ListUsers { .. }
        | Order::ListGroups { .. }
        | Order::EraseUser { .. }
        | Order::ListErased { .. }
        | Order::Revoke { .. } => false,
    }
}

/// Whether the order takes more than one turn.
pub(in crate::shard) fn names_many(order: &Order) -> bool {
    matches!(order, Order::ChangeMembers { add, remove, .. } if add.len() + remove.len() > LOOKED_UP_A_TURN_MAX)
}

impl OrderTask {
    pub fn of(order: Order) -> Self {
        match order {
            Order::ChangeMembers { group, add, remove } => Self::Members(MemberSelection::new(group, add, remove)),
            other => Self::Whole(other),
        }
    }
}

impl MemberSelection {
    pub fn new(group: GroupId, add: Vec<UserId>, remove: Vec<UserId>) -> Self {
        let [remove, add] = [remove, add].map(|users| Selection::new(in_order(users)));
        Self { group, remove, add, is_begun: false, has_changed: false }
    }
}

impl<S: Storage> Shard<S> {
    /// Executes a change that takes one turn.
    pub(in crate::shard) fn change_members(&mut self, now: Moment, mut change: MemberSelection) -> Answer {
        loop {
            if let Some(answer) = self.continue_change(now, &mut change) {
                return answer;
            }
        }
    }

    /// Executes one step of a change. `None`: another step is needed, in a turn in which the roster is merged.
    pub(in crate::shard) fn continue_change(&mut self, now: Moment, change: &mut MemberSelection) -> Option<Answer> {
        self.change_step(now, change).unwrap_or_else(|refused| Some(Answer::Refused(refused)))
    }

    fn change_step(&mut self, now: Moment, change: &mut MemberSelection) -> Result<Option<Answer>, Refused> {
        let group = self.group(&change.group).ok_or(Refusal::ConversationNotExist)?;
        let owner = group.owner.clone();
        if !std::mem::replace(&mut change.is_begun, true) {
            expect_consistent(&owner, change)?;
        }
        let MemberSelection { remove, add, .. } = change;
        let looked_up = remove.choose_some(LOOKED_UP_A_TURN_MAX, |user| group.members.contains(user));
        let added = add.choose_some(LOOKED_UP_A_TURN_MAX - looked_up, |user| !group.members.contains(user));
        self.state.rows_visited.count(looked_up + added);
        if !change.remove.left().is_empty() || !change.add.left().is_empty() {
            return Ok(None);
        }
        let (removed, group) = (change.remove.take(), change.group.clone());
        if !removed.is_empty() {
            change.has_changed = true;
            self.change_group(now, &group, owner, GroupChange::Removed { members: removed })?;
            return Ok(None);
        }
        let added = change.add.take();
        if !added.is_empty() {
            change.has_changed = true;
            self.change_group(now, &group, owner, GroupChange::Added { members: added })?;
        }
        Ok(Some(if change.has_changed { Answer::Done } else { Answer::Unchanged }))
    }
}

fn expect_consistent(owner: &UserId, MemberSelection { remove, add, .. }: &MemberSelection) -> Result<(), Refused> {
    let (remove, add) = (remove.left(), add.left());
    if add.len() > Order::MEMBERS_MAX || remove.len() > Order::MEMBERS_MAX {
        return Err(Refusal::InvalidParam.into());
    }
    if remove.binary_search(owner).is_ok() {
        return Err(Refused::invalid(OWNER_STAYS));
    }
    let mut added = add.iter().peekable();
    for user in remove {
        while added.next_if(|added| *added < user).is_some() {}
        if added.peek() == Some(&user) {
            return Err(Refused::invalid("a user is both added and removed"));
        }
    }
    Ok(())
}
