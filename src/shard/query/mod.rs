//! Questions to a log that may need a disk, off the core: the questions, and their answers.

pub(super) mod fetch;
pub(super) mod history;
pub(super) mod list;
pub(super) mod list_search;
pub(super) mod recount;
pub(super) mod search;
pub(super) mod sync;
