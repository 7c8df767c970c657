//! Which events somebody wants.

use crate::model::{Conversation, GroupId, UserId};
use crate::server::event::log_event::LogEvent;

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
