//! The bytes that a shard holds for sockets that do not take them, and how much of that there may be.
//!
//! Owned by one reactor. A socket is noted while a send is in flight and a part of a page or more is queued; what is
//! written at once is never noted, so the count costs the ordinary message nothing. Invariant: `total` is the sum of what
//! is noted of all sockets.

use crate::model::UserId;
use std::cmp::Reverse;

/// Fewer bytes of one socket are not noted.
pub const NOTED_BYTES_MIN: u64 = 4 << 10;
/// The least that one session may have queued before it falls behind, however short memory is.
const SHARE_BYTES_MIN: usize = 8 << 10;

/// How much of the memory for outboxes is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutboxPressure {
    #[default]
    Low,
    /// Above half: sessions fall behind at an eighth of their outboxes.
    High,
    /// Above all of it: they fall behind at once, and no new session is let in.
    Exceeded,
}

/// A session whose socket does not take what is queued for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowSession {
    pub user: UserId,
    pub queued_bytes: u64,
    /// How long the socket has taken nothing, in milliseconds.
    pub waiting_ms: u64,
}

/// The most sessions that are told of; those with the most bytes.
pub const SLOW_SESSIONS_MAX: usize = 8;

/// The sessions with the largest outboxes, the largest first.
pub fn slowest(mut sessions: Vec<SlowSession>) -> Vec<SlowSession> {
    sessions.sort_unstable_by_key(|session| Reverse(session.queued_bytes));
    sessions.truncate(SLOW_SESSIONS_MAX);
    sessions
}

#[derive(Debug)]
pub struct Outboxes {
    pub bytes_max: u64,
    total: u64,
    pressure: OutboxPressure,
    /// It was exceeded at the last periodic look as well.
    was_exceeded: bool,
}

impl Outboxes {
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max, total: 0, pressure: OutboxPressure::Low, was_exceeded: false }
    }

    /// Replaces what is noted of one socket.
    pub fn note(&mut self, noted: &mut u64, queued: u64) {
        let queued = if queued < NOTED_BYTES_MIN { 0 } else { queued };
        self.total = self.total - *noted + queued;
        *noted = queued;
    }

    /// The new pressure, if it has changed.
    pub fn changed_pressure(&mut self) -> Option<OutboxPressure> {
        let pressure = match self.total {
            total if total > self.bytes_max => OutboxPressure::Exceeded,
            total if total > self.bytes_max / 2 => OutboxPressure::High,
            _ => OutboxPressure::Low,
        };
        (std::mem::replace(&mut self.pressure, pressure) != pressure).then_some(pressure)
    }

    pub fn is_exceeded(&self) -> bool {
        self.total > self.bytes_max
    }

    /// The bytes to be freed by ending sessions, if memory was short at the last periodic look as well. To be called once
    /// a second.
    pub fn lasting_excess(&mut self) -> u64 {
        let is_exceeded = self.is_exceeded();
        let was_exceeded = std::mem::replace(&mut self.was_exceeded, is_exceeded);
        if was_exceeded && is_exceeded { self.total - self.bytes_max } else { 0 }
    }
}

impl OutboxPressure {
    /// The bytes that one session may have queued before pushes to it wait in the log; `outbox_bytes_max` is its limit.
    pub fn share(self, outbox_bytes_max: usize) -> usize {
        let share = match self {
            Self::Low => outbox_bytes_max / 2,
            Self::High => outbox_bytes_max / 8,
            Self::Exceeded => SHARE_BYTES_MIN,
        };
        share.max(SHARE_BYTES_MIN).min(outbox_bytes_max / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_follows_what_is_noted_and_small_queues_are_not() {
        let mut outboxes = Outboxes::new(100 << 10);
        let (mut one, mut two) = (0, 0);
        outboxes.note(&mut one, 3 << 10);
        assert_eq!((one, outboxes.total, outboxes.changed_pressure()), (0, 0, None));
        outboxes.note(&mut one, 60 << 10);
        assert_eq!(outboxes.changed_pressure(), Some(OutboxPressure::High));
        outboxes.note(&mut two, 60 << 10);
        assert_eq!(outboxes.changed_pressure(), Some(OutboxPressure::Exceeded));
        assert_eq!((outboxes.lasting_excess(), outboxes.lasting_excess()), (0, 20 << 10), "only if it lasts");
        outboxes.note(&mut one, 1);
        assert_eq!(outboxes.lasting_excess(), 0);
        outboxes.note(&mut two, 0);
        assert_eq!((outboxes.changed_pressure(), outboxes.changed_pressure()), (Some(OutboxPressure::Low), None));
        assert_eq!(outboxes.total, 0);
    }

    #[test]
    fn a_share_shrinks_with_pressure_and_never_below_a_frame_or_above_its_limit() {
        let shares =
            |limit| [OutboxPressure::Low, OutboxPressure::High, OutboxPressure::Exceeded].map(|it| it.share(limit));
        assert_eq!(shares(256 << 10), [128 << 10, 32 << 10, 8 << 10]);
        assert_eq!(shares(4 << 10), [2 << 10, 2 << 10, 2 << 10]);
    }
}
