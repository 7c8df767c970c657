//! `GET /v1/events`: what is committed, as a stream from a cursor on, over all shards.
//!
//! Each stream is a follower of the logs with a task of its own. Invariants: a stream reads on a thread that may wait
//! for a disk, never on the control thread and never on a shard's; it holds a bounded number of bytes and reads no
//! further until its client has taken them; the cursor of an event stands after it, so a client that names the last
//! cursor that it has seen misses nothing and gets nothing twice.

use crate::admin::api::Api;
use crate::admin::base::answer::{NDJSON, StreamBody};
use crate::admin::base::connections::Caller;
use crate::admin::base::contract::{Answering, RequestPart, RouteContract};
use crate::admin::base::error::ApiError;
use crate::admin::base::intake::{self, Asked};
use crate::admin::events::places::StreamPlace;
use crate::model::ShardId;
use crate::server::ServerPhase;
use crate::server::event::filter::EventFilter;
use crate::server::event::log_event::{EventBody, LogEvent};
use crate::server::event::schema::IdSchema;
use crate::server::event::types::event_type;
use crate::server::follow::FollowError;
use crate::server::follow::cursor::Cursor;
use crate::server::follow::event_reader::{EventReader, EventVisitor, Look, ReadFrom};
use crate::server::follow::log_follower::{CommittedEnd, ReadProgress};
use axum::body::{Body, Bytes};
use axum::extract::{Extension, FromRequestParts, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Bytes of events of all shards together, roughly, that are made before the next ones wait for the client.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait for the client.
const CHUNKS_MAX: usize = 4;
/// A stream that has sent everything looks for more so often.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// A stream without events says so often that it lives, and how far it has come.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// A cursor; or begin, for everything that retention has left. Without it the stream begins with what is written to the
    /// logs from now on.
    after: Option<String>,
    /// Names of events, separated by commas; without it all.
    types: Option<String>,
    /// Only events about this user: the author, the other of a pair, a reader, a member who is named.
    #[schemars(with = "Option<IdSchema>")]
    user: Option<String>,
    /// Only events of this group.
    #[schemars(with = "Option<IdSchema>")]
    group: Option<String>,
}

/// What a stream's client says in headers.
pub struct StreamHeaders {
    format: Format,
    resumed: Option<String>,
}

impl FromRequestParts<Arc<Api>> for StreamHeaders {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Infallible> {
        let headers = &parts.headers;
        let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        Ok(Self { format: format_of(headers), resumed })
    }
}

impl RequestPart for StreamHeaders {
    fn describe(contract: &mut RouteContract<'_>) {
        let why = "As after, which it replaces: browsers and client libraries send it when they connect again.";
        contract.takes_header("Last-Event-ID", why);
    }
}

/// A stream, in the format that the client accepts.
pub struct EventChunks {
    chunks: mpsc::Receiver<Bytes>,
    format: Format,
}

/// One line of the stream.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
enum StreamLine<'a> {
    #[expect(dead_code, reason = "events are written by `LogEvent::line`; the schema names them")]
    Event(Box<EventBody<'a>>),
    /// Without events it comes every 15 seconds.
    #[schemars(title = "Heartbeat")]
    Heartbeat {
        #[schemars(extend("enum" = ["heartbeat"]))]
        event: &'static str,
        cursor: String,
    },
    /// Before the end, where the stream cannot go on.
    #[schemars(title = "StreamError")]
    Failure {
        #[schemars(extend("enum" = ["error"]))]
        event: &'static str,
        code: &'static str,
        message: String,
    },
}

impl IntoResponse for EventChunks {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, self.format.media_type()), (CACHE_CONTROL, "no-store")];
        (StatusCode::OK, headers, Body::new(StreamBody(self.chunks))).into_response()
    }
}

impl Answering for EventChunks {
    fn describe(contract: &mut RouteContract<'_>) {
        contract.answers::<String>(200, Format::ServerSent.media_type());
        contract.answers::<StreamLine<'_>>(200, Format::Lines.media_type());
    }
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// Server-sent events (WHATWG HTML 9.2).
    ServerSent,
    /// One JSON object a line.
    Lines,
}

/// One client's place in all logs, and what it gets from there.
struct EventStream {
    reader: EventReader,
    format: Format,
}

/// The result of one look at the logs.
struct Chunk {
    bytes: String,
    events: u64,
    progress: ReadProgress,
    /// After these bytes the stream ends.
    failure: Option<FollowError>,
}

pub async fn follow(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Caller>>,
    StreamHeaders { format, resumed }: StreamHeaders,
    Asked(query): Asked<EventsQuery>,
) -> Result<EventChunks, ApiError> {
    match api.orders.lanes.phase() {
        ServerPhase::Starting => return Err(ApiError::Starting),
        ServerPhase::Stopping => return Err(ApiError::Stopping),
        ServerPhase::Ready => api.erased.until_known().await,
    }
    let permit = api.streams.clone().try_acquire_owned().map_err(|_taken| ApiError::TooManyStreams)?;
    let (after, filter) = (resumed.or_else(|| query.after.clone()), filter_of(&query)?);
    let (opened_by, ends) = (api.clone(), api.orders.lanes.log_ends());
    let opened = off_thread(move || {
        let mut stream = EventStream::open(&opened_by, after.as_deref(), filter, format)?;
        // A client may go on from here: the cursor stands before everything that the first look finds.
        let begin = stream.heartbeat();
        let mut first = stream.look(&ends);
        match first.failure.take() {
            Some(error) if first.events == 0 => return Err(refused(&error)),
            failure => first.failure = failure,
        }
        first.bytes.insert_str(0, &begin);
        Ok::<_, ApiError>((stream, first))
    });
    let (stream, first) = opened.await??;
    let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
    caller.has_begun_a_stream();
    let place = api.places.begin(stream.reader.cursor(), permit);
    tokio::spawn(run(api, stream, first, sender, place));
    Ok(EventChunks { chunks, format })
}

/// Sends what the stream has, until the client goes, the server stops, or the stream cannot go on.
async fn run(api: Arc<Api>, mut stream: EventStream, first: Chunk, sender: mpsc::Sender<Bytes>, place: StreamPlace) {
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
        if let Some(error) = &chunk.failure {
            tracing::warn!(%error, "an event stream cannot go on");
            let _ = sender.send(Bytes::from(stream.failure(&refused(error)))).await;
            return;
        }
        if chunk.progress == ReadProgress::AtEnd && !goes_on(&api, stream.reader.cursor(), &sender, told_at).await {
            return;
        }
        let ends = api.orders.lanes.log_ends();
        let looked = off_thread(move || {
            let looked = stream.look(&ends);
            (stream, looked)
        });
        let Ok(returned) = looked.await else { return };
        (stream, chunk) = returned;
        place.moved(stream.reader.cursor());
    }
}

/// Waits until there is more to send, a heartbeat at the least. Returns whether the stream goes on: its client is there,
/// and so is the server.
async fn goes_on(api: &Api, cursor: &Cursor, sender: &mpsc::Sender<Bytes>, told_at: Instant) -> bool {
    loop {
        tokio::select! {
            () = sender.closed() => return false,
            () = tokio::time::sleep(POLL_INTERVAL) => {}
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
    let known = |name| event_type(name).map_err(|error| ApiError::invalid(format!("types: {error}")));
    Ok(EventFilter {
        types: named.map(known).collect::<Result<_, _>>()?,
        users: query.user.iter().map(|user| intake::user("user", user)).collect::<Result<_, _>>()?,
        groups: query.group.iter().map(|group| intake::group(group)).collect::<Result<_, _>>()?,
    })
}

fn refused(error: &FollowError) -> ApiError {
    match error {
        FollowError::Expired { .. } => ApiError::CursorExpired,
        FollowError::NotInLog { .. } | FollowError::Superseded => ApiError::CursorSuperseded,
        FollowError::Damaged { .. } | FollowError::Disk { .. } | FollowError::Manifest(_) => {
            ApiError::Unreadable(error.to_string())
        }
    }
}

impl EventStream {
    /// From `after` on: a cursor, `begin` for everything that retention has left, or nothing for what is written to the
    /// logs from now on.
    fn open(api: &Api, after: Option<&str>, filter: EventFilter, format: Format) -> Result<Self, ApiError> {
        let from = match after {
            None => ReadFrom::Now,
            Some("begin") => ReadFrom::Oldest,
            Some(text) => ReadFrom::After(text.parse().map_err(|error| ApiError::invalid(format!("after: {error}")))?),
        };
        let ends = api.orders.lanes.log_ends();
        let (data_dir, erased) = (&api.options.data_dir, api.erased.clone());
        let reader = EventReader::open(data_dir, &ends, from, filter, erased).map_err(|error| refused(&error))?;
        Ok(Self { reader, format })
    }

    /// Reads a bounded piece of the logs.
    fn look(&mut self, ends: &[CommittedEnd]) -> Chunk {
        let mut written = WrittenEvents { bytes: String::new(), events: 0, format: self.format };
        let Look { progress, failures } = self.reader.look(ends, CHUNK_BYTES, &mut written);
        Chunk { bytes: written.bytes, events: written.events, progress, failure: failures.into_iter().next() }
    }

    /// Says how far the stream has come where no event did.
    fn heartbeat(&self) -> String {
        match self.format {
            Format::ServerSent => format!(": alive\nid: {}\n\n", self.reader.cursor()),
            Format::Lines => {
                StreamLine::Heartbeat { event: "heartbeat", cursor: self.reader.cursor().to_string() }.written() + "\n"
            }
        }
    }

    /// The last words of a stream that cannot go on.
    fn failure(&self, error: &ApiError) -> String {
        let body = StreamLine::Failure { event: "error", code: error.code(), message: error.to_string() }.written();
        match self.format {
            Format::ServerSent => format!("event: error\ndata: {body}\n\n"),
            Format::Lines => format!("{body}\n"),
        }
    }
}

impl StreamLine<'_> {
    fn written(&self) -> String {
        serde_json::to_string(self).expect("a line has text keys")
    }
}

/// Events as the client gets them.
struct WrittenEvents {
    bytes: String,
    events: u64,
    format: Format,
}

impl EventVisitor for WrittenEvents {
    fn visit(&mut self, event: LogEvent<'_>, cursor: &str, shard: ShardId) -> usize {
        let before = self.bytes.len();
        self.events += 1;
        self.format.write(&mut self.bytes, event, cursor, shard.0);
        self.bytes.len() - before
    }
}

impl Format {
    fn media_type(self) -> &'static str {
        match self {
            Self::ServerSent => "text/event-stream",
            Self::Lines => NDJSON,
        }
    }

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
