//! Which events somebody wants.

use crate::model::{Conversation, GroupId, UserId};
use crate::server::event::log_event::LogEvent;

/// Kinds of events; `message.created` and the like.
pub const EVENT_TYPES: [&str; 17] = [
    "message.created",
    "message.revoked",
    "receipt",
    "group.created",
    "group.members_added",
    "group.members_removed",
    "group.member_changed",
    "group.profile_changed",
    "group.dissolved",
    "group.join_requested",
    "group.join_declined",
    "conversation.cleared",
    "conversation.deleted",
    "user.online",
    "user.offline",
    "user.offline_message",
    "sessions.ended",
];

/// The event type of that name. `Err` is a sentence that lists the names.
pub fn event_type(name: &str) -> Result<&'static str, String> {
    let known = EVENT_TYPES.into_iter().find(|known| *known == name);
    known.ok_or_else(|| format!("{name:?} is no event; there are {}", EVENT_TYPES.join(", ")))
}

/// An event passes if it is of a wanted type and about a wanted user and a wanted group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Empty: all.
    pub types: Vec<&'static str>,
    /// Empty: all.
    pub users: Vec<UserId>,
    /// Empty: all.
    pub groups: Vec<GroupId>,
}

impl EventFilter {
    /// An event that passes names only wanted users among those who were away.
    pub fn wants(&self, event: &mut LogEvent<'_>) -> bool {
        let is_of_type = self.types.is_empty() || self.types.contains(&event.kind);
        let is_of_user = self.users.is_empty() || event.users.iter().any(|user| self.users.contains(user));
        let is_of_group = self.groups.is_empty()
            || matches!(event.conversation, Some(Conversation::Group(group)) if self.groups.contains(group));
        let is_wanted = is_of_type && is_of_user && is_of_group;
        if is_wanted && !self.users.is_empty() {
            event.name_only(|user| self.users.iter().any(|wanted| wanted.as_str() == user));
        }
        is_wanted
    }
}
