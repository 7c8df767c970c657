//! Messages over HTTP: sent in a user's name, one or many, and taken back by the operator.

use super::api::Api;
use super::error::{ApiError, json};
use super::groups::done;
use super::intake::{self, PathSegments};
use super::new_message::{NewMessage, OutgoingMessage};
use crate::model::{Answer, Authority, Order, SentMessage};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::{Arc, PoisonError};

/// The most messages of one batch.
const BATCH_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageBatch {
    messages: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeQuery {
    user: String,
}

#[derive(Serialize)]
struct ShownSent {
    /// Decimal, because not every JSON parser keeps numbers of 64 bits.
    message_id: String,
    conversation_seq: u64,
    server_time: u64,
    duplicate: bool,
}

#[derive(Serialize)]
struct BatchAnswer {
    status: u16,
    #[serde(flatten)]
    sent: Option<ShownSent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<BatchError>,
}

#[derive(Serialize)]
struct BatchError {
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
struct BatchAnswers {
    answers: Vec<BatchAnswer>,
}

pub async fn send(State(api): State<Arc<Api>>, body: Body) -> Result<Response, ApiError> {
    let new: NewMessage = intake::json(&api, body).await?;
    let sent = send_one(&api, new.outgoing(&api.options.limits)?).await?;
    Ok(json(status_of(&sent), &shown(&sent)))
}

async fn send_one(
    api: &Api,
    OutgoingMessage { author, send, authority }: OutgoingMessage,
) -> Result<SentMessage, ApiError> {
    let answer = api.orders.ask(Order::Send { author, send, authority }).await;
    sent_of(api, authority, answer)
}

/// Counts the shard's answer to a send, and returns its result.
fn sent_of(api: &Api, authority: Authority, answer: Result<Answer, ApiError>) -> Result<SentMessage, ApiError> {
    let sent = match answer {
        Ok(Answer::Sent(sent)) => Ok(sent),
        Ok(_) => Err(ApiError::Internal),
        Err(error) => Err(error),
    };
    let outcome = match &sent {
        Ok(sent) if sent.is_repeated => "duplicate",
        Ok(_) => "accepted",
        Err(_) => "refused",
    };
    let mut counts = api.messages.lock().unwrap_or_else(PoisonError::into_inner);
    *counts.entry((name_of(authority), outcome)).or_default() += 1;
    sent
}

/// The name of the authority in metrics and requests.
pub fn name_of(authority: Authority) -> &'static str {
    match authority {
        Authority::User => "author",
        Authority::System => "system",
    }
}

fn status_of(sent: &SentMessage) -> StatusCode {
    if sent.is_repeated { StatusCode::OK } else { StatusCode::CREATED }
}

fn shown(sent: &SentMessage) -> ShownSent {
    ShownSent {
        message_id: sent.id.to_string(),
        conversation_seq: sent.conversation_seq.0,
        server_time: sent.server_time.0,
        duplicate: sent.is_repeated,
    }
}

/// Passes the orders to the authors' shards one after another, so that each author's messages keep their order, and
/// awaits the answers together. All batches together may use only a part of the pending orders, so that other orders
/// find room.
pub async fn send_batch(State(api): State<Arc<Api>>, body: Body) -> Result<Response, ApiError> {
    let MessageBatch { messages } = intake::json(&api, body).await?;
    if !(1..=BATCH_MAX).contains(&messages.len()) {
        return Err(ApiError::invalid(format!("messages has not 1 to {BATCH_MAX} elements")));
    }
    let mut waiting = Vec::with_capacity(messages.len());
    for message in &messages {
        let outgoing = intake::part::<NewMessage>(message).and_then(|new| new.outgoing(&api.options.limits));
        waiting.push(match outgoing {
            Ok(outgoing) => Ok(begin(&api, outgoing).await),
            Err(error) => Err(error),
        });
    }
    let mut answers = Vec::with_capacity(waiting.len());
    for waiting in waiting {
        let sent = match waiting {
            Ok(task) => task.await.unwrap_or(Err(ApiError::Internal)),
            Err(error) => Err(error),
        };
        answers.push(batch_answer(sent));
    }
    Ok(json(StatusCode::OK, &BatchAnswers { answers }))
}

/// Waits for a place, then passes the order on; the returned task waits for the answer.
async fn begin(api: &Arc<Api>, outgoing: OutgoingMessage) -> tokio::task::JoinHandle<Result<SentMessage, ApiError>> {
    let place = api.orders.place_in_batch().await;
    let OutgoingMessage { author, send, authority } = outgoing;
    let given = api.orders.give(Order::Send { author, send, authority });
    let api = api.clone();
    tokio::spawn(async move {
        let answer = match given {
            Ok(under_way) => api.orders.wait(under_way).await,
            Err(error) => Err(error),
        };
        drop(place);
        sent_of(&api, authority, answer)
    })
}

fn batch_answer(sent: Result<SentMessage, ApiError>) -> BatchAnswer {
    match sent {
        Ok(sent) => BatchAnswer { status: status_of(&sent).as_u16(), sent: Some(shown(&sent)), error: None },
        Err(error) => {
            let body = BatchError { code: error.code(), message: error.to_string() };
            BatchAnswer { status: error.status().as_u16(), sent: None, error: Some(body) }
        }
    }
}

pub async fn revoke(
    State(api): State<Arc<Api>>,
    path: PathSegments<String>,
    query: Result<Query<RevokeQuery>, QueryRejection>,
    body: Body,
) -> Result<Response, ApiError> {
    let message = intake::message_id(&intake::segments(path)?)?;
    let user = intake::user("user", &intake::query(query)?.user)?;
    intake::nothing(&api, body).await?;
    done(&api.orders.ask(Order::Revoke { user, message }).await?)
}
