//! `GET /v1/overview/stream`: the numbers of the overview, once a second, as server-sent events.

use crate::admin::api::Api;
use crate::admin::base::answer::StreamBody;
use crate::admin::base::connections::Caller;
use crate::admin::base::contract::{Answering, RouteContract};
use crate::admin::base::error::ApiError;
use crate::admin::base::identity::Identity;
use crate::admin::overview::interval::ShardInterval;
use crate::admin::overview::point::{METRICS, OverviewPoint, turn_us};
use crate::admin::webhooks::handlers::lag_ms;
use crate::server::{ServerPhase, wall_now};
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Events that wait for a viewer; one that reads more slowly misses some.
const EVENTS_MAX: usize = 4;
/// How often a stream looks whether the server stops, where no numbers come.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The data of one event.
#[derive(Serialize)]
pub struct LiveOverview<'a> {
    at: u64,
    version: &'static str,
    started: u64,
    phase: &'static str,
    draining: bool,
    storage_full: bool,
    disk_bytes: Option<u64>,
    reserve_bytes: u64,
    durability: &'static str,
    event_streams: usize,
    event_streams_max: usize,
    /// `null`: nothing was observed.
    values: BTreeMap<&'static str, f32>,
    shards: Vec<LiveShard>,
    webhooks: Vec<LiveWebhook<'a>>,
}

#[derive(Serialize)]
struct LiveShard {
    ready: bool,
    age_ms: u64,
    connections: u64,
    connections_max: u64,
    sessions: u64,
    users: u64,
    groups: u64,
    messages_per_second: f32,
    turn_p50_us: f32,
    turn_p99_us: f32,
    slow_turns_per_second: f32,
    lane_waiting: u64,
    outbox_bytes: u64,
    log_bytes: u64,
    log_full: bool,
    durable_lag_bytes: u64,
}

#[derive(Serialize)]
struct LiveWebhook<'a> {
    name: &'a str,
    phase: &'static str,
    lag_ms: u64,
    dead_letters: u64,
}

impl<'a> LiveOverview<'a> {
    pub fn of(api: &'a Api, shards: &[ShardInterval], point: &OverviewPoint, disk_bytes: Option<u64>) -> Self {
        let (lanes, now) = (&api.orders.lanes, wall_now());
        let webhooks = api.webhooks.iter().map(|webhook| {
            let state = webhook.state();
            let (lag_ms, dead_letters) = (lag_ms(&state, now), state.dead.events);
            LiveWebhook { name: &webhook.options.name, phase: state.phase.name(), lag_ms, dead_letters }
        });
        Self {
            at: point.at,
            version: env!("CARGO_PKG_VERSION"),
            started: api.began.0,
            phase: lanes.phase().name(),
            draining: lanes.is_draining(),
            storage_full: shards.iter().any(|shard| shard.now.log.is_full),
            disk_bytes,
            reserve_bytes: api.options.reserve_bytes,
            durability: api.options.durability.name(),
            event_streams: api.options.admin.event_streams_max - api.streams.available_permits(),
            event_streams_max: api.options.admin.event_streams_max,
            values: METRICS.iter().map(|metric| metric.name).zip(point.values).collect(),
            shards: shards.iter().map(LiveShard::of).collect(),
            webhooks: webhooks.collect(),
        }
    }

    pub fn written(&self) -> String {
        serde_json::to_string(self).expect("it has text keys")
    }
}

impl LiveShard {
    fn of(interval: &ShardInterval) -> Self {
        let shown = &interval.now;
        Self {
            ready: shown.is_ready,
            age_ms: shown.taken.elapsed().as_millis() as u64,
            connections: shown.connections,
            connections_max: shown.connections_max,
            sessions: shown.stats.sessions,
            users: shown.stats.users,
            groups: shown.stats.groups,
            messages_per_second: interval.rate(|it| it.stats.committed) as f32,
            turn_p50_us: turn_us(interval, 0.5),
            turn_p99_us: turn_us(interval, 0.99),
            slow_turns_per_second: interval.rate(|it| it.counters.slow_turns) as f32,
            lane_waiting: shown.lanes.waiting,
            outbox_bytes: shown.outbox_bytes,
            log_bytes: shown.log.bytes,
            log_full: shown.log.is_full,
            durable_lag_bytes: shown.log.lag_bytes,
        }
    }
}

/// Server-sent events (WHATWG HTML 9.2) named `overview`.
pub struct OverviewEvents(mpsc::Receiver<Bytes>);

const EVENT_STREAM: &str = "text/event-stream";

impl IntoResponse for OverviewEvents {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, EVENT_STREAM), (CACHE_CONTROL, "no-store")];
        (StatusCode::OK, headers, Body::new(StreamBody(self.0))).into_response()
    }
}

impl Answering for OverviewEvents {
    fn describe(contract: &mut RouteContract<'_>) {
        contract.answers::<String>(200, EVENT_STREAM);
    }
}

/// Streams to at most `VIEWERS_MAX` viewers; until the viewer goes, its login ends, or the server stops.
pub async fn stream(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(identity): Extension<Identity>,
) -> Result<OverviewEvents, ApiError> {
    if api.orders.lanes.phase() == ServerPhase::Stopping {
        return Err(ApiError::Stopping);
    }
    let permit = api.overview.viewers.clone().try_acquire_owned().map_err(|_taken| ApiError::TooManyStreams)?;
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    caller.has_begun_a_stream();
    tokio::spawn(async move {
        run(&api, &identity, sender).await;
        drop(permit);
    });
    Ok(OverviewEvents(events))
}

async fn run(api: &Api, identity: &Identity, sender: mpsc::Sender<Bytes>) {
    let mut live = api.overview.live.subscribe();
    live.mark_changed();
    loop {
        tokio::select! {
            changed = live.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let is_allowed = match identity {
            Identity::Console(login) => api.logins.is_open(login, Instant::now()),
            _ => true,
        };
        if !is_allowed || api.orders.lanes.phase() == ServerPhase::Stopping {
            return;
        }
        let data = live.borrow_and_update().clone();
        if data.is_empty() {
            continue;
        }
        let event = Bytes::from(format!("event: overview\ndata: {data}\n\n"));
        if let Err(TrySendError::Closed(_)) = sender.try_send(event) {
            return;
        }
    }
}
