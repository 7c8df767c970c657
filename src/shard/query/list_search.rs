//! The search for a user's newest conversations, of which there may be very many: it is divided among turns.
//!
//! Invariant: seats that are added during the search are not examined.

use crate::model::{Conversations, Seq};
use crate::shard::peers::pending_requests::Requester;
use crate::shard::rows::index::UserIndex;
use crate::shard::rows::seat::SeatAt;
use std::cmp::Reverse;

/// The state of one search.
#[derive(Debug)]
pub(in crate::shard) struct ListSearch {
    pub waiter: Requester,
    pub user_index: UserIndex,
    pub list: Conversations,
    /// The seats before this word of the user's seat list are not examined yet.
    pub words_left: usize,
    newest: Vec<(Seq, SeatAt)>,
    has_more: bool,
}

impl ListSearch {
    pub fn new(waiter: Requester, user_index: UserIndex, list: Conversations, words: usize) -> Self {
        Self { waiter, user_index, list, words_left: words, newest: Vec::new(), has_more: false }
    }

    /// Examines a seat; `last` is the newest entry of its conversation in the inbox.
    pub fn look_at(&mut self, last: Seq, seat: SeatAt) {
        if last.0 > 0 && (self.list.before == Seq(0) || last < self.list.before) {
            self.newest.push((last, seat));
        }
    }

    /// Keeps the requested number of newest conversations.
    pub fn prune(&mut self) {
        let limit = self.list.limit as usize;
        if self.newest.len() > limit {
            self.has_more = true;
            self.newest.select_nth_unstable_by_key(limit, |(last, _)| Reverse(*last));
            self.newest.truncate(limit);
        }
    }

    /// The result, newest first, and whether there are more conversations.
    pub fn finish(mut self) -> (Vec<(Seq, SeatAt)>, bool) {
        self.prune();
        self.newest.sort_unstable_by_key(|(last, _)| Reverse(*last));
        (self.newest, self.has_more)
    }
}
