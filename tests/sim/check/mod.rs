//! What is held against a run: promises as clients were told, and the oracle at its end.

pub mod accounts;
pub mod chronicle;
pub mod cleared;
pub mod collection;
pub mod devices;
pub mod erased;
pub mod final_checks;
pub mod group;
pub mod group_book;
pub mod hidden;
pub mod hook;
pub mod ledger;
pub mod lists;
pub mod oracle;
pub mod presence;
pub mod quiescence;
pub mod timeline;
