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
    /// Refused logins.
    pub logins: CountComplaint,
    /// Connections without their PROXY header.
    pub proxy_headers: CountComplaint,
    /// Refused web pages.
    pub origins: CountComplaint,
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

/// A complaint of something that is counted.
#[derive(Clone, Copy, Default)]
pub struct CountComplaint {
    complaint: Complaint,
    /// The count at the last report.
    told: u64,
}

impl CountComplaint {
    /// How many there were since the last report, if there were any and the next report is due.
    pub fn due(&mut self, count: u64, now: Steady) -> Option<u64> {
        if count <= self.told || !self.complaint.is_due(now) {
            return None;
        }
        let since = count - self.told;
        self.told = count;
        Some(since)
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

    #[test]
    fn what_is_counted_is_told_when_there_is_more_of_it_and_all_that_came_since() {
        let mut complaint = CountComplaint::default();
        let start = Steady::default().plus(5);
        assert_eq!((complaint.due(0, start), complaint.due(3, start)), (None, Some(3)));
        assert_eq!(complaint.due(5, start.plus(COMPLAINT_MS - 1)), None);
        assert_eq!(complaint.due(9, start.plus(COMPLAINT_MS)), Some(6));
        assert_eq!(complaint.due(9, start.plus(3 * COMPLAINT_MS)), None);
    }
}
