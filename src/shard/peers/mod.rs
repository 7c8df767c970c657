//! What a shard exchanges with the others, and what is under way there.

pub(super) mod chunk;
pub(super) mod greeting;
pub(super) mod held_requests;
pub(super) mod message;
pub(super) mod outbound;
pub(super) mod pending_requests;
