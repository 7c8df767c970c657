//! What a shard shows of itself to whoever drives it.

use super::{Debts, Shard, Stats};
use crate::log::{Journal, Storage};
use crate::model::{DeviceKey, Limits, Seq, SessionId, UserId};
use crate::shard::table::cost::{self, Cost};

impl<S: Storage> Shard<S> {
    /// Something is owed that only waits for the log.
    pub fn awaits_log(&self) -> bool {
        !self.pending.is_empty() || self.healing.as_ref().is_some_and(|healing| healing.awaits_log())
    }

    /// Nothing is owed to anybody: no pending effect, no unanswered post, no unconfirmed delivery, no member of a group
    /// that lacks an entry.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
            && self.state.relay.is_settled()
            && self.state.fan_out.len() == 0
            && !self.has_positions()
    }

    /// What it is not settled for.
    pub fn debts(&self) -> Debts {
        Debts { unsynced: self.pending.len(), ..self.state.relay.debts() }
    }

    /// Answers and pushes that wait for the log.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Groups' messages that not all members have yet.
    pub fn fanning_out(&self) -> usize {
        self.state.fan_out.len()
    }

    pub fn journal(&self) -> &Journal<S> {
        &self.journal
    }

    /// For the storage's owner, who prepares spares and syncs.
    pub fn storage_mut(&mut self) -> &mut S {
        self.journal.storage_mut()
    }

    pub fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    /// The counters, with today's sizes filled in.
    pub fn stats(&self) -> Stats {
        Stats {
            sessions: self.state.sessions.len() as u64,
            users: self.state.inboxes.len() as u64,
            groups: self.state.groups.len() as u64,
            fanning_out: self.state.fan_out.len() as u64,
            conversations: self.state.conversations.len() as u64,
            dedupe_rows: self.state.dedupe.len() as u64,
            pending: self.pending.len() as u64,
            ..self.stats
        }
    }

    /// How far a device is known to have got.
    pub fn delivered(&self, user: &UserId, device: &DeviceKey) -> Option<Seq> {
        self.state.inboxes.delivered(user, device)
    }

    /// What the session says it is on.
    pub fn device(&self, session: SessionId) -> Option<&DeviceKey> {
        self.state.sessions.find(session).map(|row| &row.device)
    }

    /// What the last input cost.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// What the input being handled has cost so far, but for its effects.
    pub(super) fn cost_so_far(&self) -> Cost {
        cost::so_far(&self.state.rows_visited, self.journal.meter())
    }
}
