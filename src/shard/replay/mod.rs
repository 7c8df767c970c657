//! From records to state: applying records, checkpoints, retention.

pub(super) mod apply;
pub(super) mod checkpoint;
pub(super) mod retention;
#[cfg(test)]
mod retention_delivery_tests;
#[cfg(test)]
pub(super) mod retention_tests;
