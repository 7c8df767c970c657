//! Numbers of the server as a whole that no shard knows: certificates, the last backup, lags of followers.

use crate::admin::api::Api;
use crate::model::{Millis, Position};
use crate::server::{Snapshot, last_backup};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Arc;

#[derive(Debug)]
pub struct ServerNumbers {
    /// The listener and the end of its certificate, in seconds since 1970.
    pub certificates: Vec<(&'static str, i64)>,
    /// When the last complete backup began.
    pub backed_up: Option<Millis>,
    pub stream_lag_bytes: u64,
    pub is_draining: bool,
}

impl ServerNumbers {
    pub fn of(api: &Api, shards: &[(String, Arc<Snapshot>)]) -> Self {
        let oldest = api.places.oldest();
        let ends = api.orders.lanes.log_ends();
        let lags = shards.iter().zip(oldest.iter().zip(&ends)).map(|((_, shown), (place, end))| {
            let segment_bytes = shown.log.bytes.checked_div(shown.log.segments).unwrap_or_default();
            lag_bytes(*place, end.acknowledged, segment_bytes)
        });
        Self {
            certificates: api.certificates.iter().filter_map(|(name, it)| Some((*name, it.expires()?))).collect(),
            backed_up: last_backup::read(&api.options.data_dir),
            stream_lag_bytes: lags.max().unwrap_or_default(),
            is_draining: api.orders.lanes.is_draining(),
        }
    }

    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "End of the validity of a listener's certificate that is in use, in seconds since 1970";
        if !self.certificates.is_empty() {
            let name = "mushan_tls_certificate_expiry_timestamp_seconds";
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (listener, expires) in &self.certificates {
                ConstGauge::new(*expires).encode(family.encode_family(&[("listener", *listener)])?)?;
            }
        }
        if let Some(backed_up) = self.backed_up {
            let help = "Begin of the last backup of this data directory that was completed, in seconds since 1970";
            let name = "mushan_backup_last_timestamp_seconds";
            ConstGauge::new(backed_up.0 as f64 / 1_000.0).encode(encoder.encode_descriptor(
                name,
                help,
                None,
                MetricType::Gauge,
            )?)?;
        }
        let help = "Bytes of a shard's log that the slowest client of an event stream has not read yet";
        let lag = encoder.encode_descriptor("mushan_event_stream_lag_bytes", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(self.stream_lag_bytes).unwrap_or(i64::MAX)).encode(lag)?;
        let help = "1 while the server drains: it accepts nobody and asks its sessions to go";
        let draining = encoder.encode_descriptor("mushan_draining", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::from(self.is_draining)).encode(draining)
    }
}

/// Bytes from one position to another one, over whole segments.
fn lag_bytes(place: Position, end: Position, segment_bytes: u64) -> u64 {
    let offset = |at: Position| u64::from(at.segment()) * segment_bytes + u64::from(at.offset());
    offset(end).saturating_sub(offset(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_counts_across_segments_and_is_never_negative() {
        let (early, late) = (Position::new(2, 900), Position::new(4, 100));
        assert_eq!(lag_bytes(early, late, 1_000), 1_200);
        assert_eq!(lag_bytes(late, early, 1_000), 0);
    }
}
