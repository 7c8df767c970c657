//! Numbers of the server as a whole that no shard knows: certificates, the last backup, lags of followers.

use crate::admin::api::Api;
use crate::model::{Millis, Position};
use crate::server::{Snapshot, last_backup};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[derive(Debug)]
pub struct ServerNumbers {
    /// The listener and the end of its certificate, in seconds since 1970.
    pub certificates: Vec<(&'static str, i64)>,
    /// Orders of certificates since the start, that were issued and that failed.
    pub acme: Option<[u64; 2]>,
    /// When the last complete backup began.
    pub backed_up: Option<Millis>,
    pub stream_lag_bytes: u64,
    pub is_draining: bool,
    /// How long nobody served, where the server has taken over from another one.
    pub gap: Option<Duration>,
}

impl ServerNumbers {
    /// `shards` are what all shards show, in order; `None` for one that does not run yet.
    pub fn of(api: &Api, shards: &[Option<Arc<Snapshot>>]) -> Self {
        let ends: Vec<Position> = api.orders.lanes.log_ends().into_iter().map(|end| end.acknowledged).collect();
        let segments: Vec<Option<u64>> = shards.iter().map(|shown| segment_bytes(shown.as_deref()?)).collect();
        Self {
            certificates: api.certificates.iter().filter_map(|(name, it)| Some((*name, it.expires()?))).collect(),
            acme: api.acme.as_ref().map(|it| [&it.issued, &it.failed].map(|count| count.load(Ordering::Relaxed))),
            backed_up: last_backup::read(&api.options.data_dir),
            stream_lag_bytes: longest_lag_bytes(&segments, &api.places.oldest(), &ends),
            is_draining: api.orders.lanes.is_draining(),
            gap: api.orders.lanes.gap(),
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
        if let Some(counts) = self.acme {
            let help = "Orders of a certificate from tls.acme_directory_url";
            let mut family = encoder.encode_descriptor("mushan_acme_orders", help, None, MetricType::Counter)?;
            for (result, count) in ["issued", "failed"].into_iter().zip(counts) {
                ConstCounter::new(count).encode(family.encode_family(&[("result", result)])?)?;
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
        if let Some(gap) = self.gap {
            let help = "Time in which nobody served while this server took over from the one before it";
            let name = "mushan_take_over_gap_seconds";
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(gap.as_secs_f64()).encode(gauge)?;
        }
        let help = "1 while the server drains: it accepts nobody and asks its sessions to go";
        let draining = encoder.encode_descriptor("mushan_draining", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::from(self.is_draining)).encode(draining)
    }
}

/// About the size of a segment of the shard's log, if it has one.
fn segment_bytes(shown: &Snapshot) -> Option<u64> {
    shown.log.bytes.checked_div(shown.log.segments)
}

/// The longest way from a place to the end of the same shard's log. All three are of all shards, in order; a shard that
/// has not said how large its segments are is passed over, and `places` are empty without a stream.
fn longest_lag_bytes(segment_bytes: &[Option<u64>], places: &[Position], ends: &[Position]) -> u64 {
    let shards = segment_bytes.iter().zip(places).zip(ends);
    let lags = shards.filter_map(|((segment_bytes, place), end)| Some(lag_bytes(*place, *end, (*segment_bytes)?)));
    lags.max().unwrap_or_default()
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

    #[test]
    fn a_shard_that_does_not_run_yet_shifts_no_lag_to_another_one() {
        let at = |offset| Position::new(1, offset);
        let (places, ends) = ([at(900), at(100), at(700)], [at(900), at(110), at(705)]);
        assert_eq!(longest_lag_bytes(&[Some(1_000); 3], &places, &ends), 10);
        assert_eq!(longest_lag_bytes(&[None, Some(1_000), Some(1_000)], &places, &ends), 10);
        assert_eq!(longest_lag_bytes(&[Some(1_000), None, Some(1_000)], &places, &ends), 5);
        assert_eq!(longest_lag_bytes(&[Some(1_000); 3], &[], &ends), 0, "nobody reads");
    }
}
