//! Finds the conversation that a client names: by the user's own name, by the server's name, or by peer or group.

use crate::log::Tail;
use crate::model::{
    Conversation, ConversationName, ConversationRef, ConversationSeq, GroupId, Recipient, Seq, SessionId, UserId,
};
use crate::shard::State;
use crate::shard::query::recount::Recount;
use crate::shard::rows::index::{ConversationIndex, UserIndex};
use crate::shard::rows::seat::{Membership, Seated};

impl State {
    /// A conversation of the user (PROTOCOL 2.4).
    pub(in crate::shard) fn resolve(&self, user: &UserId, named: &ConversationRef) -> Option<Seated> {
        let user_index = self.tables.inboxes.find(user)?;
        let at = match named {
            ConversationRef::With(recipient) => self.find_row(&Conversation::between(user, recipient))?,
            ConversationRef::Named(name) => {
                let given = self.tables.inboxes.named(user_index, name.as_str());
                given.or_else(|| self.by_default_name(user, name.as_str()))?
            }
        };
        Some(Seated { at, seat: self.seat_of(user_index, at)? })
    }

    /// The last place in the conversation that the user sees now. Entries of a group that are still being fanned out
    /// are excluded: the user may leave before them.
    pub(in crate::shard) fn seen_through(&self, Seated { at, seat }: Seated) -> ConversationSeq {
        let newest = self.placed_through(Seated { at, seat });
        self.groups.fan_out.reached(at, seat).map_or(newest, |reached| reached.min(newest))
    }

    /// The last place in the conversation that the seat gets, including entries that are still being fanned out.
    pub(in crate::shard) fn placed_through(&self, Seated { at, seat }: Seated) -> ConversationSeq {
        let row = self.tables.conversations.at(at);
        ConversationSeq(row.tail.seq().0).min(row.seat(seat).left)
    }

    /// A recount of the messages of others after `through`, up to `newest`, that the seat's user sees.
    pub(in crate::shard) fn recount_of(
        &self,
        seated: Seated,
        tail: Tail,
        through: ConversationSeq,
        newest: ConversationSeq,
    ) -> Recount {
        let (conversation, seat) = self.seated(seated);
        Recount {
            seated,
            user: self.tables.inboxes.user_at(seat.user).clone(),
            conversation,
            tail,
            through,
            newest,
            unread: seat.unread,
            read: seat.read,
            reached: Seq(through.0),
            counted: 0,
        }
    }

    /// A recount of all unread messages of a seat, in a thread that belongs to another shard.
    pub(in crate::shard) fn recount_of_all(&self, seated: Seated, tail: Tail) -> Recount {
        let (_, seat) = self.seated(seated);
        let through = seat.read.max(ConversationSeq(seat.joined.0.saturating_sub(1)));
        self.recount_of(seated, tail, through, seat.left)
    }

    pub(in crate::shard) fn seated(&self, Seated { at, seat }: Seated) -> (Conversation, Membership) {
        (self.conversation_at(at), self.tables.conversations.at(at).seat(seat))
    }

    /// The conversation named `group_<id>` or `single_<a>_<b>`, or the longer form of either. Ids may contain
    /// underscores: one of the two is the user's own, and if two conversations fit, the older one is meant.
    fn by_default_name(&self, user: &UserId, name: &str) -> Option<ConversationIndex> {
        match meant_by(user, name)? {
            Meant::One(conversation) => self.find_row(&conversation),
            Meant::Either(pairs) => pairs.iter().filter_map(|pair| self.find_row(pair)).min(),
        }
    }

    /// Whether the user or the server gives this name to another of the user's conversations.
    pub(in crate::shard) fn is_taken_name(
        &self,
        user: &UserId,
        name: &ConversationName,
        conversation: &Conversation,
    ) -> bool {
        if name.as_str() == conversation.default_name() {
            return false;
        }
        if let Some(Meant::One(meant)) = meant_by(user, name.as_str())
            && is_unambiguous_form(name.as_str())
        {
            return meant != *conversation;
        }
        let Some(user_index) = self.tables.inboxes.find(user) else { return false };
        let known =
            self.tables.inboxes.named(user_index, name.as_str()).or_else(|| self.by_default_name(user, name.as_str()));
        known.is_some_and(|at| !self.tables.conversations.at(at).is_of(conversation, &self.tables.inboxes))
    }

    /// The user's name for the conversation, unless it is the default name: a name that the user gave, or an
    /// unambiguous one because another conversation has the default name.
    #[inline]
    pub(in crate::shard) fn name_for(
        &self,
        user_index: UserIndex,
        conversation: &Conversation,
    ) -> Option<ConversationName> {
        match self.tables.inboxes.has_names(user_index) {
            true => self.own_name_for(user_index, conversation),
            false => self.unambiguous_name_for(user_index, conversation),
        }
    }

    fn own_name_for(&self, user_index: UserIndex, conversation: &Conversation) -> Option<ConversationName> {
        let at = self.find_row(conversation)?;
        if let Some(name) = self.tables.inboxes.name_of(user_index, at) {
            return Some(name.clone());
        }
        match self.tables.inboxes.named(user_index, &conversation.default_name()) {
            Some(other) if other != at => unambiguous_name(self.tables.inboxes.user_at(user_index), conversation),
            _ => self.unambiguous_name_for(user_index, conversation),
        }
    }

    /// `None` if the default name is unambiguous among the user's conversations.
    #[inline]
    fn unambiguous_name_for(&self, user_index: UserIndex, conversation: &Conversation) -> Option<ConversationName> {
        match conversation {
            Conversation::Pair(a, b) if has_underscore(a) && has_underscore(b) => {
                let user = self.tables.inboxes.user_at(user_index);
                let meant = self.by_default_name(user, &conversation.default_name())?;
                let is_meant = self.tables.conversations.at(meant).is_of(conversation, &self.tables.inboxes);
                if is_meant { None } else { unambiguous_name(user, conversation) }
            }
            _ => None,
        }
    }

    pub(in crate::shard) fn name_for_user(
        &self,
        user: &UserId,
        conversation: &Conversation,
    ) -> Option<ConversationName> {
        self.name_for(self.tables.inboxes.find(user)?, conversation)
    }

    /// All sessions of a user, oldest first.
    pub(in crate::shard) fn sessions_of(&self, user: &UserId) -> &[SessionId] {
        self.tables.inboxes.find(user).map_or(&[], |user_index| self.live.sessions.of(user_index))
    }
}

/// The conversations that a default name may mean to a user.
#[derive(Debug, PartialEq, Eq)]
enum Meant {
    One(Conversation),
    Either([Conversation; 2]),
}

/// The prefixes of the longer forms of default names: of two users, and of a group.
const PEER: &str = "peer:";
const GROUP: &str = "group:";

#[inline]
fn has_underscore(user: &UserId) -> bool {
    // Examines all bytes without an early exit: the compiler vectorises that, and ids are short.
    user.as_str().bytes().fold(false, |found, byte| found | (byte == b'_'))
}

fn is_unambiguous_form(name: &str) -> bool {
    name.starts_with(PEER) || name.starts_with(GROUP)
}

/// A name that means only this conversation of the user.
fn unambiguous_name(user: &UserId, conversation: &Conversation) -> Option<ConversationName> {
    let name = match conversation {
        Conversation::Pair(a, b) => compact_str::format_compact!("{PEER}{}", if a == user { b } else { a }),
        Conversation::Group(group) => compact_str::format_compact!("{GROUP}{group}"),
    };
    ConversationName::new(&name).ok()
}

fn meant_by(user: &UserId, name: &str) -> Option<Meant> {
    let group = |id: &str| Some(Meant::One(Conversation::Group(GroupId::new(id).ok()?)));
    let pair = |peer: &str| Some(Conversation::between(user, &Recipient::User(UserId::new(peer).ok()?)));
    if let Some(id) = name.strip_prefix("group_").or_else(|| name.strip_prefix(GROUP)) {
        return group(id);
    }
    if let Some(peer) = name.strip_prefix(PEER) {
        return pair(peer).map(Meant::One);
    }
    let ids = name.strip_prefix("single_")?;
    let before = ids.strip_prefix(user.as_str()).and_then(|rest| rest.strip_prefix('_'));
    let behind = ids.strip_suffix(user.as_str()).and_then(|rest| rest.strip_suffix('_'));
    let is_called_so = |conversation: &Conversation| conversation.default_name() == name;
    match (before.and_then(pair).filter(is_called_so), behind.and_then(pair).filter(is_called_so)) {
        (Some(one), Some(other)) if one != other => Some(Meant::Either([one, other])),
        (one, other) => one.or(other).map(Meant::One),
    }
}
