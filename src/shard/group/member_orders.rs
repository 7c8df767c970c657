//! Orders that add and remove thousands of members. The members are looked up in the roster in parts, then logged as
//! one change of the group, which the roster merges in parts.
//!
//! Invariant: if the log has no room for both halves, the first one stays, and a repetition does the rest.

use crate::log::Storage;
use crate::model::{Answer, GroupChange, GroupId, Moment, Order, Refusal, Refused, Role, UserId};
use crate::shard::Shard;
use crate::shard::core::waiting_orders::{MemberSelection, OrderTask, Selection};
use crate::shard::group::changes::{GroupEdit, refused_order};
use crate::shard::group::rights::{Actor, GroupDeed, expect_right};
use crate::shard::rows::groups::Group;
use crate::shard::write::commit::Hindrance;

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
        | Order::ChangeProfile { .. }
        | Order::DissolveGroup { .. }
        | Order::ShowRequests { .. }
        | Order::AnswerRequest { .. }
        | Order::ShowGroup { .. } => true,
        Order::Block { .. }
        | Order::KnowUser { .. }
        | Order::ShowUser { .. }
        | Order::SetProfile { .. }
        | Order::ShowProfile { .. }
        | Order::RegisterDevice { .. }
        | Order::UnregisterDevice { .. }
        | Order::ShowDevices { .. }
        | Order::SetAccount { .. }
        | Order::RevokeTokens { .. }
        | Order::Send { .. }
        | Order::ShowInbox { .. }
        | Order::ShowConversations { .. }
        | Order::ShowHistory { .. }
        | Order::ShowSessions { .. }
        | Order::ListSessions { .. }
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
    /// What the operator orders.
    pub fn new(group: GroupId, add: Vec<UserId>, remove: Vec<UserId>) -> Self {
        Self::by(None, group, add, remove)
    }

    /// What the user wants; `None`: the operator.
    pub fn by(by: Option<UserId>, group: GroupId, add: Vec<UserId>, remove: Vec<UserId>) -> Self {
        let [remove, add] = [remove, add].map(|users| Selection::new(in_order(users)));
        Self { group, by, remove, add, is_begun: false, has_changed: false }
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
        self.change_step(now, change).unwrap_or_else(|hindrance| Some(Answer::Refused(refused_order(hindrance))))
    }

    /// Whether the change is one, and whoever wants it may make it.
    pub(in crate::shard) fn may_begin(&self, change: &MemberSelection) -> Result<(), Refused> {
        let group = self.group(&change.group).ok_or(Refusal::ConversationNotExist)?;
        expect_consistent(change)?;
        expect_rights(group, change)
    }

    /// The same, where the caller may wait for what hinders it.
    pub(in crate::shard) fn change_step(
        &mut self,
        now: Moment,
        change: &mut MemberSelection,
    ) -> Result<Option<Answer>, Hindrance> {
        if !std::mem::replace(&mut change.is_begun, true) {
            self.may_begin(change)?;
        }
        let group = self.group(&change.group).ok_or(Refusal::ConversationNotExist)?;
        let (_, author) = group.actor(change.by.as_ref());
        let MemberSelection { remove, add, .. } = change;
        let looked_up = remove.choose_some(LOOKED_UP_A_TURN_MAX, |user| group.members.contains(user));
        let added = add.choose_some(LOOKED_UP_A_TURN_MAX - looked_up, |user| !group.members.contains(user));
        self.state.rows_visited.count(looked_up + added);
        if !change.remove.left().is_empty() || !change.add.left().is_empty() {
            return Ok(None);
        }
        let after = (group.members.len() + change.add.chosen()).saturating_sub(change.remove.chosen());
        if change.add.chosen() > 0 && after > self.settings.limits.group_members_max {
            return Err(Refusal::GroupFull.into());
        }
        let (removed, (group, by)) = (change.remove.take(), (change.group.clone(), change.by.clone()));
        let whose = GroupEdit { group: &group, by: by.as_ref() };
        if !removed.is_empty() {
            change.has_changed = true;
            self.commit_change(now, whose, author, GroupChange::Removed { members: removed })?;
            return Ok(None);
        }
        let added = change.add.take();
        if !added.is_empty() {
            change.has_changed = true;
            self.commit_change(now, whose, author, GroupChange::Added { members: added })?;
        }
        Ok(Some(if change.has_changed { Answer::Done } else { Answer::Unchanged }))
    }
}

fn expect_consistent(MemberSelection { remove, add, .. }: &MemberSelection) -> Result<(), Refused> {
    let (remove, add) = (remove.left(), add.left());
    if add.len() > Order::MEMBERS_MAX || remove.len() > Order::MEMBERS_MAX {
        return Err(Refusal::InvalidParam.into());
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

/// Whether the actor may add and remove these users. The operator may remove everybody but the owner; the few users that
/// a member names are looked up.
fn expect_rights(group: &Group, change: &MemberSelection) -> Result<(), Refused> {
    let (actor, author) = group.actor(change.by.as_ref());
    let remove = change.remove.left();
    expect_right(actor, GroupDeed::Show)?;
    if !change.add.left().is_empty() && change.by.as_ref().is_some_and(|by| remove.binary_search(by).is_ok()) {
        return Err(Refused::invalid("who leaves a group adds nobody to it"));
    }
    if !change.add.left().is_empty() {
        expect_right(actor, GroupDeed::Add)?;
    }
    if actor == Actor::Operator {
        let has_owner = remove.binary_search(&group.owner).is_ok();
        return if has_owner { expect_right(actor, GroupDeed::Remove(Role::Owner)) } else { Ok(()) };
    }
    remove.iter().try_for_each(|user| {
        let role = group.members.get(user).map(|standing| standing.role).unwrap_or_default();
        expect_right(actor, if *user == author { GroupDeed::Leave(role) } else { GroupDeed::Remove(role) })
    })
}
