//! Work that a shard has begun and not finished: queues and marks that continue from turn to turn. The verbs that do
//! the work are in rooms above.

pub(super) mod admissions;
pub(super) mod author_lines;
pub(super) mod directory;
pub(super) mod fan_out;
pub(super) mod group_loads;
pub(super) mod healing;
pub(super) mod hook_lines;
pub(super) mod retention;
pub(super) mod saved_job;
pub(super) mod transients;
pub(super) mod typing;
pub(super) mod unmade;
