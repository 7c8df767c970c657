//! A shard's state, as its driver may read it.

use super::{Shard, Stats, Unfinished};
use crate::log::{Journal, Storage};
use crate::model::{DeviceKey, Histogram, Limits, Position, Seq, SessionId, UserId, Verb};
use crate::shard::table::cost::{self, Cost};

impl<S: Storage> Shard<S> {
    /// Whether an effect waits for the log and for nothing else: then the driver must seal and sync.
    pub fn awaits_log(&self) -> bool {
        !self.log.pending.is_empty() || self.healing.as_ref().is_some_and(|healing| healing.awaits_log())
    }

    /// Whether nothing is unfinished: no deferred effect, no unanswered request or order, no unconfirmed delivery, no
    /// group member without an entry.
    pub fn is_settled(&self) -> bool {
        self.log.pending.is_empty()
            && self.state.peers.outbound.is_settled()
            && self.state.groups.fan_out.len() == 0
            && self.state.groups.orders.0.is_empty()
            && self.state.live.hook_lines.len() == 0
            && !self.has_positions()
    }

    /// The unfinished work that keeps the shard from being settled.
    pub fn unfinished(&self) -> Unfinished {
        Unfinished {
            unsynced: self.log.pending.len(),
            hooked: self.state.live.hook_lines.len(),
            ..self.state.peers.outbound.unfinished()
        }
    }

    /// Replies and pushes that wait for the log.
    pub fn pending(&self) -> usize {
        self.log.pending.len()
    }

    /// Group messages that not all members have yet.
    pub fn fanning_out(&self) -> usize {
        self.state.groups.fan_out.len()
    }

    /// The shard's log.
    pub fn journal(&self) -> &Journal<S> {
        &self.log.journal
    }

    /// Records that begin before this position are acknowledged: their effects have left.
    pub fn acknowledged(&self) -> Position {
        self.log.acknowledged
    }

    /// The storage, for its owner, who allocates and syncs.
    pub fn storage_mut(&mut self) -> &mut S {
        self.log.journal.storage_mut()
    }

    /// The limits of sessions and users.
    pub fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    /// The counters, with current sizes.
    pub fn stats(&self) -> Stats {
        Stats {
            sessions: self.state.live.sessions.len() as u64,
            users: self.state.tables.inboxes.len() as u64,
            groups: self.state.groups.rosters.len() as u64,
            fanning_out: self.state.groups.fan_out.len() as u64,
            conversations: self.state.tables.conversations.len() as u64,
            dedupe_rows: self.state.tables.dedupe.len() as u64,
            pending: self.log.pending.len() as u64,
            hook_waiting: self.state.live.hook_lines.waiting() as u64,
            ..self.meters.stats
        }
    }

    /// From the acceptance of messages to their pushes to live sessions, in milliseconds.
    pub fn push_ms(&self) -> &Histogram {
        &self.meters.push_ms
    }

    /// Requests of sessions, by verb; refused ones as well.
    pub fn requests(&self) -> impl Iterator<Item = (Verb, u64)> {
        Verb::ALL.into_iter().zip(self.meters.requests)
    }

    /// How many messages this shard has accepted, and how many of other shards it has put into inboxes.
    #[inline]
    pub fn messages_written(&self) -> (u64, u64) {
        (self.meters.stats.committed, self.meters.stats.taken)
    }

    /// Records for which somebody waited.
    pub fn records_awaited(&self) -> u64 {
        self.meters.stats.records
    }

    /// The inbox seq up to which a device has acknowledged; `None` if the device is unknown here.
    pub fn delivered(&self, user: &UserId, device: &DeviceKey) -> Option<Seq> {
        self.state.tables.inboxes.delivered(user, device)
    }

    /// The device of a session.
    pub fn device(&self, session: SessionId) -> Option<&DeviceKey> {
        self.state.live.sessions.find(session).map(|row| &row.device)
    }

    /// The cost of the last input.
    pub fn cost(&self) -> Cost {
        self.meters.cost
    }

    /// Whether the current input has spent its share of reads and writes, so that deferrable work is left for later.
    pub(super) fn has_done_its_share(&self) -> bool {
        !self.cost_so_far().is_within(Cost::SHARE)
    }

    /// The cost of the current input so far, effects excluded.
    pub(super) fn cost_so_far(&self) -> Cost {
        cost::so_far(&self.state.rows_visited, self.log.journal.meter())
    }
}
