//! The types of events, by the names that filters and the events themselves carry.

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
