//! Groups that this shard owns, whose creation its log has lost while other logs still have later changes of them.
//!
//! Invariant: follows from records, so that after an interrupted healing the next start knows which groups are still to
//! be dissolved. Checkpoints do not contain it: none is made while logs are healed.

use crate::model::{Conversation, Fact, GroupChange, Message, UserId};
use std::collections::BTreeMap;

/// By group: the author of the last message that was ordered behind the missing seqs.
#[derive(Debug, Default)]
pub(in crate::shard) struct UnmadeGroups(BTreeMap<Conversation, Option<UserId>>);

impl UnmadeGroups {
    /// Seqs of a group that does not exist are missing: its creation may have been one of them.
    pub fn skipped(&mut self, group: &Conversation) {
        self.0.entry(group.clone()).or_default();
    }

    /// A message was ordered. One without a seq does not show that its author is a member.
    #[inline]
    pub fn ordered(&mut self, message: &Message) {
        if !self.0.is_empty() {
            self.note_author(message);
        }
    }

    fn note_author(&mut self, message: &Message) {
        match message.fact.as_deref() {
            Some(Fact::Group(GroupChange::Created { .. } | GroupChange::Dissolved)) => {
                self.0.remove(&message.conversation);
            }
            None | Some(Fact::Group(_)) => {
                if let Some(author) = self.0.get_mut(&message.conversation) {
                    *author = Some(message.author.clone());
                }
            }
            Some(Fact::Revoked { .. } | Fact::Read { .. } | Fact::Joining { .. } | Fact::Cleared { .. }) => {}
        }
    }

    /// One such group, and a user in whose name it can be dissolved.
    pub fn first(&self) -> Option<(&Conversation, &UserId)> {
        self.0.iter().find_map(|(group, author)| Some((group, author.as_ref()?)))
    }
}
