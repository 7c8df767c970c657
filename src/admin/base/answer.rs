//! Answers of shards as handlers take them: a change that was done, a page that was asked for; and bodies that are
//! written while the client reads them.

use crate::admin::base::contract::{Answering, RouteContract};
use crate::admin::base::error::{ApiError, json};
use crate::model::{Answer, Reply};
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use schemars::JsonSchema;
use serde::Serialize;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// A response whose body is a `T` in JSON. The lifetime of what `T` borrows ends with `of`.
pub struct Answered<T, const STATUS: u16 = 200> {
    response: Response,
    body: PhantomData<fn(T)>,
}

impl<T: Serialize, const STATUS: u16> Answered<T, STATUS> {
    pub fn of(body: &T) -> Self {
        let status = StatusCode::from_u16(STATUS).expect("handlers name statuses of HTTP");
        Self { response: json(status, body), body: PhantomData }
    }
}

impl<T, const STATUS: u16> IntoResponse for Answered<T, STATUS> {
    fn into_response(self) -> Response {
        self.response
    }
}

impl<T: JsonSchema, const STATUS: u16> Answering for Answered<T, STATUS> {
    fn describe(contract: &mut RouteContract<'_>) {
        contract.answers::<T>(STATUS, "application/json");
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(extend("maxProperties" = 0))]
pub struct Nothing {}

/// The response to a change; a repeated request gets the same one, because it does not tell whether anything changed.
pub struct ChangeDone;

impl IntoResponse for ChangeDone {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &Nothing {})
    }
}

impl Answering for ChangeDone {
    fn describe(contract: &mut RouteContract<'_>) {
        contract.answers::<Nothing>(200, "application/json");
        contract.refuses(&[503, 504]);
    }
}

pub fn done(answer: &Answer) -> Result<ChangeDone, ApiError> {
    match answer {
        Answer::Done | Answer::Unchanged => Ok(ChangeDone),
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

/// A stream of lines, each a `T` in JSON.
pub struct LineStream<T> {
    lines: mpsc::Receiver<Bytes>,
    line: PhantomData<fn(T)>,
}

/// JSON objects, one a line.
pub const NDJSON: &str = "application/x-ndjson";

impl<T> LineStream<T> {
    pub fn new(lines: mpsc::Receiver<Bytes>) -> Self {
        Self { lines, line: PhantomData }
    }
}

impl<T> IntoResponse for LineStream<T> {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, NDJSON), (CACHE_CONTROL, "no-store")];
        (StatusCode::OK, headers, Body::new(StreamBody(self.lines))).into_response()
    }
}

impl<T: JsonSchema> Answering for LineStream<T> {
    fn describe(contract: &mut RouteContract<'_>) {
        contract.answers::<T>(200, NDJSON);
    }
}
