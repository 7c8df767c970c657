//! Members who are being removed from a group: the entry that removes them has not reached them yet.

use crate::model::{ConversationSeq, Fact, GroupChange, UserId};
use crate::shard::State;
use crate::shard::rows::index::ConversationIndex;
use crate::shard::rows::seat::Membership;
use smallvec::SmallVec;

/// The removed users, sorted (`None`: all members), and the place of each removal in the conversation.
pub(in crate::shard) struct EndsUnderWay<'a>(SmallVec<[Ended<'a>; 2]>);

type Ended<'a> = (Option<&'a [UserId]>, ConversationSeq);

impl EndsUnderWay<'_> {
    /// How many removals are on their way.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The last place that the user with this seat sees.
    pub fn of(&self, user: &UserId, seat: &Membership) -> ConversationSeq {
        let concerns = |removed: &Option<&[UserId]>| removed.is_none_or(|removed| removed.binary_search(user).is_ok());
        let ends = self.0.iter().filter(|(removed, _)| concerns(removed));
        ends.map(|(_, seq)| *seq).fold(seat.left, ConversationSeq::min)
    }
}

impl State {
    /// Removals from the group that are under way to its members. They take effect for the removed users at once.
    pub(in crate::shard) fn ends_under_way(&self, at: ConversationIndex) -> EndsUnderWay<'_> {
        let ends = self.groups.fan_out.under_way(at).filter_map(|(message, _)| {
            self.rows_visited.count(1);
            match message.fact.as_deref() {
                Some(Fact::Group(GroupChange::Removed { members })) => {
                    Some((Some(&members[..]), message.conversation_seq))
                }
                Some(Fact::Group(GroupChange::Dissolved)) => Some((None, message.conversation_seq)),
                _ => None,
            }
        });
        EndsUnderWay(ends.collect())
    }
}
