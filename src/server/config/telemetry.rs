//! Where spans of sampled messages are sent (decision 0042).

use crate::server::outbound::addresses::AddressPolicy;
use crate::server::outbound::endpoint::Endpoint;

/// Spans for a collector that speaks OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryOptions {
    /// `None`: no message is sampled.
    pub otlp_url: Option<String>,
    /// One of so many messages is sampled.
    pub sample_one_in: u64,
}

impl Default for TelemetryOptions {
    fn default() -> Self {
        Self { otlp_url: None, sample_one_in: 1_000 }
    }
}

impl TelemetryOptions {
    /// `Err` says what is wrong with the URL; `None`: there is none.
    pub fn endpoint(&self) -> Option<Result<Endpoint, String>> {
        self.otlp_url.as_ref().map(|url| Endpoint::parse(url, AddressPolicy::Any))
    }

    /// What is wrong with the settings together, one sentence each.
    pub(super) fn problems(&self, has_api: bool) -> Vec<String> {
        let fault = self.endpoint().and_then(Result::err).map(|why| format!("telemetry.otlp_url: {why}"));
        let thread = (self.otlp_url.is_some() && !has_api).then(|| {
            "telemetry.otlp_url needs the HTTP API, whose thread sends the spans: admin.listen must not be off"
                .to_owned()
        });
        fault.into_iter().chain(thread).collect()
    }
}
