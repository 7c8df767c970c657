//! What a client asks of groups, in both protocols, and what it is told of them.

use crate::chance::Chance;
use crate::check::group::{Group, Standing};
use crate::check::group_book::Asked;
use crate::check::hidden::When;
use crate::check::ledger::Ledger;
use crate::client::json::text;
use crate::client::speech::{Ask, No, Told};
use crate::client::verbs::Scene;
use crate::client::{Client, Expectation};
use crate::world::operator::FOR_EVER;
use mushan::model::{
    GroupAct, GroupState, JoinPolicy, JoinVerdict, Member, Millis, Order, ProfileChange, Refusal, Role, UserId,
};
use mushan::wire::proto;
use prost::Message as _;
use serde_json::{Value, json};

/// Whoever removes only itself has a word of its own for it.
fn leaves(user: &str, act: &GroupAct) -> bool {
    matches!(act, GroupAct::ChangeMembers { add, remove } if add.is_empty() && *remove == [id(user)])
}

fn id(user: &str) -> UserId {
    UserId::new(user).unwrap()
}

fn texts(users: &[UserId]) -> Vec<String> {
    users.iter().map(UserId::to_string).collect()
}

pub fn method(user: &str, group: &str, act: &GroupAct) -> (&'static str, Value) {
    match act {
        GroupAct::Show { .. } => ("groupInfo", json!({"groupId": group})),
        GroupAct::ChangeMembers { .. } if leaves(user, act) => ("leaveGroup", json!({"groupId": group})),
        GroupAct::ChangeMembers { add, remove } => {
            ("groupMembers", json!({"groupId": group, "add": texts(add), "remove": texts(remove)}))
        }
        GroupAct::ChangeMember { member, role, muted_until } => {
            let mut params = json!({"groupId": group, "userId": member.as_str()});
            if let Some(role) = role {
                params["role"] = json!(role.name());
            }
            if let Some(until) = muted_until {
                params["mutedUntil"] = json!(until.0);
            }
            ("groupMember", params)
        }
        GroupAct::ChangeProfile(change) => {
            let mut params = json!({"groupId": group});
            if let Some(name) = &change.name {
                params["name"] = json!(name.as_str());
            }
            if let Some(join) = change.join {
                params["join"] = json!(join.name());
            }
            ("groupProfile", params)
        }
        GroupAct::Dissolve => ("dissolveGroup", json!({"groupId": group})),
        GroupAct::Join => ("joinGroup", json!({"groupId": group})),
        GroupAct::Requests { .. } => ("groupRequests", json!({"groupId": group})),
        GroupAct::AnswerRequest { user, verdict } => {
            ("groupAnswer", json!({"groupId": group, "userId": user.as_str(), "answer": verdict.name()}))
        }
    }
}

pub fn request(user: &str, group: String, act: GroupAct) -> (i32, Vec<u8>) {
    let plain = |group_id| proto::GroupRequest { group_id }.encode_to_vec();
    match act {
        GroupAct::Show { .. } => {
            (720, proto::GroupInfoRequest { group_id: group, ..Default::default() }.encode_to_vec())
        }
        GroupAct::ChangeMembers { .. } if leaves(user, &act) => (728, plain(group)),
        GroupAct::ChangeMembers { add, remove } => {
            let (add, remove) = (texts(&add), texts(&remove));
            (722, proto::GroupMembersRequest { group_id: group, add, remove }.encode_to_vec())
        }
        GroupAct::ChangeMember { member, role, muted_until } => {
            let request = proto::GroupMemberRequest {
                group_id: group,
                user_id: member.to_string(),
                role: role.map(|role| role.name().to_owned()),
                muted_until: muted_until.map(|until| until.0 as i64),
            };
            (724, request.encode_to_vec())
        }
        GroupAct::ChangeProfile(change) => {
            let request = proto::GroupProfileRequest {
                group_id: group,
                name: change.name.map(|name| name.to_string()),
                join: change.join.map(|join| join.name().to_owned()),
                ..Default::default()
            };
            (726, request.encode_to_vec())
        }
        GroupAct::Dissolve => (732, plain(group)),
        GroupAct::Join => (730, plain(group)),
        GroupAct::Requests { .. } => {
            (740, proto::GroupRequestsRequest { group_id: group, ..Default::default() }.encode_to_vec())
        }
        GroupAct::AnswerRequest { user, verdict } => {
            let (user_id, answer) = (user.to_string(), verdict.name().to_owned());
            (742, proto::GroupAnswerRequest { group_id: group, user_id, answer }.encode_to_vec())
        }
    }
}

fn told(owner: String, name: String, join: &str, members: impl Iterator<Item = (String, String, u64)>) -> Told {
    let join = JoinPolicy::named(join).expect("a policy");
    let standing = |(user, role, muted_until): (String, String, u64)| {
        (user, Standing { role: Role::named(&role).expect("a role"), is_muted: muted_until == FOR_EVER.0 })
    };
    let members = members.map(standing).collect();
    Told::Group(Box::new(Group { owner, members, name, join, ..Group::default() }))
}

pub fn told_in_json(group: &Value) -> Told {
    let members = group["members"].as_array().expect("members").iter();
    let member = |it: &Value| (text(it, "userId"), text(it, "role"), it["mutedUntil"].as_u64().expect("a time"));
    told(text(group, "owner"), text(group, "name"), &text(group, "join"), members.map(member))
}

pub fn told_in_binary(group: &proto::GroupInfoResponse) -> Told {
    if group.error_code != 0 {
        return Told::Done;
    }
    let members = group.members.iter().map(|it| (it.user_id.clone(), it.role.clone(), it.muted_until as u64));
    let name = group.profile.as_ref().map(|profile| profile.name.clone()).unwrap_or_default();
    told(group.owner_id.clone(), name, &group.join, members)
}

/// What an order about a group that is there asks for.
pub fn act_of(order: &Order) -> GroupAct {
    match order.clone() {
        Order::ChangeMembers { add, remove, .. } => GroupAct::ChangeMembers { add, remove },
        Order::ChangeMember { member, role, muted_until, .. } => GroupAct::ChangeMember { member, role, muted_until },
        Order::ChangeProfile { change, .. } => GroupAct::ChangeProfile(change),
        Order::DissolveGroup { .. } => GroupAct::Dissolve,
        Order::ShowRequests { after, limit, .. } => GroupAct::Requests { after, limit },
        Order::AnswerRequest { user, verdict, .. } => GroupAct::AnswerRequest { user, verdict },
        Order::ShowGroup { after, limit, .. } => GroupAct::Show { after, limit },
        order => unreachable!("it is not about a group that is there: {order:?}"),
    }
}

pub fn shown_to_operator(state: &GroupState) -> Group {
    let standing =
        |it: &Member| (it.user.to_string(), Standing { role: it.role, is_muted: it.muted_until == FOR_EVER });
    Group {
        owner: state.owner.to_string(),
        members: state.members.iter().map(standing).collect(),
        name: state.profile.about.name.to_string(),
        join: state.profile.join,
        ..Group::default()
    }
}

/// Something that somebody may want of a group.
pub fn wish(me: &str, users: &[String], chance: &mut Chance) -> GroupAct {
    let some = |chance: &mut Chance| -> Vec<UserId> {
        let one = chance.below(users.len());
        let is_meant = |at: usize, chance: &mut Chance| at == one || chance.one_in(3);
        users.iter().enumerate().filter(|(at, _)| is_meant(*at, chance)).map(|(_, user)| id(user)).collect()
    };
    match chance.below(24) {
        0..3 => GroupAct::ChangeMembers { add: some(chance), remove: Vec::new() },
        3..5 => GroupAct::ChangeMembers { add: Vec::new(), remove: some(chance) },
        5 => GroupAct::ChangeMembers { add: some(chance), remove: vec![id(chance.pick::<String>(users))] },
        6..8 => GroupAct::ChangeMembers { add: Vec::new(), remove: vec![id(me)] },
        8..13 => GroupAct::Join,
        13..16 => {
            let role = *chance.pick(&[None, None, Some(Role::Admin), Some(Role::Member), Some(Role::Owner)]);
            let muted_until = *chance.pick(&[None, Some(Millis(0)), Some(FOR_EVER)]);
            let muted_until = muted_until.or(role.is_none().then_some(FOR_EVER));
            GroupAct::ChangeMember { member: id(chance.pick::<String>(users)), role, muted_until }
        }
        16..19 => {
            let name = chance.one_in(2).then(|| format!("name-{}", chance.below(3)).into());
            let join = *chance.pick(&[JoinPolicy::Open, JoinPolicy::Request, JoinPolicy::Request, JoinPolicy::Closed]);
            GroupAct::ChangeProfile(Box::new(ProfileChange { name, join: Some(join), ..Default::default() }))
        }
        19..22 => {
            let verdict = *chance.pick(&[JoinVerdict::Approve, JoinVerdict::Approve, JoinVerdict::Decline]);
            GroupAct::AnswerRequest { user: id(chance.pick::<String>(users)), verdict }
        }
        22 if chance.one_in(6) => GroupAct::Dissolve,
        22 => GroupAct::Requests { after: None, limit: 100 },
        _ => GroupAct::Show { after: None, limit: 100 },
    }
}

/// The same where most is about who may join: requests, repeated and answered, and members who come back.
fn wish_of_joining(me: &str, users: &[String], chance: &mut Chance) -> GroupAct {
    let one = |chance: &mut Chance| id(chance.pick::<String>(users));
    match chance.below(12) {
        0..5 => GroupAct::Join,
        5..7 => GroupAct::AnswerRequest { user: one(chance), verdict: *chance.pick(&JoinVerdict::ALL) },
        7 => GroupAct::Requests { after: None, limit: 100 },
        8 => {
            let join = Some(JoinPolicy::Request);
            GroupAct::ChangeProfile(Box::new(ProfileChange { join, ..Default::default() }))
        }
        9 => GroupAct::ChangeMembers { add: vec![one(chance)], remove: Vec::new() },
        10 => GroupAct::ChangeMembers { add: Vec::new(), remove: vec![one(chance)] },
        _ => GroupAct::ChangeMembers { add: Vec::new(), remove: vec![id(me)] },
    }
}

impl Client {
    pub fn ask_of_group(&mut self, scene: &Scene<'_>, ledger: &Ledger, chance: &mut Chance) -> Vec<u8> {
        if scene.groups.is_empty() {
            return Vec::new();
        }
        let is_of_joining = ledger.is_about_joining && !chance.one_in(4);
        let wish = if is_of_joining { wish_of_joining } else { wish };
        let (group, act) = (chance.pick(scene.groups).clone(), wish(&self.user, scene.users, chance));
        let ask = Ask::Group { group: group.clone(), act: act.clone() };
        self.ask(&ask, Expectation::Group { group, act }, chance)
    }

    pub fn told_of_group(&self, (group, act): (&str, &GroupAct), since: When, told: Told, ledger: &mut Ledger) {
        let asked = Asked { group, by: Some(&self.user), act, since: since.step };
        let refusal = match told {
            Told::Done => {
                ledger.count("groups changed by users");
                return ledger.groups.check_done(asked);
            }
            Told::Group(shown) => return ledger.groups.check_shown(asked, *shown),
            Told::Requests(users) => return ledger.groups.check_requests(asked, &users),
            Told::Refused(No::Trouble | No::Busy) => return ledger.count("groups that users could not change now"),
            Told::Refused(No::NotAllowed) => Refusal::PermissionDenied,
            Told::Refused(No::UnknownConversation) => Refusal::ConversationNotExist,
            Told::Refused(No::UnknownUser) => Refusal::UserNotExist,
            Told::Refused(No::Invalid) => Refusal::InvalidParam,
            told => panic!("{asked:?} was answered by {told:?}"),
        };
        ledger.groups.check_refused(asked, refusal);
        ledger.count("groups that users may not change");
    }
}
