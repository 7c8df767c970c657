//! Warnings that are repeated while their condition lasts, each at most once a minute.

use crate::log::Storage;
use crate::model::Steady;
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
        let logins = self.turn.traffic().logins_refused;
        let refused = logins.sum();
        if refused > self.complaints.logins_told && self.complaints.logins.is_due(now) {
            let since = refused - self.complaints.logins_told;
            self.complaints.logins_told = refused;
            let counts = logins.iter().filter(|(_, count)| *count > 0);
            let counts: Vec<String> = counts.map(|(refusal, count)| format!("{count} {}", refusal.name())).collect();
            tracing::warn!(shard, since, "logins are refused; since the start: {}", counts.join(", "));
        }
    }
}
