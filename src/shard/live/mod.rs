//! State that lives with sessions: the sessions, their unacknowledged pushes, the users they watch.

pub(super) mod sessions;
pub(super) mod streams;
pub(super) mod unacknowledged;
pub(super) mod watch;
