//! Answers of shards as handlers take them: a change that was done, a page that was asked for.

use crate::admin::base::error::{ApiError, json};
use crate::model::{Answer, Reply};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

#[derive(Serialize)]
pub struct Nothing {}

/// The response to a change; a repeated request gets the same one, because it does not tell whether anything changed.
pub fn done(answer: &Answer) -> Result<Response, ApiError> {
    match answer {
        Answer::Done | Answer::Unchanged => Ok(json(StatusCode::OK, &Nothing {})),
        _ => Err(ApiError::Internal),
    }
}

/// The page that an order about a user or a conversation is answered with.
pub fn page(answer: Answer) -> Result<Reply, ApiError> {
    match answer {
        Answer::Page(reply) => Ok(*reply),
        _ => Err(ApiError::Internal),
    }
}
