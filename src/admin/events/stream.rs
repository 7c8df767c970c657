//! `GET /v1/events`: what is committed, as a stream from a cursor on, over all shards.
//!
//! Each stream is a follower of the logs with a task of its own. Invariants: a stream reads on a thread that may wait
//! for a disk, never on the control thread and never on a shard's; it holds a bounded number of bytes and reads no
//! further until its client has taken them; the cursor of an event stands behind it, so a client that names the last
//! cursor that it has seen misses nothing and gets nothing twice.

use crate::admin::api::Api;
use crate::admin::base::connections::Caller;
use crate::admin::base::error::ApiError;
use crate::admin::base::intake;
use crate::admin::shown::event::{EVENT_TYPES, LogEvent};
use crate::log::Record;
use crate::model::{Conversation, GroupId, Position, ShardId, UserId};
use crate::server::follow::FollowError;
use crate::server::follow::cursor::{Cursor, LogsId};
use crate::server::follow::log_follower::{CommittedEnd, LogFollower, ReadProgress};
use crate::server::{Manifest, ServerPhase};
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde::Deserialize;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Bytes of events of all shards together, roughly, that are made before the next ones wait for the client.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait for the client.
const CHUNKS_MAX: usize = 4;
/// What a record costs that has no event in this stream.
const PASSED_OVER_BYTES: usize = 64;
/// A stream that has sent everything looks for more so often.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A stream without events says so often that it lives, and how far it has come.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    after: Option<String>,
    types: Option<String>,
    user: Option<String>,
    group: Option<String>,
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// Server-sent events (WHATWG HTML 9.2).
    ServerSent,
    /// One JSON object a line.
    Lines,
}

/// Which events a client wants.
struct EventFilter {
    /// Empty: all.
    types: Vec<&'static str>,
    user: Option<UserId>,
    group: Option<GroupId>,
}

/// One client's place in all logs.
struct EventStream {
    followers: Vec<LogFollower>,
    cursor: Cursor,
    filter: EventFilter,
    format: Format,
}

/// The body of a response: ends when nobody sends any more.
struct EventBytes(mpsc::Receiver<Bytes>);

impl hyper::body::Body for EventBytes {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// The result of one look at the logs.
struct Chunk {
    bytes: String,
    events: u64,
    progress: ReadProgress,
}

pub async fn follow(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Caller>>,
    headers: HeaderMap,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let query = intake::query(query)?;
    match api.orders.lanes.phase() {
        ServerPhase::Starting => return Err(ApiError::Starting),
        ServerPhase::Stopping => return Err(ApiError::Stopping),
        ServerPhase::Ready => {}
    }
    let place = api.streams.clone().try_acquire_owned().map_err(|_taken| ApiError::TooManyStreams)?;
    let format = format_of(&headers);
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let (after, filter) = (resumed.or_else(|| query.after.clone()), filter_of(&query)?);
    let (opened_by, ends) = (api.clone(), api.orders.lanes.log_ends());
    let opened = off_thread(move || {
        let mut stream = EventStream::open(&opened_by, after.as_deref(), filter, format)?;
        // A client may go on from here: the cursor stands before everything that the first look finds.
        let begin = stream.heartbeat();
        let mut first = stream.look(&ends).map_err(|error| refused(&error))?;
        first.bytes.insert_str(0, &begin);
        Ok::<_, ApiError>((stream, first))
    });
    let (stream, first) = opened.await??;
    let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
    caller.has_begun_a_stream();
    tokio::spawn(run(api, stream, first, sender, place));
    let content_type = match format {
        Format::ServerSent => "text/event-stream",
        Format::Lines => "application/x-ndjson",
    };
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")];
    Ok((StatusCode::OK, headers, Body::new(EventBytes(chunks))).into_response())
}

/// Sends what the stream has, until the client goes, the server stops, or the stream cannot go on.
async fn run(
    api: Arc<Api>,
    mut stream: EventStream,
    first: Chunk,
    sender: mpsc::Sender<Bytes>,
    _place: OwnedSemaphorePermit,
) {
    let mut chunk = first;
    let mut told_at = Instant::now();
    loop {
        if chunk.bytes.is_empty() && told_at.elapsed() >= HEARTBEAT_EVERY {
            chunk.bytes = stream.heartbeat();
        }
        if !chunk.bytes.is_empty() {
            told_at = Instant::now();
            api.events_sent.fetch_add(chunk.events, Ordering::Relaxed);
            if sender.send(Bytes::from(chunk.bytes)).await.is_err() {
                return;
            }
        }
        if chunk.progress == ReadProgress::AtEnd && !goes_on(&api, &stream.cursor, &sender, told_at).await {
            return;
        }
        let ends = api.orders.lanes.log_ends();
        let looked = off_thread(move || {
            let looked = stream.look(&ends);
            (stream, looked)
        });
        let Ok((returned, looked)) = looked.await else { return };
        stream = returned;
        chunk = match looked {
            Ok(chunk) => chunk,
            Err(error) => {
                let refusal = refused(&error);
                tracing::warn!(%error, "an event stream cannot go on");
                let _ = sender.send(Bytes::from(stream.failure(&refusal))).await;
                return;
            }
        };
    }
}

/// Waits until there is more to send, a heartbeat at the least. Returns whether the stream goes on: its client is there,
/// and so is the server.
async fn goes_on(api: &Api, cursor: &Cursor, sender: &mpsc::Sender<Bytes>, told_at: Instant) -> bool {
    loop {
        tokio::select! {
            () = sender.closed() => return false,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if api.orders.lanes.phase() != ServerPhase::Ready {
            return false;
        }
        if cursor.is_behind(&api.orders.lanes.log_ends()) || told_at.elapsed() >= HEARTBEAT_EVERY {
            return true;
        }
    }
}

/// Runs work that may wait for a disk beside the control thread.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::Internal)
}

fn format_of(headers: &HeaderMap) -> Format {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let lines = ["application/x-ndjson", "application/ndjson", "application/jsonl"];
    if lines.iter().any(|name| accepts.contains(name)) { Format::Lines } else { Format::ServerSent }
}

fn filter_of(query: &EventsQuery) -> Result<EventFilter, ApiError> {
    let named = query.types.iter().flat_map(|types| types.split(',')).filter(|name| !name.is_empty());
    let known = |name: &str| {
        let known = EVENT_TYPES.into_iter().find(|known| *known == name);
        known.ok_or_else(|| ApiError::invalid(format!("types: {name:?} is no event; there are {EVENT_TYPES:?}")))
    };
    Ok(EventFilter {
        types: named.map(known).collect::<Result<_, _>>()?,
        user: query.user.as_deref().map(|user| intake::user("user", user)).transpose()?,
        group: query.group.as_deref().map(intake::group).transpose()?,
    })
}

fn refused(error: &FollowError) -> ApiError {
    match error {
        FollowError::Expired { .. } => ApiError::CursorExpired,
        FollowError::NotInLog { .. } => ApiError::CursorSuperseded,
        FollowError::Damaged { .. } | FollowError::Disk { .. } => ApiError::Unreadable(error.to_string()),
    }
}

impl EventFilter {
    fn wants(&self, event: &LogEvent<'_>) -> bool {
        let is_of_type = self.types.is_empty() || self.types.contains(&event.kind);
        let is_of_user = self.user.as_ref().is_none_or(|user| event.users.contains(&user));
        let is_of_group = self
            .group
            .as_ref()
            .is_none_or(|group| matches!(event.conversation, Some(Conversation::Group(other)) if other == group));
        is_of_type && is_of_user && is_of_group
    }
}

impl EventStream {
    /// From `after` on: a cursor, `begin` for everything that retention has left, or nothing for what is written to the logs from now on.
    fn open(api: &Api, after: Option<&str>, filter: EventFilter, format: Format) -> Result<Self, ApiError> {
        let data_dir = &api.options.data_dir;
        let manifest = Manifest::load(data_dir).map_err(|error| ApiError::Unreadable(error.to_string()))?;
        let manifest = manifest.ok_or(ApiError::Internal)?;
        let ends = api.orders.lanes.log_ends();
        let follower = |(shard, next)| LogFollower::new(data_dir, ShardId(shard), manifest.segment_bytes, next);
        let created = (0..).zip(&ends).map(|(shard, _end)| follower((shard, Position::NONE)).created());
        let created = created.collect::<Result<Vec<_>, _>>().map_err(|error| refused(&error))?;
        let logs = LogsId::of(&manifest, &created);
        let next: Vec<Position> = match after {
            None => ends.iter().map(|end| end.written).collect(),
            Some("begin") => (0..)
                .zip(&ends)
                .map(|(shard, _end)| follower((shard, Position::NONE)).oldest())
                .collect::<Result<_, _>>()
                .map_err(|error| refused(&error))?,
            Some(text) => {
                let cursor: Cursor = text.parse().map_err(|error| ApiError::invalid(format!("after: {error}")))?;
                if cursor.logs != logs || cursor.next.len() != ends.len() {
                    return Err(ApiError::CursorSuperseded);
                }
                cursor.next
            }
        };
        let followers = (0..).zip(next.iter().copied()).map(follower).collect();
        Ok(Self { followers, cursor: Cursor { logs, next }, filter, format })
    }

    /// Reads a bounded piece of each log.
    fn look(&mut self, ends: &[CommittedEnd]) -> Result<Chunk, FollowError> {
        let mut chunk = Chunk { bytes: String::new(), events: 0, progress: ReadProgress::AtEnd };
        let Self { followers, cursor, filter, format } = self;
        let budget = CHUNK_BYTES / followers.len().max(1);
        for (follower, end) in followers.iter_mut().zip(ends) {
            let shard = follower.shard();
            let mut visit = |next: Position, record: Record| {
                cursor.set(shard, next);
                let Some(event) = LogEvent::of(&record).filter(|event| filter.wants(event)) else {
                    return PASSED_OVER_BYTES;
                };
                let before = chunk.bytes.len();
                chunk.events += 1;
                format.write(&mut chunk.bytes, event, &cursor.to_string(), shard.0);
                chunk.bytes.len() - before
            };
            if follower.read(*end, budget, &mut visit)? == ReadProgress::Budget {
                chunk.progress = ReadProgress::Budget;
            }
            cursor.set(shard, follower.next());
        }
        Ok(chunk)
    }

    /// Says how far the stream has come where no event did.
    fn heartbeat(&self) -> String {
        match self.format {
            Format::ServerSent => format!(": alive\nid: {}\n\n", self.cursor),
            Format::Lines => {
                format!("{}\n", serde_json::json!({"event": "heartbeat", "cursor": self.cursor.to_string()}))
            }
        }
    }

    /// The last words of a stream that cannot go on.
    fn failure(&self, error: &ApiError) -> String {
        let body = serde_json::json!({"event": "error", "code": error.code(), "message": error.to_string()});
        match self.format {
            Format::ServerSent => format!("event: error\ndata: {body}\n\n"),
            Format::Lines => format!("{body}\n"),
        }
    }
}

impl Format {
    fn write(self, out: &mut String, event: LogEvent<'_>, cursor: &str, shard: u16) {
        let kind = event.kind;
        let line = event.line(cursor, shard);
        let written = match self {
            Self::ServerSent => write!(out, "id: {cursor}\nevent: {kind}\ndata: {line}\n\n"),
            Self::Lines => writeln!(out, "{line}"),
        };
        written.expect("a String takes everything");
    }
}
