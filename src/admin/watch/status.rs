//! `GET /v1/status`: the state of the server and of each shard in one answer, for `mushan status`, `top` and `doctor`.
//! Quantiles are over the whole run; `/metrics` has what they are made of.

use crate::admin::api::Api;
use crate::admin::base::answer::Answered;
use crate::admin::base::error::ApiError;
use crate::admin::watch::numbers::ServerNumbers;
use crate::admin::webhooks::handlers::lag_ms;
use crate::model::Histogram;
use crate::server::{DiskRoom, SlowSession, Snapshot, wall_now};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(JsonSchema, Serialize)]
pub struct ServerStatus {
    version: &'static str,
    commit: &'static str,
    phase: &'static str,
    draining: bool,
    /// Unix milliseconds.
    started: u64,
    durability: &'static str,
    disk: DiskStatus,
    /// The end of each listener's certificate, in seconds since 1970.
    certificates: BTreeMap<&'static str, i64>,
    /// When the last complete backup began, in Unix milliseconds.
    last_backup: Option<u64>,
    event_stream_lag_bytes: u64,
    webhooks: Vec<WebhookStatus>,
    shards: Vec<ShardStatus>,
}

#[derive(JsonSchema, Serialize)]
struct DiskStatus {
    free_bytes: Option<u64>,
    total_bytes: Option<u64>,
    reserve_bytes: u64,
    full: bool,
}

#[derive(JsonSchema, Serialize)]
struct WebhookStatus {
    name: String,
    lag_ms: u64,
    dead_letters: u64,
}

#[derive(JsonSchema, Serialize)]
struct ShardStatus {
    shard: usize,
    ready: bool,
    /// The age of these numbers.
    age_ms: u64,
    connections_max: u64,
    #[serde(flatten)]
    counts: ShownCounts,
    requests_refused: u64,
    logins_refused: u64,
    connections_turned_away: u64,
    clock_jumps: u64,
    pending_effects: u64,
    lane_waiting: u64,
    outbox_bytes: u64,
    outbox_bytes_max: u64,
    /// The sessions with the largest outboxes, the largest first; at most 8, and a few seconds old.
    slow_sessions: Vec<SlowSessionStatus>,
    log_bytes: u64,
    log_full: bool,
    durable_lag_bytes: u64,
    turns: u64,
    slow_turns: u64,
    sleeps: u64,
    recovery_ms: u64,
    commit_us: Quantiles,
    push_ms: Quantiles,
    lane_us: Quantiles,
    sync_us: Quantiles,
    turn_us: Quantiles,
}

#[derive(JsonSchema, Serialize)]
struct SlowSessionStatus {
    user: String,
    queued_bytes: u64,
    /// How long its socket has taken nothing.
    waiting_ms: u64,
}

impl From<&SlowSession> for SlowSessionStatus {
    fn from(session: &SlowSession) -> Self {
        let SlowSession { user, queued_bytes, waiting_ms } = session;
        Self { user: user.to_string(), queued_bytes: *queued_bytes, waiting_ms: *waiting_ms }
    }
}

/// Upper bounds, powers of two.
#[derive(JsonSchema, Serialize)]
struct Quantiles {
    p50: u64,
    p99: u64,
    p999: u64,
}

impl From<&Histogram> for Quantiles {
    fn from(histogram: &Histogram) -> Self {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| histogram.quantile(share));
        Self { p50, p99, p999 }
    }
}

pub async fn show(State(api): State<Arc<Api>>) -> Result<Answered<ServerStatus>, ApiError> {
    let all = api.orders.lanes.snapshots();
    let numbers = ServerNumbers::of(&api, &all);
    let snapshots: Vec<(usize, Arc<Snapshot>)> =
        all.into_iter().enumerate().filter_map(|(shard, shown)| Some((shard, shown?))).collect();
    let disk = DiskRoom::of(&api.options.data_dir).ok();
    let now = wall_now();
    let status = ServerStatus {
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("MUSHAN_COMMIT"),
        phase: api.orders.lanes.phase().name(),
        draining: numbers.is_draining,
        started: api.began.0,
        durability: api.options.durability.name(),
        disk: DiskStatus {
            free_bytes: disk.map(|disk| disk.free_bytes),
            total_bytes: disk.map(|disk| disk.total_bytes),
            reserve_bytes: api.options.reserve_bytes,
            full: snapshots.iter().any(|(_, shown)| shown.log.is_full),
        },
        certificates: numbers.certificates.iter().copied().collect(),
        last_backup: numbers.backed_up.map(|at| at.0),
        event_stream_lag_bytes: numbers.stream_lag_bytes,
        webhooks: api
            .webhooks
            .iter()
            .map(|webhook| {
                let state = webhook.state();
                let (lag_ms, dead_letters) = (lag_ms(&state, now), state.dead.events);
                WebhookStatus { name: webhook.options.name.clone(), lag_ms, dead_letters }
            })
            .collect(),
        shards: snapshots.iter().map(|(shard, shown)| shard_status(*shard, shown)).collect(),
    };
    Ok(Answered::of(&status))
}

// What a shard, or all shards together, have and have done. A comment and no documentation: that would become the
// description of the schema around it.
#[derive(Default, JsonSchema, Serialize)]
pub struct ShownCounts {
    connections: u64,
    sessions: u64,
    users: u64,
    conversations: u64,
    groups: u64,
    messages_committed: u64,
    events_pushed: u64,
}

impl ShownCounts {
    pub fn of<'a>(shards: impl IntoIterator<Item = &'a Snapshot>) -> Self {
        let mut counts = Self::default();
        for Snapshot { connections, stats, .. } in shards {
            counts.connections += connections;
            counts.sessions += stats.sessions;
            counts.users += stats.users;
            counts.conversations += stats.conversations;
            counts.groups += stats.groups;
            counts.messages_committed += stats.committed;
            counts.events_pushed += stats.pushed;
        }
        counts
    }
}

fn shard_status(shard: usize, shown: &Snapshot) -> ShardStatus {
    let Snapshot { counters, stats, log, lanes, .. } = shown;
    let histograms = &counters.histograms;
    ShardStatus {
        shard,
        ready: shown.is_ready,
        age_ms: shown.taken.elapsed().as_millis() as u64,
        connections_max: shown.connections_max,
        counts: ShownCounts::of([shown]),
        requests_refused: counters.refused.sum() + counters.refused.malformed(),
        logins_refused: counters.logins_refused.sum(),
        connections_turned_away: counters.turned_away().map(|(_, count)| count).sum(),
        clock_jumps: stats.clock_jumps,
        pending_effects: stats.pending,
        lane_waiting: lanes.waiting,
        outbox_bytes: shown.outbox_bytes,
        outbox_bytes_max: shown.outbox_bytes_max,
        slow_sessions: shown.slow_sessions.iter().map(SlowSessionStatus::from).collect(),
        log_bytes: log.bytes,
        log_full: log.is_full,
        durable_lag_bytes: log.lag_bytes,
        turns: counters.turns,
        slow_turns: counters.slow_turns,
        sleeps: counters.sleeps,
        recovery_ms: shown.recovery.took.as_millis() as u64,
        commit_us: (&histograms.commit_us).into(),
        push_ms: (&histograms.push_ms).into(),
        lane_us: (&histograms.lane_us).into(),
        sync_us: (&histograms.sync_us).into(),
        turn_us: (&histograms.turn_us).into(),
    }
}
