//! Groups over HTTP: requests to orders, states to JSON.

use crate::admin::api::Api;
use crate::admin::base::answer::{Answered, ChangeDone, done};
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::{self, Asked, InPath, NoBody, Posted};
use crate::model::{Answer, GroupId, GroupRequest, GroupState, JoinRequests, JoinVerdict, Millis, Order, Role, UserId};
use crate::server::event::profile::ShownGroupProfile;
use crate::server::event::schema::{IdSchema, MillisSchema, RoleSchema, SeqSchema, given};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

const MEMBERS_SHOWN_DEFAULT: usize = 100;
const MEMBERS_SHOWN_MAX: usize = 1_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("example" = json!({"id": "team", "owner": "alice", "members": ["bob", "carol"]})))]
pub struct NewGroup {
    #[schemars(with = "IdSchema")]
    id: String,
    #[schemars(with = "IdSchema")]
    owner: String,
    /// Beside the owner, who may be named too.
    #[serde(default)]
    #[schemars(with = "Vec<IdSchema>", length(max = Order::MEMBERS_MAX))]
    members: Vec<String>,
}

/// Nobody in both.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = some_listed(), "example" = json!({"add": ["dave"], "remove": ["bob"]})))]
pub struct MembersChange {
    #[serde(default)]
    #[schemars(with = "Vec<IdSchema>", length(max = Order::MEMBERS_MAX))]
    add: Vec<String>,
    #[serde(default)]
    #[schemars(with = "Vec<IdSchema>", length(max = Order::MEMBERS_MAX))]
    remove: Vec<String>,
}

/// One of the lists is not empty.
fn some_listed() -> [Value; 2] {
    ["add", "remove"].map(|list| json!({"required": [list], "properties": {list: {"minItems": 1}}}))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = given(&["role", "muted_until"]), "example" = json!({"role": "admin"})))]
pub struct MemberChange {
    #[schemars(with = "Option<RoleSchema>")]
    role: Option<String>,
    /// May not write before; 0: not muted.
    #[serde(default, deserialize_with = "intake::whole_or_none")]
    #[schemars(with = "Option<MillisSchema>")]
    muted_until: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MembersQuery {
    /// Only members after this one.
    #[schemars(with = "Option<IdSchema>")]
    after: Option<String>,
    #[schemars(range(min = 1, max = MEMBERS_SHOWN_MAX), extend("default" = MEMBERS_SHOWN_DEFAULT))]
    limit: Option<usize>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestsQuery {
    /// Only requests of users after this one.
    #[schemars(with = "Option<IdSchema>")]
    after: Option<String>,
    #[schemars(
        range(min = 1, max = GroupRequest::SHOWN_MEMBERS_MAX),
        extend("default" = GroupRequest::SHOWN_MEMBERS_DEFAULT)
    )]
    limit: Option<usize>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JoinAnswer")]
pub struct RequestAnswer {
    #[schemars(extend("enum" = JoinVerdict::ALL.map(JoinVerdict::name)))]
    answer: String,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "JoinRequests")]
pub struct ShownRequests<'a> {
    requests: Vec<ShownRequest<'a>>,
    /// The value of `after` for the next page; null on the last one.
    next: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "JoinRequest")]
struct ShownRequest<'a> {
    #[schemars(with = "IdSchema")]
    user: &'a str,
    /// When the user asked.
    #[schemars(with = "MillisSchema")]
    time: u64,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Created")]
pub struct CreatedGroup<'a> {
    #[schemars(with = "IdSchema")]
    id: &'a str,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Group")]
pub struct ShownGroup<'a> {
    #[schemars(with = "IdSchema")]
    id: &'a str,
    #[schemars(with = "IdSchema")]
    owner: &'a str,
    #[schemars(with = "MillisSchema")]
    created: u64,
    /// Of all members, the owner included.
    member_count: u64,
    /// The conversation's newest seq.
    #[schemars(with = "SeqSchema")]
    newest_seq: u64,
    #[serde(flatten)]
    profile: ShownGroupProfile<'a>,
    members: Vec<ShownMember<'a>>,
    /// The value of `after` for the next page; null on the last one.
    next: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Member")]
struct ShownMember<'a> {
    #[schemars(with = "IdSchema")]
    user: &'a str,
    #[schemars(with = "RoleSchema")]
    role: &'static str,
    #[schemars(with = "MillisSchema")]
    muted_until: u64,
}

pub async fn create(
    State(api): State<Arc<Api>>,
    Posted(NewGroup { id, owner, members }): Posted<NewGroup>,
) -> Result<Answered<CreatedGroup<'static>, 201>, ApiError> {
    let (group, owner) = (intake::group(&id)?, intake::user("owner", &owner)?);
    not_too_many("members", &members)?;
    let mut members = intake::users("members", &members)?;
    members.retain(|member| *member != owner);
    match api.orders.ask(Order::CreateGroup { group, owner, members }).await? {
        Answer::Done | Answer::Unchanged => Ok(Answered::of(&CreatedGroup { id: &id })),
        _ => Err(ApiError::Internal),
    }
}

/// After whom a page of users begins, and how many it has at the most.
fn page_of(
    (after, limit): (Option<String>, Option<usize>),
    default: usize,
    most: usize,
) -> Result<(Option<UserId>, usize), ApiError> {
    let after = after.map(|after| intake::user("after", &after)).transpose()?;
    let limit = limit.unwrap_or(default);
    if !(1..=most).contains(&limit) {
        return Err(ApiError::invalid(format!("limit must be from 1 to {most}")));
    }
    Ok((after, limit))
}

pub async fn show(
    State(api): State<Arc<Api>>,
    InPath(group): InPath<GroupId>,
    Asked(MembersQuery { after, limit }): Asked<MembersQuery>,
) -> Result<Answered<ShownGroup<'static>>, ApiError> {
    let (after, limit) = page_of((after, limit), MEMBERS_SHOWN_DEFAULT, MEMBERS_SHOWN_MAX)?;
    // One more than is shown, to know whether there is a next page.
    match api.orders.ask(Order::ShowGroup { group, after, limit: limit + 1 }).await? {
        Answer::Group(state) => Ok(Answered::of(&shown(&state, limit))),
        _ => Err(ApiError::Internal),
    }
}

fn shown(state: &GroupState, limit: usize) -> ShownGroup<'_> {
    let members = state.members.iter().take(limit).map(|member| ShownMember {
        user: member.user.as_str(),
        role: member.role.name(),
        muted_until: member.muted_until.0,
    });
    let members: Vec<_> = members.collect();
    let next = members.last().filter(|_last| state.members.len() > limit).map(|last| last.user);
    ShownGroup {
        id: state.id.as_str(),
        owner: state.owner.as_str(),
        created: state.created.0,
        member_count: state.member_count,
        newest_seq: state.newest_seq.0,
        profile: (&state.profile).into(),
        members,
        next,
    }
}

pub async fn change_members(
    State(api): State<Arc<Api>>,
    InPath(group): InPath<GroupId>,
    Posted(MembersChange { add, remove }): Posted<MembersChange>,
) -> Result<ChangeDone, ApiError> {
    not_too_many("add", &add)?;
    not_too_many("remove", &remove)?;
    let (add, remove) = (intake::users("add", &add)?, intake::users("remove", &remove)?);
    if add.is_empty() && remove.is_empty() {
        return Err(ApiError::invalid("add and remove are both empty"));
    }
    if add.iter().any(|user| remove.binary_search(user).is_ok()) {
        return Err(ApiError::invalid("a user is in both add and remove"));
    }
    done(&api.orders.ask(Order::ChangeMembers { group, add, remove }).await?)
}

pub async fn change_member(
    State(api): State<Arc<Api>>,
    InPath((group, member)): InPath<(GroupId, UserId)>,
    Posted(MemberChange { role, muted_until }): Posted<MemberChange>,
) -> Result<ChangeDone, ApiError> {
    if role.is_none() && muted_until.is_none() {
        return Err(ApiError::invalid("neither role nor muted_until is given"));
    }
    let named =
        |name: String| Role::named(&name).ok_or_else(|| ApiError::invalid("role must be member, admin or owner"));
    let role = role.map(named).transpose()?;
    let order = Order::ChangeMember { group, member, role, muted_until: muted_until.map(Millis) };
    done(&api.orders.ask(order).await?)
}

pub async fn dissolve(
    State(api): State<Arc<Api>>,
    InPath(group): InPath<GroupId>,
    _: NoBody,
) -> Result<ChangeDone, ApiError> {
    done(&api.orders.ask(Order::DissolveGroup { group }).await?)
}

pub async fn requests(
    State(api): State<Arc<Api>>,
    InPath(group): InPath<GroupId>,
    Asked(RequestsQuery { after, limit }): Asked<RequestsQuery>,
) -> Result<Answered<ShownRequests<'static>>, ApiError> {
    let (default, most) = (GroupRequest::SHOWN_MEMBERS_DEFAULT, GroupRequest::SHOWN_MEMBERS_MAX);
    let (after, limit) = page_of((after, limit), default, most)?;
    match api.orders.ask(Order::ShowRequests { group, after, limit }).await? {
        Answer::JoinRequests(page) => Ok(Answered::of(&shown_requests(&page))),
        _ => Err(ApiError::Internal),
    }
}

fn shown_requests(page: &JoinRequests) -> ShownRequests<'_> {
    let requests: Vec<_> =
        page.requests.iter().map(|it| ShownRequest { user: it.user.as_str(), time: it.time.0 }).collect();
    let next = requests.last().filter(|_last| page.has_more).map(|last| last.user);
    ShownRequests { requests, next }
}

pub async fn answer_request(
    State(api): State<Arc<Api>>,
    InPath((group, user)): InPath<(GroupId, UserId)>,
    Posted(RequestAnswer { answer }): Posted<RequestAnswer>,
) -> Result<ChangeDone, ApiError> {
    let verdict = JoinVerdict::named(&answer).ok_or_else(|| ApiError::invalid("answer must be approve or decline"))?;
    done(&api.orders.ask(Order::AnswerRequest { group, user, verdict }).await?)
}

fn not_too_many<T>(what: &str, users: &[T]) -> Result<(), ApiError> {
    if users.len() <= Order::MEMBERS_MAX {
        return Ok(());
    }
    Err(ApiError::invalid(format!("{what} names more than {} users: send them in parts", Order::MEMBERS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ConversationSeq, GroupId, GroupProfile, Member};

    #[test]
    fn a_page_says_where_the_next_one_begins_and_the_last_that_there_is_none() {
        let id = |text: &str| UserId::new(text).expect("well formed");
        let member = |user| Member { user: id(user), role: Role::Member, muted_until: Millis(0) };
        let state = GroupState {
            id: GroupId::new("team").expect("well formed"),
            owner: id("ann"),
            created: Millis(7),
            member_count: 3,
            members: ["ann", "ben", "cat"].map(member).to_vec(),
            newest_seq: ConversationSeq(4),
            profile: GroupProfile::default(),
        };
        let page = shown(&state, 2);
        assert_eq!((page.members.len(), page.next), (2, Some("ben")));
        let page = shown(&state, 3);
        assert_eq!((page.members.len(), page.next), (3, None));
    }
}
