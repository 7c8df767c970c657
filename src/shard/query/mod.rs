//! Questions to a log that may have to be read from a disk, off the core: what is asked, and what is found.

pub(super) mod fetch;
pub(super) mod history;
pub(super) mod list;
pub(super) mod recount;
pub(super) mod sync;
