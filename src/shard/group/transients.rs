//! Messages that are never stored, and typing notices, on their way to the sessions of a group's members: some seats in
//! each turn.
//!
//! Invariant: all messages advance by equally many seats in turn, so those of one group keep their order.

use crate::log::Storage;
use crate::model::{Conversation, UserId};
use crate::shard::rows::index::ConversationIndex;
use crate::shard::rows::seat::STAYS;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::work::transients::{TransientJob, TransientNotice};
use crate::shard::{Effect, Shard};

/// Seats of one message that are visited before the next message's turn; fewer where each is searched for in removals
/// that are under way.
const SEATS_A_STEP: usize = 512;
/// The most visited seats and pushes in one turn.
const SEATS_A_TURN: u32 = 8_192;
const PUSHES_A_TURN: usize = 512;
/// Cost model: searching one removal for a user costs as much as looking at so many seats.
const SEATS_PER_SEARCH: usize = 8;

impl<S: Storage> Shard<S> {
    /// At the group's owner: whether one more message may be forwarded.
    pub(in crate::shard) fn may_pass_on(&self, conversation: &Conversation, conversation_key: Fingerprint) -> bool {
        let Conversation::Group(_) = conversation else { return true };
        let at = self.state.tables.conversations.find(conversation_key, conversation, &self.state.tables.inboxes);
        at.is_none_or(|at| self.state.groups.transients.has_place(at))
    }

    pub(in crate::shard) fn has_transients(&self) -> bool {
        !self.state.groups.transients.jobs.is_empty()
    }

    /// Pushes the message to the first members at once if no other message of the group is under way. Drops it if there
    /// is no space: such messages may be lost.
    pub(in crate::shard) fn begin_transient(
        &mut self,
        at: ConversationIndex,
        notice: TransientNotice,
        effects: &mut Vec<Effect>,
    ) {
        if !self.state.groups.transients.has_place(at) {
            return;
        }
        let mut job = TransientJob { at, notice, next: 0 };
        let is_first = self.state.groups.transients.jobs.iter().all(|other| other.at != at);
        if !is_first || !self.forward_some(&mut job, effects) {
            self.state.groups.transients.jobs.push_back(job);
        }
    }

    /// Does one turn's share.
    pub(in crate::shard) fn continue_transients(&mut self, effects: &mut Vec<Effect>) {
        let effects_max = effects.len() + PUSHES_A_TURN;
        let rows_max = self.state.rows_visited.so_far().saturating_add(SEATS_A_TURN);
        while effects.len() < effects_max && self.state.rows_visited.so_far() < rows_max {
            let Some(mut job) = self.state.groups.transients.jobs.pop_front() else { return };
            if !self.forward_some(&mut job, effects) {
                self.state.groups.transients.jobs.push_back(job);
            }
        }
    }

    /// Does one step. Returns whether it was the last.
    fn forward_some(&mut self, job: &mut TransientJob, effects: &mut Vec<Effect>) -> bool {
        let ends = self.state.ends_under_way(job.at);
        let seats = self.state.tables.conversations.at(job.at).full_seats();
        let end = seats.len().min(job.next + (SEATS_A_STEP / (1 + ends.count())).max(1));
        let inboxes = &self.state.tables.inboxes;
        let online = seats[job.next..end].iter().filter(|seat| inboxes.is_online(seat.user));
        let told = online.filter(|seat| {
            self.state.rows_visited.count(ends.count() * SEATS_PER_SEARCH);
            ends.of(inboxes.user_at(seat.user), seat) == STAYS
        });
        let told: Vec<UserId> = told.map(|seat| inboxes.user_at(seat.user).clone()).collect();
        self.state.rows_visited.count(end - job.next);
        let is_last = end == seats.len();
        job.next = end;
        for user in told {
            match &job.notice {
                TransientNotice::Message(message, origin) => {
                    self.push_transient_to(user, message, *origin, effects);
                }
                TransientNotice::Typing(notice) => self.push_typing_to(user, notice, effects),
            }
        }
        is_last
    }
}
