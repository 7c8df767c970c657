//! `GET /metrics`: the shards' counters and the server's properties, in Prometheus' text format.
//!
//! Shards publish once a second (`server::Snapshot`); the control thread only reads. A shard that does not run yet has
//! no series.

use crate::admin::api::Api;
use crate::admin::base::contract::{Answering, RouteContract};
use crate::admin::base::error::ApiError;
use crate::admin::watch::histograms::{encode_admin_requests, encode_histograms};
use crate::admin::watch::hook::encode_hook;
use crate::admin::watch::numbers::ServerNumbers;
use crate::admin::watch::process::Process;
use crate::admin::watch::spans::encode_spans;
use crate::admin::watch::webhooks::WebhookNumbersShown;
use crate::model::Histogram;
use crate::server::turn::span::SpanNumbers;
use crate::server::{Durability, HookNumbers, Snapshot};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// One number of each shard, labelled with the shard. Counters get the suffix `_total`.
struct Series {
    name: &'static str,
    help: &'static str,
    read: fn(&Snapshot) -> u64,
}

const fn series(name: &'static str, help: &'static str, read: fn(&Snapshot) -> u64) -> Series {
    Series { name, help, read }
}

#[rustfmt::skip]
static COUNTERS: &[Series] = &[
    series("mushan_connections_accepted", "Connections accepted by the shard's core", |it| it.counters.accepted),
    series("mushan_connections_handed_over", "Connections handed over to the shard of their user: about (shards - 1) / shards of those that log in", |it| it.counters.handed_over),
    series("mushan_tls_handshakes", "TLS handshakes completed with clients", |it| it.counters.tls_handshakes),
    series("mushan_received_bytes", "Bytes received from sockets", |it| it.counters.received_bytes),
    series("mushan_sent_bytes", "Bytes written to sockets", |it| it.counters.sent_bytes),
    series("mushan_socket_sends", "Writes to sockets: bytes per write show how well pushes are batched", |it| it.counters.sends),
    series("mushan_receives_starved", "Receives that stopped because no buffer was left: raise server.receive_buffers", |it| it.counters.receives_starved),
    series("mushan_log_records", "Log records for which somebody waited: divided by mushan_log_syncs_total, the records per sync", |it| it.counters.records),
    series("mushan_log_syncs", "Syncs of the log that have completed", |it| it.counters.syncs),
    series("mushan_log_segments_dropped", "Segments dropped by retention", |it| it.stats.dropped_segments),
    series("mushan_messages_given_back", "Messages that this log had lost and another shard gave back", |it| it.stats.given_back),
    series("mushan_deliveries_sent_again", "Deliveries sent again to shards whose logs had lost them", |it| it.stats.redelivered),
    series("mushan_deliveries_lost", "Deliveries of other shards that are lost for good", |it| it.stats.forgone),
    series("mushan_places_lost", "Places of conversations whose messages are lost for good", |it| it.stats.missing_places),
    series("mushan_log_contradictions", "Places of conversations at which two logs have different messages: a repair is needed", |it| it.stats.contradictions),
    series("mushan_log_records_unreadable", "Records that were whole at the start and could not be read since: the disk loses data", |it| it.stats.unreadable),
    series("mushan_checkpoints", "Checkpoints written", |it| it.counters.checkpoints),
    series("mushan_turns", "Turns of the shard that had work: its rate beside mushan_sleeps_total shows how busy the core is", |it| it.counters.turns),
    series("mushan_slow_turns", "Turns that took more than a millisecond: many inputs in one turn, or a core that others use as well", |it| it.counters.slow_turns),
    series("mushan_sleeps", "Times that the shard had no work and slept: near 0 per second under load, the core is saturated", |it| it.counters.sleeps),
    series("mushan_messages_committed", "Messages accepted by conversations of the shard", |it| it.stats.committed),
    series("mushan_messages_taken", "Messages of other shards' conversations put into inboxes", |it| it.stats.taken),
    series("mushan_sends_repeated", "Sends recognised as repetitions and answered from the dedupe", |it| it.stats.repeated),
    series("mushan_events_pushed", "Events pushed to sessions", |it| it.stats.pushed),
    series("mushan_sessions_fell_behind", "Times that a session's outbox was full: its entries follow as its socket drains", |it| it.stats.fell_behind),
    series("mushan_deliveries_ignored", "Deliveries between shards ignored because they came twice or too early: a few after a start are normal, a steady rate means that shards do not keep up", |it| it.stats.ignored),
    series("mushan_clock_jumps", "Jumps of the wall clock by more than 10 seconds: retention waits until the clock is steady again", |it| it.stats.clock_jumps),
    series("mushan_fetches", "Requests that waited for cold history", |it| it.stats.fetched),
];

#[rustfmt::skip]
static GAUGES: &[Series] = &[
    series("mushan_shard_ready", "1 once the shard has completed the deliveries from before the start", |it| u64::from(it.is_ready)),
    series("mushan_connections", "Connections, authenticated or not", |it| it.connections),
    series("mushan_sessions", "Open sessions", |it| it.stats.sessions),
    series("mushan_users", "Users with an inbox", |it| it.stats.users),
    series("mushan_conversations", "Conversations that the shard orders", |it| it.stats.conversations),
    series("mushan_dedupe_rows", "Client message ids remembered", |it| it.stats.dedupe_rows),
    series("mushan_hook_waiting", "Sends that wait because the hook is asked about an earlier one of their author", |it| it.stats.hook_waiting),
    series("mushan_pending_effects", "Replies, pushes and shard messages that wait for the log", |it| it.stats.pending),
    series("mushan_input_records_max", "Most log records that one input has read or appended since the start", |it| it.stats.highest_cost.records.into()),
    series("mushan_input_bytes_max", "Most bytes of the log that one input has read or written since the start", |it| it.stats.highest_cost.bytes.into()),
    series("mushan_input_rows_max", "Most rows in memory that one input has scanned since the start", |it| it.stats.highest_cost.rows.into()),
    series("mushan_input_effects_max", "Most replies, pushes and shard messages that one input has caused since the start", |it| it.stats.highest_cost.effects.into()),
    series("mushan_outbox_bytes", "Bytes queued for connections, summed over 4 seconds", |it| it.outbox_bytes),
    series("mushan_outbox_bytes_max", "Bytes that connections may have queued together; above that, sessions with the largest outboxes end", |it| it.outbox_bytes_max),
    series("mushan_lane_waiting", "Messages and connections that wait because the lane to another shard is full; normally 0", |it| it.lanes.waiting),
    series("mushan_lane_incoming", "Batches and connections from other shards that the shard has not taken yet: grows when its core is saturated", |it| it.lanes.incoming),
    series("mushan_connections_max", "Most connections that the shard accepts", |it| it.connections_max),
    series("mushan_log_full", "1 while the disk has no room for the next segment: sends are refused once this one is full", |it| u64::from(it.log.is_full)),
    series("mushan_log_segments", "Segments of the log", |it| it.log.segments),
    series("mushan_log_bytes", "Bytes of the log's segments on the disk", |it| it.log.bytes),
    series("mushan_checkpoint_bytes", "Bytes of the newest checkpoint", |it| it.checkpoint_bytes),
    series("mushan_recovery_records", "Log records that the start read after the checkpoint", |it| it.recovery.records),
    series("mushan_log_durable_lag_bytes", "Bytes appended that are not known to be on stable storage", |it| it.log.lag_bytes),
];

/// The name, the help and the value of a duration of each shard.
type DurationSeries = (&'static str, &'static str, fn(&Snapshot) -> Duration);

#[rustfmt::skip]
static DURATIONS: [DurationSeries; 2] = [
    ("mushan_turn_longest_seconds", "Duration of the longest turn since the start, including all its inputs and waiting for the core", |it| it.counters.longest_turn),
    ("mushan_recovery_seconds", "Time that the start took to open the shard's log", |it| it.recovery.took),
];

/// The metrics as text.
pub struct MetricsText(String);

impl IntoResponse for MetricsText {
    fn into_response(self) -> Response {
        (StatusCode::OK, [(CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], self.0).into_response()
    }
}

impl Answering for MetricsText {
    fn describe(contract: &mut RouteContract<'_>) {
        contract.answers::<String>(200, "text/plain");
    }
}

pub async fn show(State(api): State<Arc<Api>>) -> Result<MetricsText, ApiError> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape::of(&api)));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).map_err(|_| ApiError::Internal)?;
    Ok(MetricsText(text))
}

#[derive(Debug)]
struct Scrape {
    shards: Vec<(String, Arc<Snapshot>)>,
    durability: Durability,
    orders_under_way: u64,
    event_streams: u64,
    events_sent: u64,
    answered: Vec<(String, u64)>,
    /// Whose permissions counted, what became of it, how often.
    messages: Vec<(&'static str, &'static str, u64)>,
    process: Process,
    webhooks: WebhookNumbersShown,
    numbers: ServerNumbers,
    requests_us: Histogram,
    reserve_bytes: u64,
    hook: Option<HookNumbers>,
    spans: SpanNumbers,
}

impl Scrape {
    fn of(api: &Api) -> Self {
        let shown = api.orders.lanes.snapshots();
        let numbers = ServerNumbers::of(api, &shown);
        let answered = api.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = api.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let shards: Vec<_> =
            shown.into_iter().enumerate().filter_map(|(shard, shown)| Some((shard.to_string(), shown?))).collect();
        Self {
            numbers,
            requests_us: *api.requests_us.lock().unwrap_or_else(PoisonError::into_inner),
            shards,
            durability: api.options.durability,
            orders_under_way: api.orders.count() as u64,
            webhooks: WebhookNumbersShown::of(&api.webhooks),
            event_streams: (api.options.admin.event_streams_max - api.streams.available_permits()) as u64,
            events_sent: api.events_sent.load(Ordering::Relaxed),
            process: Process::look(&api.options.data_dir),
            reserve_bytes: api.options.reserve_bytes,
            hook: api.hook.as_ref().map(|meters| meters.numbers()),
            spans: api.sampling.as_ref().map(|sampling| sampling.numbers()).unwrap_or_default(),
            answered: answered.iter().map(|(status, count)| (status.to_string(), *count)).collect(),
            messages: messages.iter().map(|((authority, outcome), count)| (*authority, *outcome, *count)).collect(),
        }
    }

    fn encode_shards(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for Series { name, help, read } in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (shard, shown) in &self.shards {
                ConstCounter::new(read(shown)).encode(family.encode_family(&[("shard", shard.as_str())])?)?;
            }
        }
        for Series { name, help, read } in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (shard, shown) in &self.shards {
                gauge(read(shown)).encode(family.encode_family(&[("shard", shard.as_str())])?)?;
            }
        }
        Ok(())
    }

    /// Counters of each shard by one more label.
    fn encode_labelled(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Sessions opened, by protocol";
        self.encode_by(encoder, ("mushan_sessions_opened", help, "protocol"), |it| it.counters.opened())?;
        let help = "Messages of clients, by protocol: requests, logins and what is no request";
        self.encode_by(encoder, ("mushan_client_messages", help, "protocol"), |it| it.counters.received())?;
        let help = "Requests of sessions, by verb, refused ones as well; a verb that nobody used has no series";
        self.encode_by(encoder, ("mushan_requests", help, "verb"), |it| {
            it.requests.iter().filter(|(_, count)| *count > 0).map(|(verb, count)| (verb.name(), *count))
        })?;
        let help = "Connections that ended, by the reason";
        self.encode_by(encoder, ("mushan_connections_closed", help, "closing"), |it| {
            it.counters.closed().map(|(closing, count)| (closing.name(), count))
        })?;
        let help = "Connections refused or ended for lack of room, by the reason";
        self.encode_by(encoder, ("mushan_connections_turned_away", help, "reason"), |it| {
            it.counters.turned_away().map(|(reason, count)| (reason.name(), count))
        })?;
        let help = "Requests refused, by the reason";
        self.encode_by(encoder, ("mushan_requests_refused", help, "reason"), |it| {
            let refused = it.counters.refused.iter().map(|(refusal, count)| (refusal.name(), count));
            refused.chain([("malformed", it.counters.refused.malformed())])
        })?;
        let help = "Logins refused, by the reason";
        self.encode_by(encoder, ("mushan_logins_refused", help, "reason"), |it| {
            it.counters.logins_refused.iter().map(|(refusal, count)| (refusal.name(), count))
        })?;
        let help = "Tokens refused, by the fault";
        self.encode_by(encoder, ("mushan_tokens_refused", help, "reason"), |it| {
            it.counters.refused_tokens().map(|(fault, count)| (fault.name(), count))
        })
    }

    /// One counter by its name, its help and its label beside the shard.
    fn encode_by<'a, I: Iterator<Item = (&'static str, u64)>>(
        &'a self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, label): (&str, &str, &str),
        read: impl Fn(&'a Snapshot) -> I,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (shard, shown) in &self.shards {
            for (value, count) in read(shown) {
                let labels = [("shard", shard.as_str()), (label, value)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_ages(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Age of the shard's numbers: if it exceeds a few seconds, the core is too busy for periodic work";
        let name = "mushan_shard_snapshot_age_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (shard, shown) in &self.shards {
            let age = ConstGauge::new(shown.taken.elapsed().as_secs_f64());
            age.encode(family.encode_family(&[("shard", shard.as_str())])?)?;
        }
        for (name, help, read) in DURATIONS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (shard, shown) in &self.shards {
                let duration = ConstGauge::new(read(shown).as_secs_f64());
                duration.encode(family.encode_family(&[("shard", shard.as_str())])?)?;
            }
        }
        let help = "Time since this server last wrote a checkpoint of the shard";
        let mut family = encoder.encode_descriptor("mushan_checkpoint_age_seconds", help, None, MetricType::Gauge)?;
        for (shard, shown) in &self.shards {
            let Some(checkpointed) = shown.checkpointed else { continue };
            let age = ConstGauge::new(checkpointed.elapsed().as_secs_f64());
            age.encode(family.encode_family(&[("shard", shard.as_str())])?)?;
        }
        Ok(())
    }

    fn encode_server(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "The running version, and the commit that it was built from";
        let mut family = encoder.encode_descriptor("mushan_build_info", help, None, MetricType::Gauge)?;
        gauge(1).encode(
            family.encode_family(&[("version", env!("CARGO_PKG_VERSION")), ("commit", env!("MUSHAN_COMMIT"))])?,
        )?;

        let help = format!("The durability policy; {}", self.durability.promise());
        let mut family = encoder.encode_descriptor("mushan_durability_info", &help, None, MetricType::Gauge)?;
        gauge(1).encode(family.encode_family(&[("policy", self.durability.name())])?)?;

        let help = "Bytes of the disk that segments leave free";
        let reserve = encoder.encode_descriptor("mushan_disk_reserve_bytes", help, None, MetricType::Gauge)?;
        gauge(self.reserve_bytes).encode(reserve)?;
        self.process.encode(encoder)?;

        let help = "Operators' orders that shards have not answered yet";
        let orders = encoder.encode_descriptor("mushan_admin_orders", help, None, MetricType::Gauge)?;
        gauge(self.orders_under_way).encode(orders)?;

        let help = "Event streams of the HTTP API that are open";
        let streams = encoder.encode_descriptor("mushan_event_streams", help, None, MetricType::Gauge)?;
        gauge(self.event_streams).encode(streams)?;

        let help = "Events sent to clients of event streams";
        let events = encoder.encode_descriptor("mushan_events_sent", help, None, MetricType::Counter)?;
        ConstCounter::new(self.events_sent).encode(events)?;

        let help = "Responses of the HTTP API, by status";
        let mut family = encoder.encode_descriptor("mushan_admin_answers", help, None, MetricType::Counter)?;
        for (status, count) in &self.answered {
            ConstCounter::new(*count).encode(family.encode_family(&[("status", status.as_str())])?)?;
        }

        let help = "Messages that came over the HTTP API, by whose permissions counted and what became of them";
        let mut family = encoder.encode_descriptor("mushan_admin_messages", help, None, MetricType::Counter)?;
        for (authority, outcome, count) in &self.messages {
            let labels = [("as", *authority), ("outcome", *outcome)];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_server(&mut encoder)?;
        if let Some(hook) = &self.hook {
            encode_hook(hook, &mut encoder)?;
        }
        encode_spans(self.spans, &mut encoder)?;
        self.encode_shards(&mut encoder)?;
        encode_histograms(&self.shards, &mut encoder)?;
        encode_admin_requests(&self.requests_us, &mut encoder)?;
        self.numbers.encode(&mut encoder)?;
        self.encode_labelled(&mut encoder)?;
        self.encode_ages(&mut encoder)?;
        self.webhooks.encode(&mut encoder)
    }
}

/// The library's gauges are signed; our sizes never exceed 63 bits.
fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Closing;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_say_what_they_belong_to() {
        let names: Vec<&str> = COUNTERS.iter().chain(GAUGES).map(|series| series.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(names.iter().all(|name| name.starts_with("mushan_") && !name.ends_with("_total")), "{names:?}");
    }

    #[test]
    fn the_closings_have_names_of_their_own() {
        let names: BTreeSet<&str> = Closing::ALL.into_iter().map(Closing::name).collect();
        assert_eq!(names.len(), Closing::ALL.len());
    }
}
