//! Groups over HTTP: requests to orders, states to JSON.

use crate::admin::api::Api;
use crate::admin::base::answer::done;
use crate::admin::base::error::{ApiError, json};
use crate::admin::base::intake::{self, PathSegments};
use crate::model::{Answer, GroupRequest, GroupState, JoinRequests, JoinVerdict, Millis, Order, Role, UserId};
use crate::server::event::profile::ShownGroupProfile;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const MEMBERS_SHOWN_DEFAULT: usize = 100;
const MEMBERS_SHOWN_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    id: String,
    owner: String,
    #[serde(default)]
    members: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MembersChange {
    #[serde(default)]
    add: Vec<String>,
    #[serde(default)]
    remove: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberChange {
    role: Option<String>,
    muted_until: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestAnswer {
    answer: String,
}

#[derive(Serialize)]
struct ShownRequests<'a> {
    requests: Vec<ShownRequest<'a>>,
    /// The value of `after` for the next page; null on the last one.
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct ShownRequest<'a> {
    user: &'a str,
    time: u64,
}

#[derive(Serialize)]
struct Created<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct ShownGroup<'a> {
    id: &'a str,
    owner: &'a str,
    created: u64,
    member_count: u64,
    newest_seq: u64,
    #[serde(flatten)]
    profile: ShownGroupProfile<'a>,
    members: Vec<ShownMember<'a>>,
    /// The value of `after` for the next page; null on the last one.
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct ShownMember<'a> {
    user: &'a str,
    role: &'static str,
    muted_until: u64,
}

pub async fn create(State(api): State<Arc<Api>>, body: Body) -> Result<Response, ApiError> {
    let NewGroup { id, owner, members } = intake::json(&api, body).await?;
    let (group, owner) = (intake::group(&id)?, intake::user("owner", &owner)?);
    let mut members = intake::users("members", &members)?;
    members.retain(|member| *member != owner);
    not_too_many("members", &members)?;
    match api.orders.ask(Order::CreateGroup { group, owner, members }).await? {
        Answer::Done | Answer::Unchanged => Ok(json(StatusCode::CREATED, &Created { id: &id })),
        _ => Err(ApiError::Internal),
    }
}

/// After whom a page of users begins, and how many it has at the most.
fn page_of(
    page: Result<Query<PageQuery>, QueryRejection>,
    default: usize,
    most: usize,
) -> Result<(Option<UserId>, usize), ApiError> {
    let PageQuery { after, limit } = intake::query(page)?;
    let after = after.map(|after| intake::user("after", &after)).transpose()?;
    let limit = limit.unwrap_or(default);
    if !(1..=most).contains(&limit) {
        return Err(ApiError::invalid(format!("limit must be from 1 to {most}")));
    }
    Ok((after, limit))
}

pub async fn show(
    State(api): State<Arc<Api>>,
    path: PathSegments<String>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let group = intake::group(&intake::segments(path)?)?;
    let (after, limit) = page_of(page, MEMBERS_SHOWN_DEFAULT, MEMBERS_SHOWN_MAX)?;
    // One more than is shown, to know whether there is a next page.
    match api.orders.ask(Order::ShowGroup { group, after, limit: limit + 1 }).await? {
        Answer::Group(state) => Ok(json(StatusCode::OK, &shown(&state, limit))),
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
    path: PathSegments<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let group = intake::group(&intake::segments(path)?)?;
    let MembersChange { add, remove } = intake::json(&api, body).await?;
    let (add, remove) = (intake::users("add", &add)?, intake::users("remove", &remove)?);
    if add.is_empty() && remove.is_empty() {
        return Err(ApiError::invalid("add and remove are both empty"));
    }
    if add.iter().any(|user| remove.binary_search(user).is_ok()) {
        return Err(ApiError::invalid("a user is in both add and remove"));
    }
    not_too_many("add", &add)?;
    not_too_many("remove", &remove)?;
    done(&api.orders.ask(Order::ChangeMembers { group, add, remove }).await?)
}

pub async fn change_member(
    State(api): State<Arc<Api>>,
    path: PathSegments<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let (group, member) = intake::segments(path)?;
    let (group, member) = (intake::group(&group)?, intake::user("the user's id", &member)?);
    let MemberChange { role, muted_until } = intake::json(&api, body).await?;
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
    path: PathSegments<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let group = intake::group(&intake::segments(path)?)?;
    intake::nothing(&api, body).await?;
    done(&api.orders.ask(Order::DissolveGroup { group }).await?)
}

pub async fn requests(
    State(api): State<Arc<Api>>,
    path: PathSegments<String>,
    page: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let group = intake::group(&intake::segments(path)?)?;
    let (default, most) = (GroupRequest::SHOWN_MEMBERS_DEFAULT, GroupRequest::SHOWN_MEMBERS_MAX);
    let (after, limit) = page_of(page, default, most)?;
    match api.orders.ask(Order::ShowRequests { group, after, limit }).await? {
        Answer::JoinRequests(page) => Ok(json(StatusCode::OK, &shown_requests(&page))),
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
    path: PathSegments<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let (group, user) = intake::segments(path)?;
    let (group, user) = (intake::group(&group)?, intake::user("the user's id", &user)?);
    let RequestAnswer { answer } = intake::json(&api, body).await?;
    let verdict = JoinVerdict::named(&answer).ok_or_else(|| ApiError::invalid("answer must be approve or decline"))?;
    done(&api.orders.ask(Order::AnswerRequest { group, user, verdict }).await?)
}

fn not_too_many(what: &str, users: &[UserId]) -> Result<(), ApiError> {
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
