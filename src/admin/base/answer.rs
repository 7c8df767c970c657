//! Answers of shards as handlers take them: a change that was done, a page that was asked for; and bodies that are
//! written while the client reads them.

use crate::admin::base::error::{ApiError, json};
use crate::model::{Answer, Reply};
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use hyper::body::Frame;
use serde::Serialize;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

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

/// A body in pieces, which ends when nobody sends any more.
pub struct StreamBody(pub mpsc::Receiver<Bytes>);

impl hyper::body::Body for StreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}
