//! The operator's hook: asks a URL about each message before it is accepted (decision 0033).
//!
//! One thread beside the cores serves all shards. Invariants: each question is answered once, within the deadline; no
//! shard waits, and neither does another author's question while there is a free slot.

pub(super) mod answer;
pub(super) mod asker;
pub(super) mod meters;
pub(super) mod question;
