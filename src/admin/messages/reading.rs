//! Inboxes, histories, conversations, users and groups over HTTP, page by page; cursors of lists go from shard to shard.

use crate::admin::api::Api;
use crate::admin::base::answer::{Answered, page};
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::{Asked, InPath, OtherUser};
use crate::model::{
    Answer, Conversation, ConversationRow, ConversationSeq, Conversations, Entry, Fact, GroupId, HistoryDirection,
    Listed, ListedGroup, ListedUser, Message, Order, Reply, Seq, ShardId, Sync, SyncDirection, UserId,
};
use crate::server::event::fact::ShownFact;
use crate::server::event::message::ShownMessage;
use crate::server::event::schema::{IdSchema, MessageIdSchema, MillisSchema, SeqSchema};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub async fn inbox(
    State(api): State<Arc<Api>>,
    InPath(user): InPath<UserId>,
    Asked(range): Asked<SeqRange>,
) -> Result<Answered<ShownInbox<'static>>, ApiError> {
    let SeqRange { after, before, limit } = range.checked()?;
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
    Ok(Answered::of(&ShownInbox { entries, newest_seq: server_max_seq.0, next }))
}

pub async fn conversations(
    State(api): State<Arc<Api>>,
    InPath(user): InPath<UserId>,
    Asked(ConversationsQuery { after, limit }): Asked<ConversationsQuery>,
) -> Result<Answered<ShownConversations<'static>>, ApiError> {
    let SeqRange { after, limit, .. } = SeqRange { after, before: None, limit }.checked()?;
    let limit = page_limit(limit, Conversations::LIMIT_MAX)?;
    let list = Conversations { before: Seq(after.unwrap_or_default()), limit };
    let order = Order::ShowConversations { user: user.clone(), list };
    let Reply::Conversations { rows, has_more } = page(api.orders.ask(order).await?)? else {
        return Err(ApiError::Internal);
    };
    let next = rows.last().filter(|_| has_more).map(|last| last.last_seq.0);
    let conversations = rows.iter().map(|row| ShownConversationRow::of(row, &user)).collect();
    Ok(Answered::of(&ShownConversations { conversations, next }))
}

pub async fn pair_history(
    State(api): State<Arc<Api>>,
    InPath((user, OtherUser(other))): InPath<(UserId, OtherUser)>,
    Asked(range): Asked<SeqRange>,
) -> Result<Answered<ShownHistory<'static>>, ApiError> {
    history(&api, Conversation::pair(user, other), range).await
}

pub async fn group_history(
    State(api): State<Arc<Api>>,
    InPath(group): InPath<GroupId>,
    Asked(range): Asked<SeqRange>,
) -> Result<Answered<ShownHistory<'static>>, ApiError> {
    history(&api, Conversation::Group(group), range).await
}

async fn history(
    api: &Api,
    conversation: Conversation,
    range: SeqRange,
) -> Result<Answered<ShownHistory<'static>>, ApiError> {
    let SeqRange { after, before, limit } = range.checked()?;
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
    Ok(Answered::of(&ShownHistory { messages, newest_seq: newest_seq.0, next }))
}

/// A list of rows that every shard has some of: the order that asks one shard, and the rows of its answer that are wanted.
pub struct RowList<'a, T> {
    pub order: fn(ShardId, u32, usize) -> Order,
    pub rows: &'a (dyn Fn(Answer) -> Option<Listed<T>> + std::marker::Sync),
}

pub async fn list_users(
    State(api): State<Arc<Api>>,
    Asked(range): Asked<ListRange>,
) -> Result<Answered<ShownUsers>, ApiError> {
    let list = RowList {
        order: |shard, from, limit| Order::ListUsers { shard, from, limit },
        rows: &|answer| if let Answer::Users(listed) = answer { Some(listed) } else { None },
    };
    let (users, next) = list.page(&api, range).await?;
    Ok(Answered::of(&ShownUsers { users: users.iter().map(ShownUserRow::of).collect(), next }))
}

pub async fn list_groups(
    State(api): State<Arc<Api>>,
    Asked(range): Asked<ListRange>,
) -> Result<Answered<ShownGroups>, ApiError> {
    let list = RowList {
        order: |shard, from, limit| Order::ListGroups { shard, from, limit },
        rows: &|answer| if let Answer::Groups(listed) = answer { Some(listed) } else { None },
    };
    let (groups, next) = list.page(&api, range).await?;
    Ok(Answered::of(&ShownGroups { groups: groups.iter().map(ShownGroupRow::of).collect(), next }))
}

impl<T> RowList<'_, T> {
    /// A page. It has fewer rows than asked for where orders found few, and more where one order finds several at once.
    pub async fn page(
        &self,
        api: &Api,
        ListRange { after, limit }: ListRange,
    ) -> Result<(Vec<T>, Option<String>), ApiError> {
        let limit = page_limit(limit, PAGE_MAX)? as usize;
        let (rows, next) = self.collect(api, RowPlace::read(api, after.as_deref())?, limit).await?;
        Ok((rows, next.map(|place| place.written(api))))
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
            let order = (self.order)(ShardId(place.shard), place.row, limit.saturating_sub(rows.len()));
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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListRange {
    /// The `next` of the page before.
    #[schemars(extend("pattern" = "^[0-9]+\\.[0-9]+\\.[0-9]+$"))]
    pub after: Option<String>,
    #[schemars(range(min = 1, max = PAGE_MAX), extend("default" = PAGE_DEFAULT))]
    pub limit: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeqRange {
    /// The `next` of the page before; not with `before`.
    #[schemars(with = "Option<SeqSchema>")]
    after: Option<u64>,
    /// Reads backwards: what stands just below; 0: from the newest.
    #[schemars(with = "Option<SeqSchema>")]
    before: Option<u64>,
    /// The most of a page; pages have a bound of bytes, too.
    #[schemars(range(min = 1, max = PAGE_MAX), extend("default" = PAGE_DEFAULT))]
    limit: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationsQuery {
    /// The `next` of the page before.
    #[schemars(with = "Option<SeqSchema>")]
    after: Option<u64>,
    #[schemars(range(min = 1, max = Conversations::LIMIT_MAX), extend("default" = PAGE_DEFAULT))]
    limit: Option<u32>,
}

/// A page of users; it may be empty although another follows.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "UsersPage")]
pub struct ShownUsers {
    users: Vec<ShownUserRow>,
    /// The value of `after` for the next page; null on the last one.
    next: Option<String>,
}

#[derive(JsonSchema, Serialize)]
struct ShownUserRow {
    #[schemars(with = "IdSchema")]
    id: String,
    known: bool,
    online: bool,
    #[schemars(with = "SeqSchema")]
    newest_seq: u64,
    #[schemars(with = "MillisSchema")]
    last_seen: u64,
}

impl ShownUserRow {
    fn of(user: &ListedUser) -> Self {
        Self {
            id: user.id.as_str().to_owned(),
            known: user.is_known,
            online: user.is_online,
            newest_seq: user.newest_seq.0,
            last_seen: user.last_seen.0,
        }
    }
}

/// A page of groups; it may be empty although another follows.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "GroupsPage")]
pub struct ShownGroups {
    groups: Vec<ShownGroupRow>,
    /// The value of `after` for the next page; null on the last one.
    next: Option<String>,
}

#[derive(JsonSchema, Serialize)]
struct ShownGroupRow {
    #[schemars(with = "IdSchema")]
    id: String,
    #[schemars(with = "IdSchema")]
    owner: String,
    #[schemars(with = "MillisSchema")]
    created: u64,
    member_count: u64,
}

impl ShownGroupRow {
    fn of(group: &ListedGroup) -> Self {
        Self {
            id: group.id.as_str().to_owned(),
            owner: group.owner.as_str().to_owned(),
            created: group.created.0,
            member_count: group.member_count,
        }
    }
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

/// An entry of an inbox or a history: a message, or a fact (what happened beside messages).
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Entry")]
pub struct ShownEntry<'a> {
    /// Of the inbox; only there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SeqSchema")]
    seq: Option<u64>,
    /// Only in an inbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ViewedConversation<'static>")]
    conversation: Option<ViewedConversation<'a>>,
    #[serde(flatten)]
    what: EntryBody<'a>,
}

#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
enum EntryBody<'a> {
    Message(ShownMessage<'a>),
    Fact(ShownFactEntry<'a>),
}

/// A fact, with the names of the event stream. It names at most 50 members.
#[derive(JsonSchema, Serialize)]
struct ShownFactEntry<'a> {
    #[schemars(with = "MessageIdSchema")]
    entry_id: String,
    /// As in the event stream.
    event: &'static str,
    /// Who did it.
    #[schemars(with = "IdSchema")]
    by: &'a str,
    #[schemars(with = "MillisSchema")]
    server_time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SeqSchema")]
    conversation_seq: Option<u64>,
    #[serde(flatten)]
    fact: ShownFact<'a>,
}

/// A conversation as one of its users names it: the other user, or the group.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ConversationOf")]
enum ViewedConversation<'a> {
    User(#[schemars(with = "IdSchema")] &'a str),
    Group(#[schemars(with = "IdSchema")] &'a str),
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
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ConversationRow")]
pub struct ShownConversationRow<'a> {
    conversation: ViewedConversation<'a>,
    /// The user's own.
    name: Option<&'a str>,
    /// Of the inbox.
    #[schemars(with = "SeqSchema")]
    last_seq: u64,
    unread: u64,
    #[schemars(with = "SeqSchema")]
    read_through: u64,
    #[schemars(with = "SeqSchema")]
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
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "InboxPage")]
pub struct ShownInbox<'a> {
    entries: Vec<ShownEntry<'a>>,
    #[schemars(with = "SeqSchema")]
    newest_seq: u64,
    /// The value of `after` (or `before`, where the page was asked for so) for the next page; null on the last one.
    next: Option<u64>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "HistoryPage")]
pub struct ShownHistory<'a> {
    /// Ascending.
    messages: Vec<ShownEntry<'a>>,
    #[schemars(with = "SeqSchema")]
    newest_seq: u64,
    /// The value of `after` (or `before`, where the page was asked for so) for the next page; null on the last one.
    next: Option<u64>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ConversationsPage")]
pub struct ShownConversations<'a> {
    conversations: Vec<ShownConversationRow<'a>>,
    /// The value of `after` for the next page; null on the last one.
    next: Option<u64>,
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
