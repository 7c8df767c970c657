//! When each lasting condition was last reported to the operator: at most once a minute.

use crate::model::Steady;
use crate::server::state::counters::ConnectionRefusal;

/// The least time between two reports of the same condition, in milliseconds.
const COMPLAINT_MS: u64 = 60_000;

/// When each condition was last reported.
#[derive(Default)]
pub struct Complaints {
    pub turned_away: [Complaint; ConnectionRefusal::ALL.len()],
    pub log_full: Complaint,
    pub logins: Complaint,
    /// The number of refused logins at the last report.
    pub logins_told: u64,
    pub proxy_headers: Complaint,
    pub origins: Complaint,
    /// The numbers of connections without their PROXY header, and of refused pages, at the last reports.
    pub proxy_headers_told: u64,
    pub origins_told: u64,
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
