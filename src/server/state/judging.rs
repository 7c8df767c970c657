//! Whether deadlines may be enforced in this turn.
//!
//! A process that was stopped (SIGSTOP, a paused machine) finds every deadline passed, while the bytes that its clients
//! sent meanwhile are still unread in their sockets. So it reads for a while first. A second pause in a row does not
//! extend that time, so deadlines are enforced in the end.

use crate::model::Steady;

/// A longer time between two turns means that the process was stopped: a running core sleeps for at most a second.
const PAUSE_MS: u64 = 2_000;
/// The time for reading after a pause: enough turns for all sockets to be read.
const READING_MS: u64 = 1_000;

#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server) struct Judging {
    turned_at: Steady,
    from: Steady,
    pub jumps_told: u64,
}

impl Judging {
    /// To be called once in each turn.
    pub fn turn(&mut self, now: Steady) {
        let was_paused = now.since(self.turned_at) > PAUSE_MS;
        if was_paused && self.from <= self.turned_at {
            self.from = now.plus(READING_MS);
        }
        self.turned_at = now;
    }

    pub fn may_judge(&self, now: Steady) -> bool {
        now >= self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paused_process_reads_before_it_judges_and_judges_in_the_end() {
        let mut judging = Judging::default();
        let mut judged = |at: u64| {
            judging.turn(Steady(at));
            judging.may_judge(Steady(at))
        };
        assert!([0, 1_000, 2_000, 2_900].into_iter().all(&mut judged), "it sleeps no longer");
        assert_eq!([60_000, 60_400, 60_999, 61_000].map(&mut judged), [false, false, false, true]);
        assert_eq!([90_000, 120_000].map(&mut judged), [false, true], "however slow its turns are");
    }
}
