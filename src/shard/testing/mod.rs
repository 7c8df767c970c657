//! Shards under test: a cluster of them, an oracle, random histories.

pub(super) mod basic_tests;
pub(super) mod budget_tests;
pub(super) mod duo;
pub(super) mod durable_tests;
pub(super) mod fixtures;
pub(super) mod hook_tests;
pub(super) mod oracle;
pub(super) mod random_tests;
pub(super) mod told;
