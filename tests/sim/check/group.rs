//! What a group is like, and who may do what to it: the table of docs/PROTOCOL.md 2.8 once more, from the documents and
//! not from the server.

use crate::world::operator::FOR_EVER;
use mushan::model::{Fact, GroupAct, GroupChange, JoinPolicy, JoinStep, JoinVerdict, Message, Refusal, Role, UserId};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub role: Role,
    pub is_muted: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub owner: String,
    pub members: BTreeMap<String, Standing>,
    pub name: String,
    pub join: JoinPolicy,
    /// Who has asked to join, and was not answered.
    pub requests: BTreeSet<String>,
}

/// What happens to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    Created { owner: String, members: BTreeSet<String> },
    Added(BTreeSet<String>),
    Removed(BTreeSet<String>),
    Changed(String, Standing),
    Profiled { name: String, join: JoinPolicy },
    Dissolved,
    Asked(String),
    Declined(String),
}

fn names<'a>(users: impl IntoIterator<Item = &'a UserId>) -> BTreeSet<String> {
    users.into_iter().map(UserId::to_string).collect()
}

impl Group {
    pub fn new(owner: &str, members: &BTreeSet<String>) -> Self {
        let mut all: BTreeMap<_, _> = members.iter().map(|user| (user.clone(), Standing::default())).collect();
        all.insert(owner.to_owned(), Standing { role: Role::Owner, is_muted: false });
        Self { owner: owner.to_owned(), members: all, ..Self::default() }
    }

    fn role_of(&self, user: &str) -> Option<Role> {
        self.members.get(user).map(|standing| standing.role)
    }

    /// Whether the user may write to it.
    pub fn may_write(&self, user: &str) -> bool {
        self.members.get(user).is_some_and(|standing| !standing.is_muted || standing.role != Role::Member)
    }
}

impl Deed {
    /// What an entry of a group's log says, and who has done it; `None` if it says something else.
    pub fn of(message: &Message) -> Option<(String, Self)> {
        let author = message.author.to_string();
        match message.fact.as_deref()? {
            Fact::Group(change) => Some((author, Self::of_change(change))),
            Fact::Joining { asker, step: JoinStep::Asked } => Some((author, Self::Asked(asker.to_string()))),
            Fact::Joining { asker, step: JoinStep::Declined { by } } => {
                Some((by.to_string(), Self::Declined(asker.to_string())))
            }
            Fact::Revoked { .. } | Fact::Read { .. } | Fact::Cleared { .. } => None,
        }
    }

    pub fn of_change(change: &GroupChange) -> Self {
        match change {
            GroupChange::Created { owner, members } => {
                Self::Created { owner: owner.to_string(), members: names(members) }
            }
            GroupChange::Added { members } => Self::Added(names(members)),
            GroupChange::Removed { members } => Self::Removed(names(members)),
            GroupChange::Changed { member, role, muted_until } => {
                Self::Changed(member.to_string(), Standing { role: *role, is_muted: *muted_until == FOR_EVER })
            }
            GroupChange::Dissolved => Self::Dissolved,
            GroupChange::Profiled(profile) => {
                Self::Profiled { name: profile.about.name.to_string(), join: profile.join }
            }
        }
    }

    /// What it makes of a group. Whoever is not in it cannot be changed: what let it in may be lost.
    pub fn apply(&self, group: &mut Option<Group>) {
        if let Self::Created { owner, members } = self {
            *group = Some(Group::new(owner, members));
        }
        if *self == Self::Dissolved {
            *group = None;
        }
        let Some(group) = group else { return };
        match self {
            Self::Created { .. } | Self::Dissolved => {}
            Self::Added(users) => users.iter().for_each(|user| {
                group.members.insert(user.clone(), Standing::default());
                group.requests.remove(user);
            }),
            Self::Removed(users) => group.members.retain(|user, _| !users.contains(user)),
            Self::Profiled { name, join } => (group.name, group.join) = (name.clone(), *join),
            Self::Asked(user) => drop(group.requests.insert(user.clone())),
            Self::Declined(user) => drop(group.requests.remove(user)),
            Self::Changed(user, standing) => {
                if !group.members.contains_key(user) {
                    return;
                }
                if standing.role == Role::Owner {
                    let before = std::mem::replace(&mut group.owner, user.clone());
                    if let Some(standing) = group.members.get_mut(&before) {
                        standing.role = Role::Admin;
                    }
                }
                group.members.insert(user.clone(), *standing);
            }
        }
    }

    /// What somebody would have asked for to bring this about.
    pub fn wish(&self, by: &str, before: &Group) -> GroupAct {
        let ids = |users: &BTreeSet<String>| users.iter().map(|user| UserId::new(user).unwrap()).collect();
        let id = |user: &String| UserId::new(user).unwrap();
        match self {
            Self::Added(users) if users.len() == 1 && users.contains(by) => GroupAct::Join,
            Self::Asked(_) => GroupAct::Join,
            Self::Created { members, .. } | Self::Added(members) => {
                GroupAct::ChangeMembers { add: ids(members), remove: Vec::new() }
            }
            Self::Removed(users) => GroupAct::ChangeMembers { add: Vec::new(), remove: ids(users) },
            Self::Changed(user, new) => {
                let now = before.members.get(user).copied().unwrap_or_default();
                GroupAct::ChangeMember {
                    member: id(user),
                    role: Some(new.role).filter(|role| *role != now.role),
                    muted_until: Some(until(new.is_muted)).filter(|_| new.is_muted != now.is_muted),
                }
            }
            Self::Profiled { name, join } => {
                let change = mushan::model::ProfileChange {
                    name: Some(name.as_str().into()),
                    join: Some(*join),
                    ..Default::default()
                };
                GroupAct::ChangeProfile(Box::new(change))
            }
            Self::Dissolved => GroupAct::Dissolve,
            Self::Declined(user) => GroupAct::AnswerRequest { user: id(user), verdict: JoinVerdict::Decline },
        }
    }
}

fn until(is_muted: bool) -> mushan::model::Millis {
    if is_muted { FOR_EVER } else { mushan::model::Millis(0) }
}

/// What comes of a request in groups of so many members at most: deeds, in their order, or why not. `by` is `None` where
/// the operator asks.
pub fn judge(group: Option<&Group>, by: Option<&str>, act: &GroupAct, most: usize) -> Result<Vec<Deed>, Refusal> {
    let deeds = judge_rights(group, by, act)?;
    let added = deeds.iter().map(|deed| if let Deed::Added(users) = deed { users.len() } else { 0 }).sum::<usize>();
    let removed = deeds.iter().map(|deed| if let Deed::Removed(users) = deed { users.len() } else { 0 }).sum::<usize>();
    let members = group.map_or(0, |group| group.members.len());
    if added > 0 && members + added > most + removed { Err(Refusal::GroupFull) } else { Ok(deeds) }
}

fn judge_rights(group: Option<&Group>, by: Option<&str>, act: &GroupAct) -> Result<Vec<Deed>, Refusal> {
    let group = group.ok_or(Refusal::ConversationNotExist)?;
    let role = by.map(|user| group.role_of(user));
    let expect = |least: Role| match role.is_none_or(|role| role >= Some(least)) {
        true => Ok(()),
        false => Err(Refusal::PermissionDenied),
    };
    match act {
        GroupAct::Show { .. } => expect(Role::Member).map(|()| Vec::new()),
        GroupAct::Requests { .. } => expect(Role::Admin).map(|()| Vec::new()),
        GroupAct::ChangeMembers { add, remove } => judge_members(group, by, &names(add), &names(remove)),
        GroupAct::ChangeMember { member, role: new_role, muted_until } => {
            expect(Role::Member)?;
            let user = member.to_string();
            let now = *group.members.get(&user).ok_or(Refusal::UserNotExist)?;
            if let Some(new_role) = new_role {
                expect(Role::Owner)?;
                if now.role == Role::Owner && *new_role != Role::Owner {
                    return Err(Refusal::InvalidParam);
                }
            }
            if muted_until.is_some() {
                expect(if now.role == Role::Member { Role::Admin } else { Role::Owner })?;
            }
            let is_muted = muted_until.map_or(now.is_muted, |until| until == FOR_EVER);
            let new = Standing { role: new_role.unwrap_or(now.role), is_muted };
            Ok(if new == now { Vec::new() } else { vec![Deed::Changed(user, new)] })
        }
        GroupAct::ChangeProfile(change) => {
            expect(Role::Admin)?;
            let name = change.name.as_ref().map_or(group.name.clone(), ToString::to_string);
            let join = change.join.unwrap_or(group.join);
            let is_same = (&name, join) == (&group.name, group.join);
            Ok(if is_same { Vec::new() } else { vec![Deed::Profiled { name, join }] })
        }
        GroupAct::Dissolve => expect(Role::Owner).map(|()| vec![Deed::Dissolved]),
        GroupAct::Join => {
            let Some((user, None)) = by.zip(role) else { return Ok(Vec::new()) };
            match group.join {
                JoinPolicy::Closed => Err(Refusal::PermissionDenied),
                JoinPolicy::Request if group.requests.contains(user) => Ok(Vec::new()),
                JoinPolicy::Request => Ok(vec![Deed::Asked(user.to_owned())]),
                JoinPolicy::Open => Ok(vec![Deed::Added([user.to_owned()].into())]),
            }
        }
        GroupAct::AnswerRequest { user, verdict } => {
            expect(Role::Admin)?;
            let user = user.to_string();
            match (group.requests.contains(&user), verdict) {
                (true, JoinVerdict::Approve) => Ok(vec![Deed::Added([user].into())]),
                (true, JoinVerdict::Decline) => Ok(vec![Deed::Declined(user)]),
                (false, JoinVerdict::Approve) if group.members.contains_key(&user) => Ok(Vec::new()),
                (false, _) => Err(Refusal::UserNotExist),
            }
        }
    }
}

fn judge_members(
    group: &Group,
    by: Option<&str>,
    add: &BTreeSet<String>,
    remove: &BTreeSet<String>,
) -> Result<Vec<Deed>, Refusal> {
    if !add.is_disjoint(remove) {
        return Err(Refusal::InvalidParam);
    }
    let role = by.map(|user| group.role_of(user));
    let expect = |least: Role| match role.is_none_or(|role| role >= Some(least)) {
        true => Ok(()),
        false => Err(Refusal::PermissionDenied),
    };
    expect(Role::Member)?;
    if !add.is_empty() {
        if by.is_some_and(|by| remove.contains(by)) {
            return Err(Refusal::InvalidParam);
        }
        expect(Role::Admin)?;
    }
    for user in remove {
        match group.role_of(user).unwrap_or_default() {
            // Who owns a group cannot leave it; the operator cannot remove it either.
            Role::Owner if by.is_none_or(|by| by == user) => return Err(Refusal::InvalidParam),
            _ if by == Some(user) => {}
            Role::Member => expect(Role::Admin)?,
            Role::Admin | Role::Owner => expect(Role::Owner)?,
        }
    }
    let removed: BTreeSet<String> = remove.iter().filter(|user| group.members.contains_key(*user)).cloned().collect();
    let added: BTreeSet<String> = add.iter().filter(|user| !group.members.contains_key(*user)).cloned().collect();
    let deeds = [Deed::Removed(removed), Deed::Added(added)];
    Ok(deeds.into_iter().filter(|deed| !matches!(deed, Deed::Removed(it) | Deed::Added(it) if it.is_empty())).collect())
}
