//! What a shard has begun and not finished: queues and marks of work that goes on from turn to turn, without its doing.

pub(super) mod directory;
pub(super) mod fan_out;
pub(super) mod group_loads;
pub(super) mod healing;
pub(super) mod retention;
pub(super) mod transients;
pub(super) mod typing;
