//! Tables of rows, and the fingerprints, costs, clocks and counters beside them.

pub(super) mod chunked_queue;
pub(super) mod cost;
pub(super) mod fingerprint;
pub(super) mod fresh_marks;
pub(super) mod hash_table;
pub(super) mod index;
pub(super) mod join_requests;
pub(super) mod message_pool;
pub(super) mod outstanding;
pub(super) mod placement;
pub(super) mod roster;
pub(super) mod rows;
pub(super) mod stats;
pub(super) mod trusted_clock;
