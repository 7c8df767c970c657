//! Warnings that are repeated while their condition lasts, each at most once a minute.

use crate::log::Storage;
use crate::model::{Closing, Steady};
use crate::server::reactor::event_loop::Reactor;

impl Reactor {
    /// To be called once a second.
    pub(in crate::server) fn complain_again(&mut self, now: Steady) {
        let shard = self.me.0;
        if self.turn.storage_mut().is_full() && self.complaints.log_full.is_due(now) {
            tracing::warn!(
                shard,
                "the disk has no room for the next segment of the log: messages are refused once this one is full, until \
                 there is room again"
            );
        }
        self.complain_of_arrivals(now);
        let logins = self.turn.traffic().logins_refused;
        if let Some(since) = self.complaints.logins.due(logins.sum(), now) {
            let counts = logins.iter().filter(|(_, count)| *count > 0);
            let counts: Vec<String> = counts.map(|(refusal, count)| format!("{count} {}", refusal.name())).collect();
            tracing::warn!(shard, since, "logins are refused; since the start: {}", counts.join(", "));
        }
    }

    /// Connections that end before their upgrade because somebody has to change a setting.
    fn complain_of_arrivals(&mut self, now: Steady) {
        let (shard, ended) = (self.me.0, self.turn.traffic().ended);
        let complaints = &mut self.complaints;
        if let Some(since) = complaints.proxy_headers.due(ended[Closing::ProxyHeaderMissing as usize], now) {
            tracing::warn!(
                shard,
                since,
                "connections from a network in server.proxy_protocol_from begin without a PROXY header and are closed: let \
                 the proxy send it, or take its address out of that setting"
            );
        }
        if let Some(since) = complaints.origins.due(ended[Closing::OriginRefused as usize], now) {
            tracing::warn!(
                shard,
                since,
                "web pages of other hosts are answered 403: name their origins in server.allowed_origins, and let a proxy \
                 pass Host unchanged"
            );
        }
    }
}
