//! Which conversation a client means: by the name that it gave, by the server's, or by who is there.

use super::State;
use super::conversation::{ConversationAt, Seat};
use super::inbox::Place;
use super::send::conversation_with;
use crate::model::{
    Conversation, ConversationName, ConversationRef, ConversationSeq, GroupId, Recipient, SessionId, UserId,
};

/// A user's seat in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seated {
    pub at: ConversationAt,
    pub seat: u32,
}

impl State {
    /// A conversation that the user has (PROTOCOL 2.4).
    pub(super) fn resolve(&self, user: &UserId, named: &ConversationRef) -> Option<Seated> {
        let place = self.inboxes.find(user)?;
        let at = match named {
            ConversationRef::With(recipient) => self.find_row(&conversation_with(user, recipient))?,
            ConversationRef::Named(name) => {
                let given = self.inboxes.named(place, name);
                given.or_else(|| self.by_default_name(user, name.as_str()))?
            }
        };
        Some(Seated { at, seat: self.seat_of(place, at)? })
    }

    /// The last place in the conversation that the user sees by now. What its group is still being told is not there yet:
    /// it may be that the user leaves before.
    pub(super) fn seen_through(&self, Seated { at, seat }: Seated) -> ConversationSeq {
        let row = self.conversations.at(at);
        let newest = ConversationSeq(row.tail.seq().0).min(row.seat(seat).left);
        self.fan_out.reached(at, seat).map_or(newest, |reached| reached.min(newest))
    }

    pub(super) fn seated(&self, Seated { at, seat }: Seated) -> (Conversation, Seat) {
        (self.conversation_at(at), self.conversations.at(at).seat(seat))
    }

    /// `group_<id>` or `single_<a>_<b>`. Ids may hold underscores: the user's own is one of the two.
    fn by_default_name(&self, user: &UserId, name: &str) -> Option<ConversationAt> {
        if let Some(group) = name.strip_prefix("group_") {
            return self.find_row(&Conversation::Group(GroupId::new(group).ok()?));
        }
        let ids = name.strip_prefix("single_")?;
        let before = ids.strip_prefix(user.as_str()).and_then(|rest| rest.strip_prefix('_'));
        let behind = ids.strip_suffix(user.as_str()).and_then(|rest| rest.strip_suffix('_'));
        let pair = |peer: &str| {
            let conversation = conversation_with(user, &Recipient::User(UserId::new(peer).ok()?));
            (conversation.default_name() == name).then_some(conversation)
        };
        [before, behind].into_iter().flatten().filter_map(pair).find_map(|pair| self.find_row(&pair))
    }

    /// Whether the user calls another conversation so.
    pub(super) fn is_taken_name(&self, user: &UserId, name: &ConversationName, conversation: &Conversation) -> bool {
        if name.as_str() == conversation.default_name() {
            return false;
        }
        let Some(place) = self.inboxes.find(user) else { return false };
        let known = self.inboxes.named(place, name).or_else(|| self.by_default_name(user, name.as_str()));
        known.is_some_and(|at| !self.conversations.at(at).is_of(conversation, &self.inboxes))
    }

    /// What the user calls the conversation, where it gave a name of its own.
    pub(super) fn name_for(&self, user: Place, conversation: &Conversation) -> Option<ConversationName> {
        if !self.inboxes.has_names(user) {
            return None;
        }
        self.inboxes.name_of(user, self.find_row(conversation)?).cloned()
    }

    pub(super) fn name_for_user(&self, user: &UserId, conversation: &Conversation) -> Option<ConversationName> {
        self.name_for(self.inboxes.find(user)?, conversation)
    }

    /// All sessions of a user, oldest first.
    pub(super) fn sessions_of(&self, user: &UserId) -> &[SessionId] {
        self.inboxes.find(user).map_or(&[], |place| self.sessions.of(place))
    }
}
