//! The numbers of webhooks, in Prometheus' text format.

use crate::admin::webhooks::handlers::lag_ms;
use crate::admin::webhooks::webhook::{AttemptResult, Webhook, WebhookPhase, WebhookState};
use crate::server::wall_now;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Arc;

/// One number of each webhook.
struct WebhookSeries {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    read: fn(&WebhookState) -> u64,
}

#[rustfmt::skip]
const SERIES: [WebhookSeries; 6] = [
    WebhookSeries { name: "mushan_webhook_events_delivered", help: "Events that the webhook's receiver has acknowledged", kind: MetricType::Counter, read: |it| it.delivered_events },
    WebhookSeries { name: "mushan_webhook_events_dropped", help: "Events that were neither acknowledged in time nor found room among the dead letters", kind: MetricType::Counter, read: |it| it.dropped_events },
    WebhookSeries { name: "mushan_webhook_begun_anew", help: "Times that the webhook's cursor could not be followed any more: events may have been missed or come again", kind: MetricType::Counter, read: |it| it.begun_anew },
    WebhookSeries { name: "mushan_webhook_dead_letters", help: "Events among the dead letters: send them again with `mushan webhook replay`", kind: MetricType::Gauge, read: |it| it.dead.events },
    WebhookSeries { name: "mushan_webhook_dead_letter_bytes", help: "Bytes of the dead letters", kind: MetricType::Gauge, read: |it| it.dead.bytes },
    WebhookSeries { name: "mushan_webhook_gone", help: "1 while nothing is sent because the receiver has answered 410 Gone", kind: MetricType::Gauge, read: |it| u64::from(it.phase == WebhookPhase::Gone) },
];

/// The states of all webhooks, with their names.
#[derive(Debug)]
pub struct WebhookNumbersShown(Vec<(String, WebhookState)>);

impl WebhookNumbersShown {
    pub fn of(webhooks: &[Arc<Webhook>]) -> Self {
        Self(webhooks.iter().map(|webhook| (webhook.options.name.clone(), webhook.state().clone())).collect())
    }

    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        for WebhookSeries { name, help, kind, read } in &SERIES {
            let mut family = encoder.encode_descriptor(name, help, None, *kind)?;
            for (webhook, state) in &self.0 {
                let labels = [("webhook", webhook.as_str())];
                let encoder = family.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => ConstCounter::new(read(state)).encode(encoder)?,
                    _ => ConstGauge::new(i64::try_from(read(state)).unwrap_or(i64::MAX)).encode(encoder)?,
                }
            }
        }
        let help = "Age of the oldest event that the webhook's receiver has not acknowledged";
        let mut family = encoder.encode_descriptor("mushan_webhook_lag_seconds", help, None, MetricType::Gauge)?;
        let now = wall_now();
        for (webhook, state) in &self.0 {
            let lag = ConstGauge::new(lag_ms(state, now) as f64 / 1_000.0);
            lag.encode(family.encode_family(&[("webhook", webhook.as_str())])?)?;
        }
        let help = "Requests to the webhook's receiver, by their result";
        let mut family = encoder.encode_descriptor("mushan_webhook_attempts", help, None, MetricType::Counter)?;
        for (webhook, state) in &self.0 {
            for result in AttemptResult::ALL {
                let labels = [("webhook", webhook.as_str()), ("result", result.name())];
                ConstCounter::new(state.attempts[result as usize]).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
