//! Members who join and leave with a group's entry: seats are changed in steps, once the job of the entry begins.
//!
//! Invariant: a step visits a bounded number of rows. A user's seat is searched among all its seats, so a user in very
//! many conversations costs as much as many others.

use crate::model::{ConversationSeq, Fact, GroupChange, Message, UserId};
use crate::shard::State;
use crate::shard::rows::index::ConversationIndex;
use crate::shard::rows::seat::Membership;
use std::ops::Range;

/// The most rows of users' own lists that a step visits, except that the last user is completed.
const ROWS_A_STEP_MAX: u32 = 64;

/// The number of seats that an entry changes, in a group with `seats` seats.
fn changes_of(message: &Message, seats: usize) -> usize {
    match message.fact.as_deref() {
        Some(Fact::Group(GroupChange::Dissolved)) => seats,
        Some(Fact::Group(GroupChange::Created { members, .. })) => members.len() + seats,
        Some(Fact::Group(GroupChange::Changed { .. } | GroupChange::Profiled(_))) => 0,
        Some(Fact::Group(change)) => change.members().len(),
        _ => 0,
    }
}

impl State {
    /// Makes all changes of the group's first job at once; used while a log is read.
    pub(in crate::shard) fn change_all_seats(&mut self, at: ConversationIndex) {
        while self.change_seats(at, usize::MAX) > 0 {}
    }

    /// Makes at most `count` changes of the group's first job, for users of this shard. Returns their number.
    pub(in crate::shard) fn change_seats(&mut self, at: ConversationIndex, count: usize) -> usize {
        let Some((message, changed)) = self.groups.fan_out.changes(at) else { return 0 };
        let from = changed as usize;
        let seats = self.tables.conversations.at(at).full_seats().len();
        let through = changes_of(&message, seats).min(from.saturating_add(count));
        if from >= through {
            return 0;
        }
        let Some(Fact::Group(change)) = message.fact.as_deref() else { return 0 };
        let seq = message.conversation_seq;
        let done = match change {
            GroupChange::Created { members, .. } if from >= members.len() => {
                // Seats that do not begin here are of an earlier group of the same id whose end is lost: a power cut or an
                // older copy of a log took it, and this group came back from other shards.
                let (seats, before) = (from - members.len()..through - members.len(), seq.0.saturating_sub(1));
                self.end_seats(at, seats, ConversationSeq(before), |seat| seat.joined != seq);
                through - from
            }
            GroupChange::Created { members, .. } | GroupChange::Added { members } => {
                self.change_each(&members[from..through.min(members.len())], |state, user| {
                    if state.is_home(user) {
                        state.seat(at, user, seq);
                    }
                })
            }
            GroupChange::Removed { members } => {
                self.change_each(&members[from..through], |state, user| state.unseat(at, user, seq))
            }
            GroupChange::Dissolved => {
                self.end_seats(at, from..through, seq, |_seat| true);
                through - from
            }
            GroupChange::Changed { .. } | GroupChange::Profiled(_) => through - from,
        };
        self.rows_visited.count(done);
        self.groups.fan_out.note_changes(at, from + done);
        done
    }

    /// Ends those of these seats that are to end: their users see nothing after `left`.
    fn end_seats(
        &mut self,
        at: ConversationIndex,
        seats: Range<usize>,
        left: ConversationSeq,
        ends: impl Fn(&Membership) -> bool,
    ) {
        for seat in &mut self.tables.conversations.at_mut(at).full_seats_mut()[seats] {
            if seat.is_taken() && ends(seat) {
                self.tables.inboxes.leave_group(seat.user);
                seat.left = left;
            }
        }
    }

    /// Changes as many users as a step may. Returns their number.
    fn change_each(&mut self, users: &[UserId], mut change: impl FnMut(&mut Self, &UserId)) -> usize {
        let before = self.rows_visited.so_far();
        for (done, user) in (1..).zip(users) {
            change(self, user);
            if self.rows_visited.so_far().saturating_sub(before) >= ROWS_A_STEP_MAX {
                return done;
            }
        }
        users.len()
    }

    /// Ends a user's membership: the user sees nothing after `left`.
    fn unseat(&mut self, at: ConversationIndex, user: &UserId, left: ConversationSeq) {
        let user_index = self.tables.inboxes.find(user);
        if let Some(seat) = user_index.and_then(|user_index| self.seat_of(user_index, at)) {
            self.change_group_seat(at, seat, |seat| seat.left = seat.left.min(left));
        }
    }
}
