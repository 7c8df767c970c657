//! The search for the newest conversations of a user, who may have any number: a part in each turn.
//!
//! Invariant: seats that the user takes meanwhile are not among those that are looked at.

use crate::model::{Conversations, RequestTag, Seq, SessionId};
use crate::shard::rows::index::UserIndex;
use crate::shard::rows::seat::SeatAt;
use std::cmp::Reverse;

/// A list that is being made.
#[derive(Debug)]
pub(in crate::shard) struct ListSearch {
    pub session: SessionId,
    pub tag: RequestTag,
    pub place: UserIndex,
    pub list: Conversations,
    /// The seats before this word of the user's seats are still to be looked at.
    pub words_left: usize,
    newest: Vec<(Seq, SeatAt)>,
    has_more: bool,
}

impl ListSearch {
    pub fn new((session, tag): (SessionId, RequestTag), place: UserIndex, list: Conversations, words: usize) -> Self {
        Self { session, tag, place, list, words_left: words, newest: Vec::new(), has_more: false }
    }

    /// Looks at a seat, whose conversation's newest entry in the inbox is this.
    pub fn look_at(&mut self, last: Seq, seat: SeatAt) {
        if last.0 > 0 && (self.list.before == Seq(0) || last < self.list.before) {
            self.newest.push((last, seat));
        }
    }

    /// Keeps as many of the newest as are asked for.
    pub fn prune(&mut self) {
        let limit = self.list.limit as usize;
        if self.newest.len() > limit {
            self.has_more = true;
            self.newest.select_nth_unstable_by_key(limit, |(last, _)| Reverse(*last));
            self.newest.truncate(limit);
        }
    }

    /// The newest first, and whether there are more.
    pub fn finish(mut self) -> (Vec<(Seq, SeatAt)>, bool) {
        self.prune();
        self.newest.sort_unstable_by_key(|(last, _)| Reverse(*last));
        (self.newest, self.has_more)
    }
}
