//! Sends the spans of sampled messages to a collector: OTLP over HTTP, as protobuf (decision 0042).
//!
//! One task of the control thread. Invariants: one request at a time, each with a bounded time; a batch that the collector does
//! not take is dropped and counted, so a collector that is down costs the shards nothing.

use crate::server::turn::span::{SampledSpan, Sampling, SpanNumbers, SpanStage};
use crate::server::{AddressPolicy, OutboundClient, TelemetryOptions};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prost::Message as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use xxhash_rust::xxh3::xxh3_64;

/// Spans of one request.
const BATCH_SPANS_MAX: usize = 512;
/// How long the first span of a batch waits for more.
const LINGER: Duration = Duration::from_millis(500);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Of an answer, of which nothing but the status counts.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The least time between two warnings that the collector does not take spans.
const WARNING: Duration = Duration::from_secs(60);

/// The spans of the shards, on their way to the collector.
pub struct SpanExport {
    pub sampling: Arc<Sampling>,
    pub spans: mpsc::Receiver<SampledSpan>,
    pub client: OutboundClient,
}

impl SpanExport {
    /// The client of `telemetry.otlp_url`, which was checked with the other settings.
    ///
    /// # Errors
    ///
    /// The URL is https, and this machine has no certificates of authorities.
    pub fn client(telemetry: &TelemetryOptions) -> std::io::Result<Option<OutboundClient>> {
        let Some(Ok(endpoint)) = telemetry.endpoint() else { return Ok(None) };
        OutboundClient::new(endpoint, AddressPolicy::Any).map(Some)
    }

    /// Sends spans until the server stops; then those that are there, once.
    pub async fn run(mut self, mut is_stopping: watch::Receiver<bool>) {
        let mut warned: Option<Instant> = None;
        let mut is_last = false;
        while !is_last {
            let mut batch = Vec::new();
            tokio::select! {
                count = self.spans.recv_many(&mut batch, BATCH_SPANS_MAX) => is_last = count == 0,
                _ = is_stopping.wait_for(|is_stopping| *is_stopping) => is_last = true,
            }
            if !is_last {
                tokio::select! {
                    () = tokio::time::sleep(LINGER) => {}
                    _ = is_stopping.wait_for(|is_stopping| *is_stopping) => {}
                }
            }
            while batch.len() < BATCH_SPANS_MAX {
                let Ok(span) = self.spans.try_recv() else { break };
                batch.push(span);
            }
            if let Err(why) = self.send(&batch).await {
                self.sampling.note_untaken(batch.len());
                if warned.is_none_or(|warned| warned.elapsed() >= WARNING) {
                    warned = Some(Instant::now());
                    tracing::warn!(url = %self.client.endpoint(), "spans are lost: {why}");
                }
            } else {
                self.sampling.note_exported(batch.len());
            }
        }
    }

    async fn send(&self, batch: &[SampledSpan]) -> Result<(), String> {
        if batch.is_empty() {
            return Ok(());
        }
        let body = Bytes::from(request(&self.sampling, batch).encode_to_vec());
        let answered = timeout(TIMEOUT, self.client.post_protobuf(body, ANSWER_BYTES_MAX)).await;
        let answered = answered.map_err(|_late| "the collector does not answer in time".to_owned())?;
        let status = answered.map_err(|error| crate::server::sentence(&error))?.status;
        if status.is_success() { Ok(()) } else { Err(format!("the collector answers {}", status.as_u16())) }
    }
}

fn request(sampling: &Sampling, batch: &[SampledSpan]) -> ExportTraceServiceRequest {
    let resource = Resource {
        attributes: vec![text("service.name", "mushan"), text("service.version", env!("CARGO_PKG_VERSION"))],
        ..Resource::default()
    };
    let scope = InstrumentationScope { name: "mushan".to_owned(), ..InstrumentationScope::default() };
    let spans = batch.iter().map(|span| encoded(sampling, span)).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource_spans = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

/// The root's id follows from the trace alone, so that every shard knows it.
fn span_id(span: &SampledSpan, stage: SpanStage, began: Duration) -> [u8; 8] {
    let mut text = span.message.trace.to_be_bytes().to_vec();
    text.extend(stage.name().bytes());
    if stage != SpanStage::Send {
        text.extend(span.shard.0.to_be_bytes());
        text.extend(began.as_nanos().to_be_bytes());
    }
    xxh3_64(&text).max(1).to_be_bytes()
}

fn encoded(sampling: &Sampling, span: &SampledSpan) -> Span {
    let is_root = span.stage == SpanStage::Send;
    let (stage, began) = span.within;
    let parent = if is_root { Vec::new() } else { span_id(span, stage, began).to_vec() };
    let mut attributes = vec![
        number("mushan.shard", span.shard.0.into()),
        text("mushan.author", span.message.author.as_str()),
        text("mushan.client_message_id", span.message.client_message_id.as_str()),
        number("mushan.content_bytes", span.message.content_bytes as i64),
    ];
    attributes.extend(span.message_id.map(|id| text("mushan.message_id", &id.to_string())));
    attributes.extend(span.from.map(|from| number("mushan.from_shard", from.0.into())));
    attributes.extend(span.outcome.map(|outcome| text("mushan.outcome", outcome)));
    if span.stage == SpanStage::Push {
        attributes.push(number("mushan.sessions", span.sessions as i64));
    }
    Span {
        trace_id: span.message.trace.to_be_bytes().to_vec(),
        span_id: span_id(span, span.stage, span.began).to_vec(),
        parent_span_id: parent,
        name: span.stage.name().to_owned(),
        kind: if is_root { SpanKind::Server } else { SpanKind::Internal }.into(),
        start_time_unix_nano: sampling.unix_ns(span.began),
        end_time_unix_nano: sampling.unix_ns(span.ended),
        attributes,
        ..Span::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn number(key: &str, value: i64) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::IntValue(value)) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// The counts of spans; 0 while nothing is sampled.
pub(super) fn encode_spans(numbers: SpanNumbers, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Spans of sampled messages that the collector has taken";
    let exported = encoder.encode_descriptor("mushan_spans_exported", help, None, MetricType::Counter)?;
    ConstCounter::new(numbers.exported).encode(exported)?;
    let help = "Spans that are lost: the collector did not take them, or too many waited for it";
    let mut family = encoder.encode_descriptor("mushan_spans_lost", help, None, MetricType::Counter)?;
    for (reason, count) in [("collector", numbers.untaken), ("queue", numbers.overflowed)] {
        ConstCounter::new(count).encode(family.encode_family(&[("reason", reason)])?)?;
    }
    Ok(())
}
