//! Verbs that only read, and their reads off the core.

pub(super) mod answering;
pub(super) mod backlog;
#[cfg(test)]
pub(super) mod backlog_tests;
pub(super) mod conversations;
pub(super) mod fetch;
#[cfg(test)]
pub(super) mod fetch_tests;
pub(super) mod history;
#[cfg(test)]
pub(super) mod history_tests;
pub(super) mod present;
#[cfg(test)]
pub(super) mod query_tests;
pub(super) mod resolve;
pub(super) mod sync;
#[cfg(test)]
pub(super) mod sync_tests;
