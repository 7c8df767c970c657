//! From records to state: applying records, checkpoints, retention.

pub(super) mod apply;
pub(super) mod checkpoint;
pub(super) mod retention;
#[cfg(test)]
pub(super) mod retention_tests;
