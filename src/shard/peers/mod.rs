//! Messages between shards, and requests and deliveries under way.

pub(super) mod authored_send;
pub(super) mod chunk;
pub(super) mod giving_back;
pub(super) mod greeting;
pub(super) mod held_requests;
pub(super) mod message;
pub(super) mod outbound;
pub(super) mod peer_shard;
pub(super) mod pending_requests;
pub(super) mod stalled;
pub(super) mod ticket;
