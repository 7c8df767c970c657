//! Members on their way out of a group: removed, while the entry that says so has not reached them.

use crate::model::{ConversationSeq, Fact, GroupChange, UserId};
use crate::shard::State;
use crate::shard::rows::index::ConversationIndex;
use crate::shard::rows::seat::Membership;
use smallvec::SmallVec;

/// Who is removed, sorted (`None`: everybody), and with which place of the conversation.
pub(in crate::shard) struct EndsUnderWay<'a>(SmallVec<[Ended<'a>; 2]>);

type Ended<'a> = (Option<&'a [UserId]>, ConversationSeq);

impl EndsUnderWay<'_> {
    /// The last that the user, who has this seat, sees.
    pub fn of(&self, user: &UserId, seat: &Membership) -> ConversationSeq {
        let concerns = |removed: &Option<&[UserId]>| removed.is_none_or(|removed| removed.binary_search(user).is_ok());
        let ends = self.0.iter().filter(|(removed, _)| concerns(removed));
        ends.map(|(_, seq)| *seq).fold(seat.left, ConversationSeq::min)
    }
}

impl State {
    /// Removals from the group that are on their way to its members: for who is removed it is over all the same.
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
