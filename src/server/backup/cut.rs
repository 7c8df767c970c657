//! Computes where copies of several logs, each taken at its own moment, must end to be one consistent state. Pure, and
//! owned by a backup.
//!
//! Two rules tie logs together. A received delivery requires that its source's copy contains the message; a
//! confirmation requires that its target's copy contains the confirmed deliveries. Records that a log already had when
//! the backup first looked at it are never cut: the records that they require were written before them, and are copied.

use crate::log::Record;
use crate::model::{Position, ShardId};
use std::collections::BTreeMap;

/// The running maximum of numbers that grow along a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Numbers {
    /// The largest number in the log at the first look.
    before: u64,
    /// Each later position at which the maximum grows, with its new value.
    later: Vec<(Position, u64)>,
}

impl Numbers {
    fn note(&mut self, number: u64, position: Position, looked: Position) {
        let newest = self.later.last().map_or(self.before, |(_, newest)| *newest);
        if number <= newest {
            return;
        }
        if position < looked {
            self.before = number;
        } else {
            self.later.push((position, number));
        }
    }

    /// The maximum of the records before `cut`.
    fn through(&self, cut: Position) -> u64 {
        let count = self.later.partition_point(|(position, _)| *position < cut);
        count.checked_sub(1).map_or(self.before, |last| self.later[last].1)
    }
}

/// What a record requires of another shard's copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    /// The other shard's copy must contain this delivery to us.
    Sent { by: ShardId, number: u64 },
    /// The other shard's copy must contain our deliveries up to `through`.
    Taken { by: ShardId, through: u64 },
}

/// The deliveries that one log's copy contains, and its demands on other copies.
#[derive(Clone, Debug)]
pub struct Trail {
    shard: ShardId,
    /// The end of the log before anything was copied.
    looked: Position,
    /// The end of the copy.
    end: Position,
    sent: BTreeMap<ShardId, Numbers>,
    taken: BTreeMap<ShardId, Numbers>,
    demands: Vec<(Position, Demand)>,
}

impl Trail {
    /// The trail of an empty copy. `looked` is where the log ended before the first byte of any log was copied.
    pub fn new(shard: ShardId, looked: Position) -> Self {
        let (sent, taken) = Default::default();
        Self { shard, looked, end: Position::NONE, sent, taken, demands: Vec::new() }
    }

    /// Adds a record. To be called for each record of the copy, in order.
    pub fn note(&mut self, position: Position, record: &Record) {
        let looked = self.looked;
        let demand = match record {
            Record::Posted { deliveries, .. } => {
                for delivery in deliveries {
                    self.sent.entry(delivery.target).or_default().note(delivery.number, position, looked);
                }
                return;
            }
            Record::Delivered { source, number, .. } => {
                self.taken.entry(*source).or_default().note(*number, position, looked);
                Demand::Sent { by: *source, number: *number }
            }
            Record::Confirmed { target, through } => {
                // After a loss, a confirmation can be the only record that still shows the delivery was made.
                self.sent.entry(*target).or_default().note(*through, position, looked);
                Demand::Taken { by: *target, through: *through }
            }
            Record::Forgone { source, through } => {
                self.taken.entry(*source).or_default().note(*through, position, looked);
                return;
            }
            // These records require nothing of another log.
            Record::Start { .. }
            | Record::Mark { .. }
            | Record::Device { .. }
            | Record::Carried { .. }
            | Record::Inbox { .. }
            | Record::Conversation { .. }
            | Record::Issued { .. }
            | Record::Kept(_)
            | Record::Fanned { .. }
            | Record::Read { .. }
            | Record::Consumed { .. }
            | Record::Account { .. }
            | Record::Profile { .. }
            | Record::PushDevice { .. }
            | Record::Block { .. }
            | Record::Online { .. }
            | Record::Erased { .. }
            | Record::Clock { .. }
            | Record::Seen { .. } => return,
        };
        if position >= looked {
            self.demands.push((position, demand));
        }
    }

    pub fn finish(mut self, end: Position) -> Self {
        self.end = end;
        self
    }

    /// The end of the copy.
    pub fn end(&self) -> Position {
        self.end
    }

    /// The first record before our cut with a demand that another copy does not meet, where that copy ends at its cut.
    fn first_unmet(&self, trails: &[Self], cuts: &[Position]) -> Option<Position> {
        let through =
            |numbers: &BTreeMap<ShardId, Numbers>, cut| numbers.get(&self.shard).map_or(0, |it| it.through(cut));
        let is_met = |demand: &Demand| {
            let (Demand::Sent { by, .. } | Demand::Taken { by, .. }) = demand;
            let Some((other, cut)) = trails.get(usize::from(by.0)).zip(cuts.get(usize::from(by.0))) else {
                return false;
            };
            match demand {
                Demand::Sent { number, .. } => *number <= through(&other.sent, *cut),
                Demand::Taken { through: confirmed, .. } => *confirmed <= through(&other.taken, *cut),
            }
        };
        let own = cuts[usize::from(self.shard.0)];
        let standing = self.demands.iter().take_while(|(position, _)| *position < own);
        standing.into_iter().find(|(_, demand)| !is_met(demand)).map(|(position, _)| *position)
    }
}

/// The longest prefixes that agree with each other. `trails[n]` is shard n's. A cut is the position of the first record
/// that is left out, or the copy's end.
pub fn agree(trails: &[Trail]) -> Vec<Position> {
    let mut cuts: Vec<Position> = trails.iter().map(|trail| trail.end).collect();
    loop {
        let before = cuts.clone();
        for (shard, trail) in trails.iter().enumerate() {
            if let Some(unmet) = trail.first_unmet(trails, &cuts) {
                cuts[shard] = unmet;
            }
        }
        // Cuts only move back and never before the first look, so the loop ends.
        if cuts == before {
            return cuts;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Delivery;
    use crate::model::testing::plain_message;
    use std::sync::Arc;

    const A: ShardId = ShardId(0);
    const B: ShardId = ShardId(1);
    const C: ShardId = ShardId(2);

    fn at(offset: u32) -> Position {
        Position::new(1, offset)
    }

    fn posted(target: ShardId, number: u64) -> Record {
        let deliveries = [Delivery { target, number }].into_iter().collect();
        Record::Posted { message: Arc::new(plain_message()), deliveries, links: Default::default() }
    }

    fn delivered(source: ShardId, number: u64) -> Record {
        Record::Delivered { source, number, message: Arc::new(plain_message()), links: Default::default() }
    }

    fn confirmed(target: ShardId, through: u64) -> Record {
        Record::Confirmed { target, through }
    }

    /// Records at 100, 200 and so on, of which the first `looked` were in the log at the first look.
    fn trail(shard: ShardId, looked: u32, records: &[Record]) -> Trail {
        let mut trail = Trail::new(shard, at(100 + 100 * looked));
        let mut position = at(100);
        for record in records {
            trail.note(position, record);
            position = Position(position.0 + 100);
        }
        trail.finish(position)
    }

    fn agreed(trails: &[Trail]) -> Vec<u32> {
        agree(trails).into_iter().map(Position::offset).collect()
    }

    #[test]
    fn copies_that_agree_are_not_cut() {
        let a = trail(A, 0, &[posted(B, 1), posted(B, 2), confirmed(B, 1)]);
        let b = trail(B, 0, &[delivered(A, 1)]);
        assert_eq!(agreed(&[a, b]), [400, 200]);
    }

    #[test]
    fn a_delivery_whose_message_was_not_copied_is_left_out_with_all_behind_it() {
        let a = trail(A, 1, &[posted(B, 1)]);
        let b = trail(B, 0, &[delivered(A, 1), delivered(A, 2), posted(A, 1)]);
        assert_eq!(agreed(&[a, b]), [200, 200]);
    }

    #[test]
    fn a_confirmation_of_what_was_not_copied_is_left_out() {
        let a = trail(A, 0, &[posted(B, 1), posted(B, 2), confirmed(B, 1), confirmed(B, 2), posted(B, 3)]);
        let b = trail(B, 1, &[delivered(A, 1)]);
        assert_eq!(agreed(&[a, b]), [400, 200]);
    }

    #[test]
    fn what_is_known_to_be_lost_counts_as_owed_and_as_taken() {
        let a = trail(A, 0, &[posted(B, 1), confirmed(B, 7), posted(B, 8)]);
        let b = trail(B, 0, &[delivered(A, 7), delivered(A, 8), Record::Forgone { source: A, through: 9 }]);
        assert_eq!(agreed(&[a, b]), [400, 400]);
    }

    #[test]
    fn one_cut_brings_about_the_next_until_all_agree() {
        // C lacks deliveries that B confirms. B's cut drops a message that A has received, and A's cut one that C has
        // received.
        let a = trail(A, 0, &[posted(C, 1), delivered(B, 1), posted(C, 2)]);
        let b = trail(B, 0, &[posted(C, 1), confirmed(C, 1), posted(A, 1)]);
        let c = trail(C, 0, &[delivered(A, 1), delivered(A, 2)]);
        assert_eq!(agreed(&[a, b, c]), [200, 200, 200]);
    }

    #[test]
    fn what_stood_there_at_the_first_look_is_never_cut() {
        // A lost its tail in an earlier power cut under a lazy policy: A has already used its number 5.
        let a = trail(A, 1, &[posted(B, 6)]);
        let b = trail(B, 2, &[delivered(A, 5), confirmed(A, 9), delivered(A, 6)]);
        assert_eq!(agreed(&[a, b]), [200, 400]);
    }

    #[test]
    fn what_retention_dropped_below_the_first_number_seen_counts_as_there() {
        let a = trail(A, 1, &[posted(B, 8)]);
        let b = trail(B, 0, &[delivered(A, 7), delivered(A, 8), delivered(A, 9)]);
        assert_eq!(agreed(&[a, b]), [200, 300]);
    }

    #[test]
    fn a_shard_that_is_none_has_nothing() {
        let a = trail(A, 0, &[posted(A, 1), delivered(ShardId(9), 1)]);
        assert_eq!(agreed(&[a]), [200]);
    }
}
