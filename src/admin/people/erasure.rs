//! `DELETE /v1/users/{user}`: erases a person, on every shard, and says what is left and until when.
//!
//! Invariants: every step is an order that may be given again, so a request that failed half-way is repeated; what one
//! shard knows of erasures, all learn after a start.

use crate::admin::api::Api;
use crate::admin::base::answer::Answered;
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::{InPath, NoBody};
use crate::admin::people::conversation_pages::ConversationPages;
use crate::model::{Answer, BlockState, Conversation, GroupId, Order, Refusal, ShardId, UserId};
use crate::server::event::schema::{IdSchema, MillisSchema};
use crate::server::{ServerPhase, wall_now};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long the control thread waits before it asks again for the users who were erased earlier.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What an erasure did, and what is left.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Erasure")]
pub struct ErasureReport<'a> {
    #[schemars(with = "IdSchema")]
    user: &'a str,
    /// When the operator asked for it.
    #[schemars(with = "MillisSchema")]
    time: u64,
    /// Groups that the user was taken out of by this request.
    #[schemars(with = "Vec<IdSchema>")]
    groups_left: Vec<String>,
    /// Groups that the user owns: they stay until they have another owner, or are dissolved.
    #[schemars(with = "Vec<IdSchema>")]
    groups_owned: Vec<String>,
    /// Users whom the user blocks no more.
    blocks_removed: u64,
    /// Webhooks whose dead letters had words of the user.
    left_out_of_dead_letters: Vec<LeftOutOfLetters>,
    left_in_logs: LeftInLogs,
    left_in_backups: &'static str,
}

/// Bytes of the user's messages that nobody is shown, but that are still in segments.
#[derive(JsonSchema, Serialize)]
struct LeftInLogs {
    /// From then on retention may drop the last of them; `null`: never by age.
    until: Option<u64>,
    why: String,
}

/// Events in a webhook's dead letters from which the user's words were left out by this request.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "LeftOutOfDeadLetters")]
struct LeftOutOfLetters {
    webhook: String,
    events: u64,
}

#[derive(Default)]
struct Departures {
    groups_left: Vec<String>,
    groups_owned: Vec<String>,
    blocks_removed: u64,
}

pub async fn erase(
    State(api): State<Arc<Api>>,
    InPath(user): InPath<UserId>,
    _: NoBody,
) -> Result<Answered<ErasureReport<'static>>, ApiError> {
    erase_everywhere(&api, &user).await?;
    api.erased.until_known().await;
    api.erased.insert(&user);
    let letters = leave_out_of_letters(&api, &user).await?;
    let departures = leave_everything(&api, &user).await?;
    tracing::info!("an operator erased a user");
    let Departures { groups_left, groups_owned, blocks_removed } = departures;
    let report = ErasureReport {
        user: user.as_str(),
        time: wall_now().0,
        groups_left,
        groups_owned,
        blocks_removed,
        left_out_of_dead_letters: letters,
        left_in_logs: left_in_logs(&api),
        left_in_backups: "backups that were taken before still have everything: a directory restored from one needs \
                          this erasure again",
    };
    Ok(Answered::of(&report))
}

/// Leaves the user's words out of the dead letters of all webhooks. The user is among the erased ones already, so no letter
/// with such words comes after this.
async fn leave_out_of_letters(api: &Api, user: &UserId) -> Result<Vec<LeftOutOfLetters>, ApiError> {
    let mut left_out = Vec::new();
    for webhook in &api.webhooks {
        let (erased, mut letters) = (user.clone(), webhook.dead_letters.clone().lock_owned().await);
        let emptied = tokio::task::spawn_blocking(move || (letters.leave_out(&|user| *user == erased), letters.held));
        let (emptied, held) = emptied.await.map_err(|_panicked| ApiError::Internal)?;
        let events = emptied.map_err(|error| ApiError::DeadLetters(error.to_string()))?;
        webhook.state().dead = held;
        if events > 0 {
            left_out.push(LeftOutOfLetters { webhook: webhook.options.name.clone(), events });
        }
    }
    Ok(left_out)
}

/// The user's own shard first, which ends the sessions.
async fn erase_everywhere(api: &Api, user: &UserId) -> Result<(), ApiError> {
    let home = api.orders.lanes.owner_of(user);
    let others = (0..api.orders.lanes.shards()).map(ShardId).filter(|shard| *shard != home);
    for shard in std::iter::once(home).chain(others) {
        api.orders.ask(Order::EraseUser { shard, user: user.clone() }).await?;
    }
    Ok(())
}

/// Takes the user out of groups, and the user's blocks back.
async fn leave_everything(api: &Api, user: &UserId) -> Result<Departures, ApiError> {
    let mut departures = Departures::default();
    let mut pages = ConversationPages::new(&api.orders, user);
    while let Some(rows) = pages.next().await? {
        for row in &rows {
            departures.leave(api, user, &row.conversation).await?;
        }
    }
    Ok(departures)
}

impl Departures {
    async fn leave(&mut self, api: &Api, user: &UserId, conversation: &Conversation) -> Result<(), ApiError> {
        match conversation {
            Conversation::Group(group) => self.leave_group(api, user, group).await,
            Conversation::Pair(a, b) => {
                let other = if a == user { b } else { a };
                if other == user {
                    return Ok(());
                }
                let order = Order::Block { by: user.clone(), other: other.clone(), state: BlockState::Allowed };
                if api.orders.ask(order).await? == Answer::Done {
                    self.blocks_removed += 1;
                }
                Ok(())
            }
        }
    }

    async fn leave_group(&mut self, api: &Api, user: &UserId, group: &GroupId) -> Result<(), ApiError> {
        let order = Order::ShowGroup { group: group.clone(), after: None, limit: 1 };
        let owner = match api.orders.ask(order).await {
            Ok(Answer::Group(state)) => state.owner,
            // It was dissolved.
            Err(ApiError::Refused(refused)) if refused.refusal == Refusal::ConversationNotExist => return Ok(()),
            Ok(_) => return Err(ApiError::Internal),
            Err(error) => return Err(error),
        };
        if owner == *user {
            self.groups_owned.push(group.as_str().to_owned());
            return Ok(());
        }
        let order = Order::ChangeMembers { group: group.clone(), add: Vec::new(), remove: vec![user.clone()] };
        if api.orders.ask(order).await? == Answer::Done {
            self.groups_left.push(group.as_str().to_owned());
        }
        Ok(())
    }
}

fn left_in_logs(api: &Api) -> LeftInLogs {
    match api.options.upkeep.retention_ms {
        0 => LeftInLogs {
            until: None,
            why:
                "log.retention_ms is 0: segments are dropped by no age; `mushan reshard` and `mushan log repair` write \
                  logs without these bytes"
                    .to_owned(),
        },
        retention_ms => LeftInLogs {
            until: Some(wall_now().plus(retention_ms).0),
            why: format!("log.retention_ms is {retention_ms}: segments are dropped when all they hold is older"),
        },
    }
}

/// Learns from all shards who is erased, and tells each shard whom it does not know: a request, or a weak durability
/// policy, may have stopped half-way.
async fn agree(api: &Api) -> Result<BTreeSet<UserId>, ApiError> {
    let mut by_user: BTreeMap<UserId, u16> = BTreeMap::new();
    let shards = api.orders.lanes.shards();
    for shard in (0..shards).map(ShardId) {
        let mut after = None;
        loop {
            let order = Order::ListErased { shard, after: after.clone(), limit: Order::LISTED_MAX };
            let Answer::Erased(listed) = api.orders.ask(order).await? else { return Err(ApiError::Internal) };
            after = listed.last().map(|(user, _time)| user.clone());
            let is_last = listed.len() < Order::LISTED_MAX;
            for (user, _time) in listed {
                *by_user.entry(user).or_default() += 1;
            }
            if is_last {
                break;
            }
        }
    }
    for (user, known_by) in &by_user {
        if *known_by < shards {
            erase_everywhere(api, user).await?;
        }
    }
    Ok(by_user.into_keys().collect())
}

/// Lets all shards agree on who is erased, as soon as they take orders.
pub async fn agree_after_start(api: Arc<Api>) {
    while api.orders.lanes.phase() != ServerPhase::Stopping {
        if let Ok(users) = agree(&api).await {
            return api.erased.learn(users);
        }
        tokio::time::sleep(ASK_AGAIN_AFTER).await;
    }
}
