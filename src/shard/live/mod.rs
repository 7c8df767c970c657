//! What a shard knows of those who are connected: sessions, what they have not acknowledged, whom they watch.

pub(super) mod sessions;
pub(super) mod streams;
pub(super) mod unacknowledged;
pub(super) mod watch;
