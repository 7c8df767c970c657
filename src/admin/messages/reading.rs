//! Inboxes, histories, conversations, users and groups over HTTP, page by page; cursors of lists go from shard to shard.

use crate::admin::api::Api;
use crate::admin::base::answer::page;
use crate::admin::base::error::{ApiError, json};
use crate::admin::base::intake::{self, PathSegments};
use crate::model::{
    Answer, Conversation, ConversationRow, ConversationSeq, Conversations, Entry, Fact, HistoryDirection, Listed,
    Message, Order, PresenceState, Reply, Seq, ShardId, Sync, SyncDirection, UserId,
};
use crate::server::event::fact::ShownFact;
use crate::server::event::message::ShownMessage;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as value};
use std::sync::Arc;

type Asked<T> = Result<Query<T>, QueryRejection>;

pub async fn inbox(
    State(api): State<Arc<Api>>,
    path: PathSegments<String>,
    query: Asked<SeqRange>,
) -> Result<Response, ApiError> {
    let user = intake::user("the user's id", &intake::segments(path)?)?;
    let SeqRange { after, before, limit } = intake::query(query)?.checked()?;
    let limit = page_limit(limit, PAGE_MAX)?;
    let direction = match (after, before) {
        (None, Some(seq)) => SyncDirection::Before(Seq(seq)),
        (after, _) => SyncDirection::After(Seq(after.unwrap_or_default())),
    };
    let order = Order::ShowInbox { user: user.clone(), sync: Sync { direction, limit } };
    let Reply::Synced { entries, server_max_seq, has_more } = page(api.orders.ask(order).await?)? else {
        return Err(ApiError::Internal);
    };
    let edge = match direction {
        SyncDirection::After(_) => entries.last(),
        SyncDirection::Before(_) => entries.first(),
    };
    let next = edge.filter(|_| has_more).map(|edge| edge.seq.0);
    let entries = entries.iter().map(|entry| ShownEntry::of_inbox(entry, &user)).collect();
    Ok(json(StatusCode::OK, &ShownInbox { entries, newest_seq: server_max_seq.0, next }))
}

pub async fn conversations(
    State(api): State<Arc<Api>>,
    path: PathSegments<String>,
    query: Asked<SeqRange>,
) -> Result<Response, ApiError> {
    let user = intake::user("the user's id", &intake::segments(path)?)?;
    let SeqRange { after, before, limit } = intake::query(query)?.checked()?;
    if before.is_some() {
        return Err(ApiError::invalid("this list goes one way: say after"));
    }
    let limit = page_limit(limit, Conversations::LIMIT_MAX)?;
    let list = Conversations { before: Seq(after.unwrap_or_default()), limit };
    let order = Order::ShowConversations { user: user.clone(), list };
    let Reply::Conversations { rows, has_more } = page(api.orders.ask(order).await?)? else {
        return Err(ApiError::Internal);
    };
    let next = rows.last().filter(|_| has_more).map(|last| last.last_seq.0);
    let conversations = rows.iter().map(|row| ShownConversationRow::of(row, &user)).collect();
    Ok(json(StatusCode::OK, &ShownConversations { conversations, next }))
}

pub async fn pair_history(
    State(api): State<Arc<Api>>,
    path: PathSegments<(String, String)>,
    query: Asked<SeqRange>,
) -> Result<Response, ApiError> {
    let (user, other) = intake::segments(path)?;
    let (user, other) = (intake::user("the user's id", &user)?, intake::user("the other user's id", &other)?);
    history(&api, Conversation::pair(user, other), query).await
}

pub async fn group_history(
    State(api): State<Arc<Api>>,
    path: PathSegments<String>,
    query: Asked<SeqRange>,
) -> Result<Response, ApiError> {
    let group = intake::group(&intake::segments(path)?)?;
    history(&api, Conversation::Group(group), query).await
}

async fn history(api: &Api, conversation: Conversation, query: Asked<SeqRange>) -> Result<Response, ApiError> {
    let SeqRange { after, before, limit } = intake::query(query)?.checked()?;
    let limit = page_limit(limit, PAGE_MAX)?;
    let direction = match (after, before) {
        (Some(seq), _) => HistoryDirection::After(ConversationSeq(seq)),
        (None, before) => HistoryDirection::Before(ConversationSeq(before.unwrap_or_default())),
    };
    let order = Order::ShowHistory { conversation, direction, limit };
    let Reply::History { messages, reached, newest_seq, has_more } = page(api.orders.ask(order).await?)? else {
        return Err(ApiError::Internal);
    };
    let messages = messages.iter().map(ShownEntry::of_history).collect();
    let next = has_more.then_some(reached.0);
    Ok(json(StatusCode::OK, &ShownHistory { messages, newest_seq: newest_seq.0, next }))
}

/// A list of rows that every shard has some of: the order that asks one shard, its answer, and a row's JSON.
struct RowList<T> {
    name: &'static str,
    order: fn(ShardId, u32, usize) -> Order,
    rows: fn(Answer) -> Option<Listed<T>>,
    shown: fn(&T) -> Value,
}

pub async fn list_users(State(api): State<Arc<Api>>, query: Asked<ListRange>) -> Result<Response, ApiError> {
    let list = RowList {
        name: "users",
        order: |shard, from, limit| Order::ListUsers { shard, from, limit },
        rows: |answer| if let Answer::Users(listed) = answer { Some(listed) } else { None },
        shown: |user| {
            value!({
                "id": user.id.as_str(),
                "known": user.is_known,
                "online": user.is_online,
                "newest_seq": user.newest_seq.0,
                "last_seen": user.last_seen.0,
            })
        },
    };
    list.page(&api, query).await
}

pub async fn list_groups(State(api): State<Arc<Api>>, query: Asked<ListRange>) -> Result<Response, ApiError> {
    let list = RowList {
        name: "groups",
        order: |shard, from, limit| Order::ListGroups { shard, from, limit },
        rows: |answer| if let Answer::Groups(listed) = answer { Some(listed) } else { None },
        shown: |group| {
            value!({
                "id": group.id.as_str(),
                "owner": group.owner.as_str(),
                "created": group.created.0,
                "member_count": group.member_count,
            })
        },
    };
    list.page(&api, query).await
}

impl<T> RowList<T> {
    async fn page(&self, api: &Api, query: Asked<ListRange>) -> Result<Response, ApiError> {
        let ListRange { after, limit } = intake::query(query)?;
        let limit = page_limit(limit, PAGE_MAX)? as usize;
        let (rows, next) = self.collect(api, RowPlace::read(api, after.as_deref())?, limit).await?;
        let rows: Vec<Value> = rows.iter().map(self.shown).collect();
        let body = value!({self.name: rows, "next": next.map(|place| place.written(api))});
        Ok(json(StatusCode::OK, &body))
    }

    /// Rows of all shards, from a place on.
    async fn collect(
        &self,
        api: &Api,
        mut place: RowPlace,
        limit: usize,
    ) -> Result<(Vec<T>, Option<RowPlace>), ApiError> {
        let mut rows = Vec::new();
        for _order in 0..ORDERS_PER_PAGE_MAX {
            let order = (self.order)(ShardId(place.shard), place.row, limit - rows.len());
            let listed = (self.rows)(api.orders.ask(order).await?).ok_or(ApiError::Internal)?;
            rows.extend(listed.rows);
            place = match listed.next {
                Some(row) => RowPlace { row, ..place },
                None => RowPlace { shard: place.shard + 1, row: 0 },
            };
            if place.shard >= api.orders.lanes.shards() {
                return Ok((rows, None));
            }
            if rows.len() >= limit {
                break;
            }
        }
        Ok((rows, Some(place)))
    }
}

const PAGE_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 1_000;
/// Orders for one page of a list: where few rows are what is listed, a page is not full.
const ORDERS_PER_PAGE_MAX: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRange {
    after: Option<String>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeqRange {
    after: Option<u64>,
    before: Option<u64>,
    limit: Option<u32>,
}

impl SeqRange {
    /// At most one of both, each a number that a signed integer of 64 bits holds.
    fn checked(self) -> Result<Self, ApiError> {
        if self.after.is_some() && self.before.is_some() {
            return Err(ApiError::invalid("after and before are both given"));
        }
        if self.after.max(self.before).is_some_and(|seq| i64::try_from(seq).is_err()) {
            return Err(ApiError::invalid("after or before is no seq"));
        }
        Ok(self)
    }
}

/// A limit of 1 to `max`.
fn page_limit(limit: Option<u32>, max: u32) -> Result<u32, ApiError> {
    let limit = limit.unwrap_or(PAGE_DEFAULT.min(max));
    if (1..=max).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::invalid(format!("limit is not within 1 to {max}")))
    }
}

/// A place in the rows of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RowPlace {
    shard: u16,
    row: u32,
}

impl RowPlace {
    /// Rows keep their numbers during one run of the server, which the cursor names.
    fn written(self, api: &Api) -> String {
        format!("{}.{}.{}", api.began.0, self.shard, self.row)
    }

    /// Where a list begins, or goes on.
    fn read(api: &Api, cursor: Option<&str>) -> Result<Self, ApiError> {
        let Some(cursor) = cursor else { return Ok(Self { shard: 0, row: 0 }) };
        let mut parts = cursor.splitn(3, '.');
        let run = parts.next().and_then(|part| part.parse::<u64>().ok());
        let shard = parts.next().and_then(|part| part.parse().ok());
        let row = parts.next().and_then(|part| part.parse().ok());
        let (Some(run), Some(shard), Some(row)) = (run, shard, row) else {
            return Err(ApiError::invalid("after is not the `next` of another page"));
        };
        let is_of_this_run = run == api.began.0 && shard < api.orders.lanes.shards();
        if is_of_this_run { Ok(Self { shard, row }) } else { Err(ApiError::ListCursorExpired) }
    }
}

/// An entry of an inbox or a history.
#[derive(Serialize)]
pub struct ShownEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<ViewedConversation<'a>>,
    #[serde(flatten)]
    what: EntryBody<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum EntryBody<'a> {
    Message(ShownMessage<'a>),
    Fact(ShownFactEntry<'a>),
}

/// A fact, with the names of the event stream.
#[derive(Serialize)]
struct ShownFactEntry<'a> {
    entry_id: String,
    event: &'static str,
    by: &'a str,
    server_time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_seq: Option<u64>,
    #[serde(flatten)]
    fact: ShownFact<'a>,
}

/// A conversation as one of its users names it.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum ViewedConversation<'a> {
    User(&'a str),
    Group(&'a str),
}

/// Members that an entry names; a change may have thousands.
const MEMBERS_NAMED_MAX: usize = 50;

impl<'a> ShownEntry<'a> {
    fn of_history(entry: &'a Entry) -> Self {
        Self { seq: None, conversation: None, what: EntryBody::of(&entry.message) }
    }

    pub fn of_inbox(entry: &'a Entry, viewer: &UserId) -> Self {
        let conversation = Some(ViewedConversation::of(&entry.message.conversation, viewer));
        Self { seq: Some(entry.seq.0), conversation, ..Self::of_history(entry) }
    }
}

impl<'a> EntryBody<'a> {
    fn of(message: &'a Message) -> Self {
        let Some(fact) = message.fact.as_deref() else { return Self::Message(ShownMessage::of(message)) };
        let shown = ShownFact::of(fact, MEMBERS_NAMED_MAX);
        let is_of_group = matches!(fact, Fact::Group(_));
        Self::Fact(ShownFactEntry {
            entry_id: message.id.to_string(),
            event: shown.kind,
            by: message.author.as_str(),
            server_time: message.server_time.0,
            conversation_seq: is_of_group.then_some(message.conversation_seq.0),
            fact: shown,
        })
    }
}

impl<'a> ViewedConversation<'a> {
    fn of(conversation: &'a Conversation, viewer: &UserId) -> Self {
        match conversation {
            Conversation::Pair(a, b) => Self::User(if a == viewer { b.as_str() } else { a.as_str() }),
            Conversation::Group(group) => Self::Group(group.as_str()),
        }
    }
}

/// A row of a user's list of conversations.
#[derive(Serialize)]
pub struct ShownConversationRow<'a> {
    conversation: ViewedConversation<'a>,
    name: Option<&'a str>,
    last_seq: u64,
    unread: u64,
    read_through: u64,
    newest_seq: u64,
    last: Option<ShownEntry<'a>>,
}

impl<'a> ShownConversationRow<'a> {
    pub fn of(row: &'a ConversationRow, viewer: &UserId) -> Self {
        Self {
            conversation: ViewedConversation::of(&row.conversation, viewer),
            name: row.name.as_ref().map(|name| name.as_str()),
            last_seq: row.last_seq.0,
            unread: row.unread,
            read_through: row.read_through.0,
            newest_seq: row.newest_seq.0,
            last: row.last.as_ref().map(ShownEntry::of_history),
        }
    }
}

/// A page of an inbox.
#[derive(Serialize)]
struct ShownInbox<'a> {
    entries: Vec<ShownEntry<'a>>,
    newest_seq: u64,
    next: Option<u64>,
}

#[derive(Serialize)]
struct ShownHistory<'a> {
    messages: Vec<ShownEntry<'a>>,
    newest_seq: u64,
    next: Option<u64>,
}

#[derive(Serialize)]
struct ShownConversations<'a> {
    conversations: Vec<ShownConversationRow<'a>>,
    next: Option<u64>,
}

pub fn shown_presence(state: &PresenceState) -> Value {
    value!({"user": state.user.as_str(), "online": state.is_online, "last_seen": state.last_seen.0})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_within_its_bounds() {
        assert_eq!(page_limit(None, PAGE_MAX), Ok(PAGE_DEFAULT));
        assert_eq!((page_limit(None, 10), page_limit(Some(1_000), PAGE_MAX)), (Ok(10), Ok(1_000)));
        assert!(page_limit(Some(0), PAGE_MAX).is_err() && page_limit(Some(1_001), PAGE_MAX).is_err());
    }
}
