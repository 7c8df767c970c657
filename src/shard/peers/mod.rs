//! What a shard exchanges with the others, and what is under way there.

pub(super) mod held;
pub(super) mod in_flight;
pub(super) mod parcel;
pub(super) mod pending;
pub(super) mod relay;
