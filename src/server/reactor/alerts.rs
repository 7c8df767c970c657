//! What an operator is told again and again while it lasts, each at most once a minute.

use crate::log::Storage;
use crate::model::Steady;
use crate::server::reactor::Reactor;
use crate::server::reactor::counters::Turned;

/// The same complaint is not repeated sooner.
const COMPLAINT_MS: u64 = 60_000;

/// When each complaint was last made.
#[derive(Default)]
pub struct Complaints {
    pub turned_away: [Complaint; Turned::ALL.len()],
    log_full: Complaint,
    logins: Complaint,
    /// Logins that had been refused when that was last told.
    logins_told: u64,
}

#[derive(Clone, Copy, Default)]
pub struct Complaint(Option<Steady>);

impl Complaint {
    pub fn is_due(&mut self, now: Steady) -> bool {
        let is_due = self.0.is_none_or(|last| now >= last.plus(COMPLAINT_MS));
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

impl Reactor {
    /// Once a second.
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
            tracing::warn!(shard, since, "logins are refused; in all: {}", counts.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_made_at_most_once_a_minute() {
        let mut complaint = Complaint::default();
        let start = Steady::default().plus(5);
        assert!(complaint.is_due(start));
        assert!(!complaint.is_due(start.plus(COMPLAINT_MS - 1)));
        assert!(complaint.is_due(start.plus(COMPLAINT_MS)));
    }
}
