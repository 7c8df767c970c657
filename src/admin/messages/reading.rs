//! Inboxes, histories, conversations, users and groups over HTTP, page by page; cursors of lists go from shard to shard.

use crate::admin::api::Api;
use crate::admin::base::answer::page;
use crate::admin::base::error::{ApiError, json};
use crate::admin::base::intake::{self, PathSegments};
use crate::model::{
    Answer, Conversation, ConversationRow, ConversationSeq, Conversations, Entry, Fact, GroupChange, HistoryDirection,
    Listed, Message, Order, PresenceState, Reply, Seq, ShardId, Sync, SyncDirection, UserId,
};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Map, Value, json as value};
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
    let entries: Vec<Value> = entries.iter().map(|entry| shown_entry(entry, Some(&user))).collect();
    let body = value!({"entries": entries, "newest_seq": server_max_seq.0, "next": next});
    Ok(json(StatusCode::OK, &body))
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
    let rows: Vec<Value> = rows.iter().map(|row| shown_row(row, &user)).collect();
    Ok(json(StatusCode::OK, &value!({"conversations": rows, "next": next})))
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
    let messages: Vec<Value> = messages.iter().map(|entry| shown_entry(entry, None)).collect();
    let next = has_more.then_some(reached.0);
    let body = value!({"messages": messages, "newest_seq": newest_seq.0, "next": next});
    Ok(json(StatusCode::OK, &body))
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

/// An entry of an inbox or a history. `viewer` is whose inbox it is; a history names no conversation.
fn shown_entry(entry: &Entry, viewer: Option<&UserId>) -> Value {
    let message = &*entry.message;
    let mut shown = match message.fact.as_deref() {
        None => body(message),
        Some(fact) => happened(message, fact),
    };
    if let Some(viewer) = viewer {
        shown.insert("seq".to_owned(), value!(entry.seq.0));
        shown.insert("conversation".to_owned(), shown_conversation(&message.conversation, viewer));
    }
    Value::Object(shown)
}

/// A conversation as one of its users names it.
fn shown_conversation(conversation: &Conversation, viewer: &UserId) -> Value {
    match conversation {
        Conversation::Pair(a, b) => value!({"user": if a == viewer { b.as_str() } else { a.as_str() }}),
        Conversation::Group(group) => value!({"group": group.as_str()}),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn body(message: &Message) -> Map<String, Value> {
    let mut shown = object(value!({
        "message_id": message.id.to_string(),
        "conversation_seq": message.conversation_seq.0,
        "from": message.author.as_str(),
        "client_msg_id": message.client_message_id.as_str(),
        "type": message.message_type,
        "server_time": message.server_time.0,
    }));
    let is_revoked = message.extra.iter().any(|(key, _)| key == Message::REVOKED_KEY);
    if is_revoked {
        shown.insert("revoked".to_owned(), value!(true));
        return shown;
    }
    match payload(&message.content) {
        Some(payload) => shown.insert("payload".to_owned(), payload),
        None => shown.insert("content".to_owned(), value!(BASE64.encode(&message.content[..]))),
    };
    if !message.extra.is_empty() {
        let extra: Map<String, Value> =
            message.extra.iter().map(|(key, value)| (key.to_owned(), value!(value))).collect();
        shown.insert("extra".to_owned(), Value::Object(extra));
    }
    if let Some(annotations) = &message.annotations {
        if annotations.expire_s > 0 {
            shown.insert("expire".to_owned(), value!(annotations.expire_s));
        }
        if annotations.header.sync_once {
            shown.insert("sync_once".to_owned(), value!(true));
        }
        if let Some(topic) = &annotations.topic {
            shown.insert("topic".to_owned(), value!(topic.as_str()));
        }
        if let Some(chunk) = &annotations.chunk {
            shown.insert("stream".to_owned(), value!({"name": chunk.stream.as_str(), "number": chunk.number}));
        }
    }
    shown
}

/// Content that is a JSON object, as one.
fn payload(content: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(content).ok()?;
    if !text.starts_with('{') {
        return None;
    }
    serde_json::from_str(text).ok()
}

fn happened(message: &Message, fact: &Fact) -> Map<String, Value> {
    let mut shown = object(value!({
        "entry_id": message.id.to_string(),
        "by": message.author.as_str(),
        "server_time": message.server_time.0,
    }));
    let (event, told) = match fact {
        Fact::Revoked { message } => ("revoked", value!({"message_id": message.to_string()})),
        Fact::Read { messages, .. } => {
            let ids: Vec<String> = messages.iter().map(|read| read.id.to_string()).collect();
            ("read", value!({"message_ids": ids}))
        }
        Fact::Group(change) => ("group", group_change(change)),
    };
    shown.insert("event".to_owned(), value!(event));
    shown.extend(object(told));
    if let Fact::Group(_) = fact {
        shown.insert("conversation_seq".to_owned(), value!(message.conversation_seq.0));
    }
    shown
}

/// Members that an entry names; a change may have thousands.
const MEMBERS_NAMED_MAX: usize = 50;

fn group_change(change: &GroupChange) -> Value {
    let what = match change {
        GroupChange::Created { .. } => "created",
        GroupChange::Added { .. } => "added",
        GroupChange::Removed { .. } => "removed",
        GroupChange::Changed { .. } => "changed",
        GroupChange::Dissolved => "dissolved",
    };
    let named: Vec<&str> = change.members().iter().take(MEMBERS_NAMED_MAX).map(UserId::as_str).collect();
    let mut shown = value!({"change": what, "members": named, "count": change.members().len()});
    if let GroupChange::Changed { role, muted_until, .. } = change {
        shown["role"] = value!(role.name());
        shown["muted_until"] = value!(muted_until.0);
    }
    shown
}

fn shown_row(row: &ConversationRow, viewer: &UserId) -> Value {
    value!({
        "conversation": shown_conversation(&row.conversation, viewer),
        "name": row.name.as_ref().map(|name| name.as_str()),
        "last_seq": row.last_seq.0,
        "unread": row.unread,
        "read_through": row.read_through.0,
        "newest_seq": row.newest_seq.0,
        "last": row.last.as_ref().map(|last| shown_entry(last, None)),
    })
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
